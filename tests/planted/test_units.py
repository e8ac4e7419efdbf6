"""Planting: the units are what their explanations say, and are drawn, paired and left out as promised."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from autointerp.contexts.naming import LIST, named_words
from autointerp.corpus.stage import build_corpus
from autointerp.errors import BadInput, CheckFailed
from autointerp.models import load_tokenizer
from autointerp.planted.activations import BLIND
from autointerp.planted.foils import OVERLAP
from autointerp.planted.meanings import KINDS, NOISE, OTHER, TRUE, WRONG, families
from autointerp.planted.units import FEWEST, TOO_FEW, Planted, PlantedUnit, plant
from autointerp.planted.word_lists import WORDS
from autointerp.records import Context, Split
from autointerp.study import Evidence
from autointerp.study_file import parse_study
from autointerp.tables import read_table
from tests.planted.texts import TOKENS, context, contexts

SEED = 3


@cache
def _contexts() -> tuple[list[Context], list[Context]]:
    return contexts(Split.EVIDENCE, 110, 1), contexts(Split.HELD_OUT, 100, 2)


@cache
def _planted() -> Planted:
    return plant(*_contexts(), SEED)


def _all_names() -> list[str]:
    return sorted([*(u.unit for u in _planted().units), *(left.unit for left in _planted().left_out)])


def _truth(unit: PlantedUnit, shown: Context) -> np.ndarray:
    return unit.rules[TRUE].activations(shown)


def _same(one: Planted, two: Planted) -> bool:
    return (
        one.left_out == two.left_out
        and len(one.units) == len(two.units)
        and all(
            (a.unit, dict(a.explanations), a.density) == (b.unit, dict(b.explanations), b.density)
            and [h.context.context for h in a.held_out] == [h.context.context for h in b.held_out]
            and np.array_equal(a.held.truth, b.held.truth)
            for a, b in zip(one.units, two.units, strict=True)
        )
    )


def test_all_kinds_can_be_planted_in_both_forms() -> None:
    units = _planted().units
    assert len(set(_all_names())) == len(_all_names())
    assert {u.kind for u in units} == set(KINDS)
    assert len(units) >= 60
    for unit in units:
        form = "graded" if unit.graded else "binary"
        assert unit.unit.startswith(f"planted/{unit.kind}/")
        assert unit.unit.endswith(f"/{form}")
        levels = {float(v) for _, row in unit.evidence for v in np.unique(row)}
        assert levels <= ({0.0, 1.0} if not unit.graded else {0.0, float(np.float32(0.4)), 1.0})


def test_the_same_text_and_seed_give_the_same_units_and_another_seed_others() -> None:
    evidence, held_out = (some[:30] for some in _contexts())
    first, again, another = (plant(evidence, held_out, seed) for seed in (SEED, SEED, SEED + 1))
    same, differs = _same(first, again), not _same(first, another)
    assert same
    assert differs


def test_activations_are_what_the_true_rule_says() -> None:
    evidence, held_out = _contexts()
    for unit in _planted().units:
        if unit.kind == NOISE:
            assert set(unit.explanations) == set(unit.rules) == {OTHER}
            continue
        assert set(unit.explanations) == set(unit.rules) == {TRUE, *WRONG}
        assert all(np.array_equal(row, _truth(unit, shown)) for shown, row in unit.evidence)
        assert all(np.array_equal(h.activations, _truth(unit, h.context)) for h in unit.held_out)
        by_id = {c.context: c for c in held_out}
        expected = [_truth(unit, by_id[int(c)]) for c in unit.held.contexts]
        assert np.array_equal(unit.held.truth, np.stack(expected))
        active = [np.count_nonzero(_truth(unit, c)) for c in (*evidence, *held_out)]
        assert unit.density == pytest.approx(sum(active) / sum(len(c.pieces) for c in (*evidence, *held_out)))


def test_held_out_contexts_are_drawn_as_a_run_draws_them() -> None:
    _, held_out = _contexts()
    peaks_of = {
        u.unit: {c.context: float(_truth(u, c).max()) for c in held_out} for u in _planted().units if TRUE in u.rules
    }
    sizes = Evidence()
    for unit in _planted().units:
        blind = [h for h in unit.held_out if h.random]
        assert len(blind) == BLIND
        assert len({h.context.context for h in unit.held_out}) == len(unit.held_out), "each once"
        top = [h.context.context for h in unit.held_out][: sizes.held_out_top]
        if unit.unit in peaks_of:
            peaks = peaks_of[unit.unit]
            assert top == sorted(peaks, key=lambda c: (-peaks[c], c))[: sizes.held_out_top]
        assert unit.held.contexts[: sizes.held_out_top].tolist() == top
        assert sizes.held_out_top < len(unit.held) <= sizes.held_out_top + sizes.held_out_random
        assert set(unit.held.contexts.tolist()) <= {h.context.context for h in unit.held_out}
        assert {h.context.split for h in unit.held_out} == {Split.HELD_OUT}
        assert {shown.split for shown, _ in unit.evidence} == {Split.EVIDENCE}


def test_blind_draws_do_not_look_at_activations_and_are_shared_by_twins() -> None:
    drawn = Counter(h.context.context for u in _planted().units for h in u.held_out if h.random)
    share = BLIND / len(_contexts()[1])
    assert max(drawn.values()) < 1.6 * share * len(_planted().units)
    blind = {u.unit: {h.context.context for h in u.held_out if h.random} for u in _planted().units}
    for name, ids in blind.items():
        twin = name.replace("/binary", "/graded")
        assert ids == blind.get(twin, ids)


def test_foils_are_all_that_hardly_touch_of_another_kind_and_the_same_sort() -> None:
    evidence, _ = _contexts()
    active = {
        u.unit: np.concatenate([u.rules[TRUE].activations(c) for c in evidence]) > 0
        for u in _planted().units
        if u.kind != NOISE
    }
    word_like = {kind: about.word_like for kind, about in KINDS.items()}
    counts = []
    for unit in _planted().units:
        if unit.kind == NOISE:
            continue
        own, expected = active[unit.unit], set()
        for other in _planted().units:
            alike = (other.test, other.graded) == (unit.test, unit.graded) and other.kind not in (unit.kind, NOISE)
            if alike and word_like[other.kind] == word_like[unit.kind]:
                both = (own & active[other.unit]).sum()
                if both < OVERLAP * own.sum() and both < OVERLAP * active[other.unit].sum():
                    expected.add(other.unit)
        found = {foil.unit for foil in unit.foils if foil.unit in active}
        assert found == expected, "and some that are left out for the held-out half"
        counts.append(len(found))
    assert np.mean(counts) > 10


def test_a_foil_is_another_units_true_explanation_and_the_first_is_other() -> None:
    units = {unit.unit: unit for unit in _planted().units}
    for unit in units.values():
        assert unit.explanations[OTHER] == unit.foils[0].text
        assert unit.rules[OTHER] is unit.foils[0].rule
        for foil in unit.foils:
            if foil.unit in units:
                of = units[foil.unit]
                assert (foil.kind, foil.text, foil.rule) == (of.kind, of.explanations[TRUE], of.rules[TRUE])
                assert foil.word_list == of.lists.get(TRUE, foil.word_list)
    firsts = {unit.foils[0].unit.partition("/b")[0] for unit in units.values()}
    assert len(firsts) > 20, "not one for all"


def test_foils_are_in_both_directions_so_that_what_knows_nothing_is_at_half() -> None:
    """A score that is a part of the unit plus a part of the explanation: over all pairs 0.5, whatever the parts are."""
    units = {unit.unit: unit for unit in _planted().units if unit.kind != NOISE}
    rng = np.random.default_rng(0)
    level = {name: float(rng.normal()) for name in units}
    won, pairs = 0.0, 0
    for name, unit in units.items():
        for foil in unit.foils:
            if foil.unit in units:
                assert name in {back.unit for back in units[foil.unit].foils}
                won += level[name] > level[foil.unit]
                pairs += 1
    assert won == pairs / 2


def test_lists_are_the_most_frequent_words_under_the_rule() -> None:
    evidence, _ = _contexts()
    unit = next(u for u in _planted().units if u.unit == "planted/word-class/colours/graded")
    words = unit.lists[TRUE].removeprefix(LIST).split(", ")
    slow = defaultdict[str, float](float)
    for shown in evidence:
        for piece, value in zip(shown.pieces, _truth(unit, shown), strict=True):
            slow[piece.strip()] += float(value)
    assert 1 < len(words) <= WORDS
    values = [slow[word] for word in words]
    assert values == sorted(values, reverse=True)
    assert max((v for w, v in slow.items() if w not in words), default=0) <= values[-1]
    listed = [u for u in _planted().units if u.lists]
    assert len(listed) > 0.9 * len(_planted().units) - 20
    assert all({TRUE} <= set(u.lists) <= {TRUE, *WRONG} - {OTHER} for u in listed)
    assert all(named_words(text) for u in listed for text in u.lists.values())


def test_nothing_is_chosen_on_held_out_contexts() -> None:
    evidence, held_out = _contexts()
    explanations = {u.unit: dict(u.explanations) for u in _planted().units}
    shorter = {u.unit: dict(u.explanations) for u in plant(evidence, held_out[:70], SEED).units}
    assert len(shorter) < len(explanations), "fewer units can be measured"
    differ = [unit for unit in shorter if shorter[unit] != explanations[unit]]
    assert differ == []


def test_both_forms_of_a_meaning_are_in_the_half_of_its_family() -> None:
    half = {(f.kind, f.name): f.test for f in families()}
    noise: dict[str, set[bool]] = {}
    for unit in _planted().units:
        name = unit.unit.split("/")[2]
        if unit.kind == NOISE:
            noise.setdefault(name, set()).add(unit.test)
        else:
            assert unit.test == half[unit.kind, name]
    assert sorted(map(sorted, noise.values())) == [[False]] * 2 + [[True]] * 8


def test_what_a_text_is_too_poor_for_is_left_out_and_counted() -> None:
    evidence, held_out = _contexts()
    dull = context(["nothing", *[" special"] * (TOKENS - 1)])
    few = [*held_out[:4], *(replace(dull, context=c.context) for c in held_out[4:])]
    planted = plant(evidence, few, SEED)
    reasons = {left.unit: left.reason for left in planted.left_out}
    assert reasons["planted/number/years/binary"] == TOO_FEW[Split.HELD_OUT]
    names = [u.unit for u in planted.units]
    assert not set(reasons) & set(names)
    assert all(sum(h.peak > 0 for h in unit.held_out) >= FEWEST for unit in planted.units)
    assert sorted([*reasons, *names]) == _all_names(), "each once"


def test_text_without_any_unit_is_refused() -> None:
    evidence, held_out = _contexts()
    with pytest.raises(BadInput, match="no unit can be planted on 3 evidence and 2 held-out contexts: raise corpus"):
        plant(evidence[:3], held_out[:2], SEED)


def test_contexts_of_another_split_are_refused() -> None:
    evidence, held_out = _contexts()
    with pytest.raises(CheckFailed, match="given contexts as held-out"):
        plant(evidence, [*held_out, evidence[0]], SEED)
    with pytest.raises(CheckFailed, match="given contexts as evidence"):
        plant([*evidence, held_out[0]], held_out, SEED)


@pytest.mark.offline_model
@pytest.mark.slow
def test_the_builtin_corpus_is_rich_enough(tmp_path: Path) -> None:
    corpus = {"tokens": 20_000, "train": 0.0, "evidence": 0.5, "held_out": 0.5}
    build_corpus(parse_study({"corpus": corpus}, []), load_tokenizer("builtin"), tmp_path)
    rows = read_table(tmp_path / "contexts.parquet").to_dict("records")
    shown = [
        Context(
            r["context"], Split(r["split"]), r["document"], r["source"], r["start"], np.array(r["tokens"]),
            tuple(r["pieces"]),
        )
        for r in rows
    ]  # fmt: skip
    evidence, held_out = ([c for c in shown if c.split == split] for split in (Split.EVIDENCE, Split.HELD_OUT))
    planted = plant(evidence, held_out, SEED)
    assert len(planted.units) >= 60, Counter((left.kind, left.reason) for left in planted.left_out)
    assert len({u.kind for u in planted.units}) >= 9
