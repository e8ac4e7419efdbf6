"""The whole stage on a subject whose activations are known, against plain loops over all contexts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from jaxtyping import Float, Int
from pandas.testing import assert_frame_equal

from autointerp.collect.stage import collect
from autointerp.collect.token_table import read_token_tables
from autointerp.contexts.reading import context_ids
from autointerp.contexts.sharing import read_exemplars
from autointerp.errors import BadInput
from autointerp.records import Split
from autointerp.study import Study
from autointerp.study_file import parse_study
from autointerp.tables import CANDIDATES, EVIDENCE, HELD_OUT, read_table
from tests.collect.doubles import (
    CONTROLS,
    HOOK,
    LATENTS,
    LENGTH,
    WIDTH,
    KnownSubject,
    Relu,
    directions,
    read_all,
    sampled,
    truths,
    write_contexts,
)

OTHER = "layers.6.mlp.neurons"


def _study(**units: object) -> Study:
    return parse_study(
        {
            "corpus": {"context": LENGTH},
            "subject": {"batch": 7},
            "scrambled": {"seeds": []},
            "units": {"features": 4, "neurons": 3, "directions": 3, "min_contexts": 3, "controls": CONTROLS, **units},
            "evidence": {"top": 4, "quantiles": 2, "per_quantile": 1, "random": 6, "random_only": 8},
        }
    )


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_contexts(tmp_path)


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stage's outputs, to be looked at alone."""
    folder = write_contexts(tmp_path_factory.mktemp("run"))
    subject = KnownSubject()
    collect(_study(), subject, {"sae": (Relu(), LATENTS)}, folder)
    assert max(subject.seen) <= 7
    return folder


def test_a_sparse_control_may_hold_fewer_units_the_first_ones_drawn(collected: Path, run: Path) -> None:
    collect(_study(sparse=2), KnownSubject(), {"sae": (Relu(), LATENTS)}, run)
    units, of_all = (read_table(folder / "work" / "candidates.parquet") for folder in (run, collected))
    for arm in ("neuron-sparse", "direction-sparse"):
        one, other = (table[table["arm"] == arm].reset_index(drop=True) for table in (units, of_all))
        assert one["index"].nunique() == 2
        assert_frame_equal(one, other[other["index"].isin(one["index"])].reset_index(drop=True))
    dense = [table[~table["arm"].str.endswith("-sparse")].reset_index(drop=True) for table in (units, of_all)]
    assert_frame_equal(dense[0], dense[1])


def test_the_subject_computes_once_where_what_it_computes_can_be_kept(
    collected: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the outputs are those of two passes."""
    kept = KnownSubject()
    collect(_study(), kept, {"sae": (Relu(), LATENTS)}, run)
    monkeypatch.setattr("autointerp.collect.passes.MOST_KEPT", 10)
    twice = KnownSubject()
    (run / "again").mkdir()
    again = write_contexts(run / "again")
    collect(_study(), twice, {"sae": (Relu(), LATENTS)}, again)
    evidence = len(context_ids(run / "contexts.parquet", Split.EVIDENCE))
    assert sum(twice.seen) - sum(kept.seen) == evidence
    for table in (run / "work").iterdir():
        assert table.read_bytes() == (again / "work" / table.name).read_bytes(), table.name


def test_every_arm_holds_what_plain_loops_find(collected: Path) -> None:
    run, sae = collected, Relu()
    units = read_table(run / "work" / "candidates.parquet")
    drawn = units[units["status"] == "ok"]
    assert {a: u["index"].nunique() for a, u in drawn.groupby("arm")} == {
        "feature": 4, "neuron": 3, "neuron-sparse": 3, "direction": 3, "direction-sparse": 3,
    }  # fmt: skip
    dead = units[units["status"] == "excluded"]
    assert dead["unit"].tolist() == [f"feature/{LATENTS - 1}"]
    assert dead["reason"].tolist() == ["dead on the evidence"]

    evidence, held_out = (read_exemplars(run / "work" / f"{n}.parquet") for n in ("evidence", "held-out"))
    ids, _, _ = read_all(run, Split.EVIDENCE)
    held_ids, _, _ = read_all(run, Split.HELD_OUT)
    truth, held = (truths(run, split, sae) for split in (Split.EVIDENCE, Split.HELD_OUT))
    for _, unit in drawn.iterrows():
        name = unit["unit"]
        assert unit["density"] == pytest.approx((truth[name] > 0).mean())
        assert unit["max_activation"] == pytest.approx(truth[name].max(), rel=1e-4)
        for rows, where, values in ((evidence, ids, truth[name]), (held_out, held_ids, held[name])):
            place = {int(context): row for row, context in enumerate(where)}
            peaks = values.max(axis=1)
            for row in rows[name]:
                np.testing.assert_allclose(row.activations, values[place[row.context]], atol=1e-4)
            tops = [row.context for row in rows[name] if row.kind == "top"]
            order = sorted(range(len(where)), key=lambda c: (-peaks[c], where[c]))
            assert tops == [int(where[c]) for c in order[: 4 if rows is evidence else 5] if peaks[c] > 0]
            others = Counter(row.kind for row in rows[name] if row.kind != "top")
            assert others == ({"quantile-0": 1, "quantile-1": 1, "random": 6} if rows is evidence else {"random": 8})
    assert set(read_token_tables(run / "work" / "token_tables.safetensors")) == set(drawn["arm"])


def test_contexts_for_calibration_are_drawn_like_the_held_out_ones_from_their_own_split(tmp_path: Path) -> None:
    run, sae = write_contexts(tmp_path, calibration=True), Relu()
    study = parse_study({
        "scrambled": {"seeds": []},
        "corpus": {"context": LENGTH, "calibration": 0.1, "train": 0.32},
        "subject": {"batch": 50},
        "units": {"features": 2, "neurons": 2, "controls": [], "min_contexts": 3},
        "evidence": {"top": 4, "quantiles": 0, "random": 6, "random_only": 8, "held_out_top": 3},
    })  # fmt: skip
    collect(study, KnownSubject(), {"sae": (sae, LATENTS)}, run)
    found = read_exemplars(run / HELD_OUT)
    for split in (Split.HELD_OUT, Split.CALIBRATION):
        ids, _, _ = read_all(run, split)
        truth = truths(run, split, sae)
        assert found.keys() == truth.keys()
        for unit, rows in found.items():
            own = [row for row in rows if row.context in ids]
            assert [row.kind for row in own] == ["top"] * 3 + ["random"] * 8
            peaks = truth[unit].max(axis=1)
            order = sorted(range(len(ids)), key=lambda c: (-peaks[c], ids[c]))
            assert [row.context for row in own[:3]] == [int(ids[c]) for c in order[:3]]
            assert all(row.weight == len(ids) / 8 for row in own[3:])
            for row in own:
                np.testing.assert_allclose(row.activations, truth[unit][list(ids).index(row.context)], atol=1e-4)
    assert all(len(rows) == 2 * 11 for rows in found.values()), "and of no other split"


def test_a_token_table_holds_the_mean_of_each_unit_on_each_token_of_the_evidence(collected: Path) -> None:
    """Of every arm, its own units in their order: what the control `lookup` predicts with."""
    run, sae = collected, Relu()
    tables = read_token_tables(run / "work" / "token_tables.safetensors")
    _, tokens, _ = read_all(run, Split.EVIDENCE)
    truth = truths(run, Split.EVIDENCE, sae)
    for arm, units in sampled(run).groupby("arm"):
        table = tables[str(arm)]
        assert sorted(table.tokens.tolist()) == sorted(set(tokens.ravel().tolist()))
        for column, unit in enumerate(units["unit"]):
            means = [truth[unit][tokens == int(token)].mean() for token in table.tokens]
            np.testing.assert_allclose(table.means[:, column], means, atol=1e-4)
            assert table.overall[column] == pytest.approx(truth[unit].mean(), abs=1e-4)


def test_directions_have_length_1_and_are_centred_on_evidence(tmp_path: Path) -> None:
    """With 60 evidence contexts all of them make the centre; the held-out ones have another mean."""
    run = write_contexts(tmp_path, 90)
    collect(_study(directions=8), KnownSubject(), {"sae": (Relu(), LATENTS)}, run)
    means = {split: read_all(run, split)[2].mean(axis=(0, 1)) for split in (Split.EVIDENCE, Split.HELD_OUT)}
    found = directions(run)
    assert len(found) == 8
    for vector, offset in found.values():
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-4)
        assert offset == pytest.approx(float(vector @ means[Split.EVIDENCE]), abs=1e-4)
    for other in (means[Split.HELD_OUT], np.zeros(WIDTH)):
        assert max(abs(offset - float(vector @ other)) for vector, offset in found.values()) > 0.05
    cosines = np.stack([vector for vector, _ in found.values()]) @ np.stack([vector for vector, _ in found.values()]).T
    assert np.abs(cosines - np.eye(8)).max() < 0.99, "each is another one"


def test_of_many_evidence_contexts_a_seeded_handful_makes_the_centre(run: Path) -> None:
    """64 of 133: one centre for all directions, near the mean of the evidence and not that mean."""
    collect(_study(directions=12), KnownSubject(), {"sae": (Relu(), LATENTS)}, run)
    found = directions(run)
    vectors, offsets = np.stack([v for v, _ in found.values()]), np.array([o for _, o in found.values()])
    centre, *_ = np.linalg.lstsq(vectors, offsets)
    np.testing.assert_allclose(vectors @ centre, offsets, atol=1e-4)
    _, _, activations = read_all(run, Split.EVIDENCE)
    error = activations.std(axis=(0, 1)) / np.sqrt(64 * LENGTH) * np.sqrt(1 - 64 / len(activations))
    distance = np.abs(centre - activations.mean(axis=(0, 1))) / error
    assert distance.max() < 4
    assert distance.max() > 0.1


class TwoHooks(KnownSubject):
    """At the second hook everything is twice as large, and 3 more."""

    def __init__(self) -> None:
        super().__init__()
        self.widths = {HOOK: WIDTH, OTHER: WIDTH}

    def activations(self, tokens: Int[np.ndarray, "context token"]) -> dict[str, Float[torch.Tensor, "c t w"]]:
        (read,) = super().activations(tokens).values()
        return {HOOK: read, OTHER: 2 * read + 3}


def test_the_directions_of_every_hook_are_centred_on_its_own_mean(tmp_path: Path) -> None:
    run = write_contexts(tmp_path, 90)
    study = parse_study({
        "scrambled": {"seeds": []},
        "corpus": {"context": LENGTH},
        "subject": {"batch": 50, "hooks": [HOOK, OTHER]},
        "sae": [],
        "units": {"features": 0, "neurons": 2, "directions": 3, "min_contexts": 3, "controls": ["direction"]},
        "evidence": {"top": 4, "quantiles": 2, "per_quantile": 1, "random": 6, "random_only": 8},
    })  # fmt: skip
    collect(study, TwoHooks(), {}, run)
    mean = read_all(run, Split.EVIDENCE)[2].mean(axis=(0, 1))
    at_first, at_other = (directions(run, f"direction:{hook}") for hook in (HOOK, OTHER))
    for found, length in ((at_first, 1), (at_other, 2)):
        assert len(found) == 3
        for vector, offset in found.values():
            assert np.linalg.norm(vector) == pytest.approx(length, abs=1e-4)
            assert offset == pytest.approx(float(vector @ mean), abs=1e-4)
    cosines = [float(at_first[n][0] @ at_other[n][0]) / 2 for n in at_first]
    assert max(map(abs, cosines)) < 0.999, "and are other directions"
    ids, _, activations = read_all(run, Split.EVIDENCE)
    place = {int(context): row for row, context in enumerate(ids)}
    neurons = {u: rows for u, rows in read_exemplars(run / EVIDENCE).items() if u.startswith(f"neuron:{OTHER}/")}
    assert neurons
    for unit, rows in neurons.items():
        index, sign = int(unit.split("/")[1][:-1]), 1 if unit.endswith("+") else -1
        for row in rows:
            own = 2 * activations[place[row.context]][:, index] + 3
            np.testing.assert_allclose(row.activations, np.maximum(sign * own, 0), atol=1e-4)


def _unoriented(units: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys(units["unit"].str.rstrip("+-")))


@pytest.mark.parametrize("wanted", [{}, {"neurons": 5, "directions": 8}], ids=["as many", "more than features"])
def test_the_sparse_units_have_the_densities_of_the_features_one_to_one(run: Path, wanted: dict[str, int]) -> None:
    """The first the density of the first feature, and so on, over again where there are more units than features."""
    collect(_study(features=3, **wanted), KnownSubject(), {"sae": (Relu(), LATENTS)}, run)
    units = sampled(run)
    features = units.loc[units["arm"] == "feature", "density"].to_numpy()
    apart = np.abs(features[:, None] - features[None, :])[~np.eye(3, dtype=bool)].min()
    one = 2.5 / (len(read_all(run, Split.EVIDENCE)[0]) * LENGTH)
    assert apart > 4 * one, "whose density it is can be told"
    for arm in ("neuron-sparse", "direction-sparse"):
        own = units[units["arm"] == arm]
        assert len(_unoriented(own)) == wanted.get(f"{arm.split('-')[0]}s", 3)
        for place, name in enumerate(_unoriented(own)):
            sides = own[own["unit"].str.rstrip("+-") == name]
            assert np.abs(sides["density"] - features[place % 3]).max() <= one, (name, features)
        plain = units[units["arm"] == arm.removesuffix("-sparse")]
        assert own["unit"].tolist() == [u.replace("/", "-sparse/") for u in plain["unit"]]
        assert (plain["threshold"] == 0).all()
        assert (own["threshold"] > 0).all()


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_units(run: Path) -> None:
    def tables(seed: int) -> list[bytes]:
        study = _study().model_copy(update={"seed": seed})
        collect(study, KnownSubject(), {"sae": (Relu(), LATENTS)}, run)
        return [(run / "work" / f"{n}.parquet").read_bytes() for n in ("candidates", "evidence", "held-out")]

    first = tables(0)
    assert tables(0) == first
    assert tables(1) != first


def test_units_that_are_active_in_too_few_contexts_are_excluded_and_counted(run: Path) -> None:
    """By plain loops over all latents, sampled or not."""
    sae = Relu()
    _, _, activations = read_all(run, Split.EVIDENCE)
    codes = sae.encode(torch.from_numpy(activations.reshape(-1, WIDTH))).numpy()
    contexts = (codes.reshape(*activations.shape[:2], LATENTS) > 0).any(axis=1).sum(axis=0)
    least = int(np.sort(contexts)[4])
    assert 0 < np.sort(contexts)[3] < least
    collect(
        _study(features=4, neurons=0, controls=[], min_contexts=least), KnownSubject(), {"sae": (sae, LATENTS)}, run
    )
    units = read_table(run / CANDIDATES)
    excluded = units[units["status"] == "excluded"].set_index("index")["reason"].to_dict()
    assert excluded == {
        n: "dead on the evidence" if seen == 0 else f"active in under {least} evidence contexts"
        for n, seen in enumerate(contexts.tolist()) if seen < least
    }  # fmt: skip
    assert len(excluded) == 4
    assert (contexts[sampled(run)["index"]] >= least).all()


def test_too_many_units_is_one_line(run: Path) -> None:
    with pytest.raises(BadInput, match="arm 'feature' has 8 units active in 3 evidence contexts, needs 9"):
        collect(_study(features=9), KnownSubject(), {"sae": (Relu(), LATENTS)}, run)


def test_a_sparse_control_without_features_is_one_line(run: Path) -> None:
    with pytest.raises(BadInput, match="control 'neuron-sparse' has no features on hook"):
        collect(_study(features=0), KnownSubject(), {"sae": (Relu(), LATENTS)}, run)
