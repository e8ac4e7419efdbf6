"""Hard negatives by plain loops over all contexts, and what no context of them may be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from autointerp.artifacts import rng_of
from autointerp.collect.gather import Activity, Gatherer, Wanted
from autointerp.collect.hard_negatives import CO_ACTIVE, SORTS, HardNegatives, likeness_of
from autointerp.collect.stage import collect
from autointerp.contexts.reading import read_contexts
from autointerp.contexts.sharing import read_exemplars, share_out
from autointerp.records import Context, Exemplar, Kind, Split
from autointerp.study import Study
from autointerp.study_file import parse_study
from autointerp.tables import read_table
from tests.collect.doubles import (
    CONTROLS,
    LATENTS,
    LENGTH,
    KnownSubject,
    Relu,
    read_all,
    sampled,
    truths,
    write_contexts,
)

NAMES = ["a", "b", "c", "d", "a", "e", "f", "g", "h", "i", "j", "k"]
"""Units 0 and 4 are the two orientations of one."""
Known = tuple[Sequence[Context], np.ndarray]
"""Contexts, and activations (context, token, unit) on them."""


class Sentences:
    """Vectors that depend on the words alone, and a count of the texts that were embedded."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        self.seen.update(texts)
        rows = np.stack([sum(rng_of(word).normal(size=6) for word in text.split()) for text in texts])
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def known(run: Path, split: Split) -> Known:
    """Sparse activations that depend on the token; units 1 and 4 are nearly unit 0, and unit 4 is its other side."""
    contexts = [c for part in read_contexts(run / "contexts.parquet", split, 50) for c in part]
    rng = np.random.default_rng(0)
    by_token = np.maximum(rng.normal(-1.4, 1, size=(40, len(NAMES))), 0)
    for other in (1, 4):
        by_token[:, other] = by_token[:, 0] * (rng.random(40) < 0.7)
    values = by_token[np.stack([c.tokens for c in contexts])]
    return contexts, np.asarray(values * (rng.random(values.shape) < 0.6), dtype=np.float32)


def gathered(of_split: Known, size: int) -> Gatherer:
    contexts, values = of_split
    ids = np.array([c.context for c in contexts])
    gatherer = Gatherer(NAMES, Wanted(6, 8, 2, 1, hard_negatives=True), ids, seed=3)
    for first in range(0, len(contexts), size):
        part = slice(first, first + size)
        tokens = torch.from_numpy(np.stack([c.tokens for c in contexts[part]]))
        gatherer.add(torch.from_numpy(values[part]), torch.from_numpy(ids[part]), tokens)
    return gatherer


def by_plain_loops(unit: int, evidence: Known, split: Known, gatherer: Gatherer, each: int) -> list[tuple[str, int]]:
    """One unit's hard negatives of a split, one context after the other."""
    contexts, values = evidence
    peaks = values[:, :, unit].max(axis=1)
    tops = sorted((p for p in range(len(contexts)) if peaks[p] > 0), key=lambda p: (-peaks[p], p))[:6]
    at_peak = [int(contexts[p].tokens[values[p, :, unit].argmax()]) for p in tops]
    ranked = sorted(set(at_peak), key=lambda t: (-at_peak.count(t), at_peak.index(t)))
    active = [{p for p in range(len(contexts)) if values[p, :, u].max() > 0} for u in range(len(NAMES))]
    others = [u for u in range(len(NAMES)) if NAMES[u] != NAMES[unit]]
    overlap = {u: len(active[u] & active[unit]) / max(len(active[u] | active[unit]), 1) for u in others}
    partners = sorted(overlap, key=lambda u: (-overlap[u], u))[:CO_ACTIVE]
    vectors = [Sentences()([contexts[p].text])[0] for p in tops]
    drawn = {e.context for e in gatherer.exemplars(unit, "u") if e.kind == Kind.RANDOM}
    scores: dict[str, dict[int, float]] = {sort: {} for sort in SORTS}
    order = {}
    for context, of_context in zip(*split, strict=True):
        if of_context[:, unit].max() > 0 or context.context in drawn:
            continue
        order[context.context] = int(gatherer.priorities(np.array([context.context]))[unit, 0])
        held = [rank for rank, token in enumerate(ranked) if token in context.tokens]
        scores["token"][context.context] = 6 - min(held) if held else 0
        scores["co-active"][context.context] = sum(overlap[u] for u in partners if of_context[:, u].max() > 0)
        (vector,) = Sentences()([context.text])
        scores["nearest"][context.context] = max((float(v @ vector) for v in vectors), default=0.0)
    taken: set[int] = set()
    found: list[list[tuple[str, int]]] = []
    for sort in SORTS:
        good = [c for c, score in scores[sort].items() if score > 0 and c not in taken]
        best = sorted(good, key=lambda c: (-round(scores[sort][c], 6), order[c]))[:each]
        taken |= set(best)
        found.append([(f"hard-negative-{sort}", c) for c in best])
    return [row[turn] for turn in range(each) for row in found if turn < len(row)]


@pytest.mark.parametrize(("each", "size"), [(1, 7), (4, 64), (30, 7)])
def test_they_are_what_plain_loops_find_in_both_splits(tmp_path: Path, each: int, size: int) -> None:
    run, embed = write_contexts(tmp_path), Sentences()
    evidence = known(run, Split.EVIDENCE)
    gatherer = gathered(evidence, size)
    finder = HardNegatives([likeness_of(gatherer)], run / "contexts.parquet", embed)
    kinds: Counter[str] = Counter()
    for split in (Split.EVIDENCE, Split.HELD_OUT):
        of_split = known(run, split)
        gatherer = gathered(of_split, size)
        finder.find([gatherer], split, each)
        for unit in range(len(NAMES)):
            rows = [e for e in gatherer.exemplars(unit, "u") if e.kind.startswith(Kind.HARD_NEGATIVE)]
            expected = by_plain_loops(unit, evidence, of_split, gatherer, each)
            assert [(e.kind, e.context) for e in rows] == expected
            kinds.update(e.kind for e in rows)
    assert set(kinds) == {f"hard-negative-{sort}" for sort in SORTS}
    assert max(embed.seen.values()) == 1, "no context is embedded twice"


def test_overlap_is_a_share_of_the_contexts_of_both() -> None:
    active = np.random.default_rng(0).random((500, 11)) < np.linspace(0, 0.9, 11)
    ids = np.arange(500) * 2
    activity = Activity(11, ids)
    for first in range(0, 500, 33):
        activity.add(active[first : first + 33], ids[first : first + 33])
    np.testing.assert_array_equal(activity.rows(100, 250), active[100:250])
    for (a, b), found in np.ndenumerate(activity.overlap()):
        either = (active[:, a] | active[:, b]).sum()
        assert found == pytest.approx((active[:, a] & active[:, b]).sum() / either if either else 0.0)
    with pytest.raises(ValueError, match="another order"):
        Activity(11, ids).add(active[:5], ids[1:6])


def study(hard_negatives: int, **evidence: int) -> Study:
    return parse_study({
        "scrambled": {"seeds": []},
        "corpus": {"context": LENGTH},
        "subject": {"batch": 7},
        "units": {"features": 4, "neurons": 3, "directions": 3, "min_contexts": 3, "controls": CONTROLS},
        "evidence": {"top": 4, "quantiles": 2, "per_quantile": 1, "random": 6, "random_only": 8,
                     "hard_negatives": hard_negatives, **evidence},
    })  # fmt: skip


def collected(folder: Path, wanted: Study) -> dict[str, dict[str, list[Exemplar]]]:
    folder.mkdir(exist_ok=True)
    write_contexts(folder)
    collect(wanted, KnownSubject(), {"sae": (Relu(), LATENTS)}, folder, Sentences())
    return {name: read_exemplars(folder / "work" / f"{name}.parquet") for name in ("evidence", "held-out")}


def hard(rows: Sequence[Exemplar]) -> list[Exemplar]:
    return [e for e in rows if e.kind.startswith(Kind.HARD_NEGATIVE)]


def test_a_run_gathers_them_beside_what_it_gathered_before(tmp_path: Path) -> None:
    found, before = (collected(tmp_path / str(each), study(each)) for each in (2, 0))
    split_of = read_table(tmp_path / "2" / "contexts.parquet").set_index("context")["split"]
    for name, units in found.items():
        assert units.keys() == before[name].keys()
        for unit, rows in units.items():
            others = [e for e in rows if e not in hard(rows)]
            assert [(e.context, e.kind, e.weight) for e in others] == [
                (e.context, e.kind, e.weight) for e in before[name][unit]
            ]
            contexts = [e.context for e in hard(rows)]
            assert len(set(contexts)) == len(contexts)
            assert not set(contexts) & {e.context for e in others}
            assert {split_of[c] for c in contexts} <= {name}
            assert all(len(e.activations) == LENGTH and not e.activations.any() for e in hard(rows))


def test_every_unit_gets_as_many_of_each_sort_as_there_are_and_is_silent_on_them(tmp_path: Path) -> None:
    """From the truth on all contexts of a split: what is silent, not drawn at random, and of the sort."""
    each, whole = 3, Counter[tuple[str, str]]()
    found = collected(tmp_path, study(each))
    units = sampled(tmp_path)
    arm_of = dict(zip(units["unit"], units["arm"], strict=True))
    evidence = truths(tmp_path, Split.EVIDENCE, Relu())
    ids_of_evidence, tokens_of_evidence, _ = read_all(tmp_path, Split.EVIDENCE)
    place = {int(context): row for row, context in enumerate(ids_of_evidence)}
    for split in (Split.EVIDENCE, Split.HELD_OUT):
        ids, tokens, _ = read_all(tmp_path, split)
        texts = [c.text for part in read_contexts(tmp_path / "contexts.parquet", split, 500) for c in part]
        vectors = Sentences()(texts)
        active = {unit: values.max(axis=1) > 0 for unit, values in truths(tmp_path, split, Relu()).items()}
        for unit, rows in found[split].items():
            tops = [place[e.context] for e in found["evidence"][unit] if e.kind == Kind.TOP]
            top_tokens = {int(tokens_of_evidence[p][evidence[unit][p].argmax()]) for p in tops}
            top_texts = [" ".join(f"w{t}" for t in tokens_of_evidence[p]) for p in tops]
            base = unit.rstrip("+-")
            others = [u for u in active if arm_of[u] == arm_of[unit] and u.rstrip("+-") != base]
            allowed = ~active[unit] & ~np.isin(ids, [e.context for e in rows if e.kind == Kind.RANDOM])
            of_sort = {
                "token": np.isin(tokens, list(top_tokens)).any(axis=1),
                "co-active": np.any([active[u] for u in others], axis=0),
                "nearest": (vectors @ Sentences()(top_texts).T).max(axis=1) > 1e-6,
            }
            assert list(of_sort) == list(SORTS)
            for sort in SORTS:
                chosen = [e.context for e in rows if e.kind == f"{Kind.HARD_NEGATIVE}-{sort}"]
                good = ids[allowed & of_sort[sort]]
                assert set(chosen) <= set(good.tolist()), (unit, sort)
                assert len(chosen) == min(each, len(good)), (unit, sort)
                allowed &= ~np.isin(ids, chosen)
                whole[split, sort] += len(chosen)
    assert len(whole) == 2 * len(SORTS)
    assert all(whole.values()), "every sort is there in both splits"


def test_the_explainer_sees_half_and_the_rest_ranks(tmp_path: Path) -> None:
    whole = 0
    for name, rows in collected(tmp_path, study(3))["evidence"].items():
        shares = share_out(name, rows)
        assert not {e.context for e in shares.shown} & {e.context for e in shares.ranking}
        shown, ranking = hard(shares.shown), hard(shares.ranking)
        assert len(shown) - len(ranking) in (0, 1)
        assert len(shown) + len(ranking) == len(hard(rows))
        whole += len({e.kind for e in shown}) == len({e.kind for e in ranking}) == len(SORTS)
    assert whole, "both see every sort, where there are enough of each"


def test_held_out_bands_are_drawn_like_those_of_the_evidence(tmp_path: Path) -> None:
    for name, units in collected(tmp_path, study(0, held_out_per_quantile=1)).items():
        for rows in units.values():
            bands = [e for e in rows if e.kind.startswith(Kind.QUANTILE)]
            assert [e.kind for e in bands] == ["quantile-0", "quantile-1"][: len(bands)]
            assert not {e.context for e in rows if e.kind == Kind.TOP} & {e.context for e in bands}
            peaks = [float(e.activations.max()) for e in bands]
            assert peaks == sorted(peaks)
            assert all(peak > 0 for peak in peaks)
        assert any(e.kind == "quantile-1" for rows in units.values() for e in rows), name


def test_none_are_gathered_without_a_sentence_model(tmp_path: Path) -> None:
    write_contexts(tmp_path)
    with pytest.raises(ValueError, match="no sentence model"):
        collect(study(2), KnownSubject(), {"sae": (Relu(), LATENTS)}, tmp_path)
