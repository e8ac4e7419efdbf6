from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from autointerp.compare.strata import STRATA
from autointerp.contexts.slices import (
    CALIBRATION,
    HARD_NEGATIVES,
    NO_OTHER_RANDOM,
    RANDOM_ONLY,
    TOP_AND_RANDOM,
    Held,
    read_slices,
    slices_of,
)
from autointerp.records import Unscored
from autointerp.study import Evidence
from autointerp.tables import read_table, write_table
from tests.fake_run import Plan, finished

SIZES = Evidence(held_out_top=2, held_out_random=2, random_only=4)
POPULATION = 100


def rows(*drawn: tuple[int, str]) -> pd.DataFrame:
    """Of a split of a hundred contexts."""
    randoms = sum(kind == "random" for _, kind in drawn)
    weights = {"random": POPULATION / max(randoms, 1), "quantile-1": 7.0}
    return pd.DataFrame(
        [
            {
                "context": c,
                "kind": kind,
                "weight": weights.get(kind, 1.0),
                "activations": np.full(3, c, dtype=np.float32),
            }
            for c, kind in drawn
        ]
    )  # fmt: skip


def weights(held: Held) -> list[float]:
    found = held.weights
    assert isinstance(found, np.ndarray)
    return [round(float(w), 6) for w in found]


def test_the_first_random_contexts_join_the_top_ones() -> None:
    found = slices_of(rows((9, "top"), (8, "top"), (1, "random"), (2, "random"), (3, "random"), (4, "random")), SIZES)
    assert found[TOP_AND_RANDOM].contexts.tolist() == [9, 8, 1, 2]
    assert found[RANDOM_ONLY].contexts.tolist() == [1, 2, 3, 4]
    assert found[TOP_AND_RANDOM].truth[:, 0].tolist() == [9, 8, 1, 2]
    assert weights(found[TOP_AND_RANDOM]) == [1, 1, 49, 49]
    assert weights(found[RANDOM_ONLY]) == [25, 25, 25, 25]
    per_token = found[TOP_AND_RANDOM].token_weights
    assert per_token is not None
    assert per_token.tolist() == [1, 1, 1, 1, 1, 1, 49, 49, 49, 49, 49, 49]


def test_a_context_drawn_twice_is_counted_once_and_stays_in_random_only() -> None:
    found = slices_of(rows((9, "top"), (8, "top"), (9, "random"), (2, "random"), (3, "random")), SIZES)
    assert found[TOP_AND_RANDOM].contexts.tolist() == [9, 8, 2]
    assert found[RANDOM_ONLY].contexts.tolist() == [9, 2, 3]
    assert weights(found[TOP_AND_RANDOM]) == [1, 1, 98]
    both = slices_of(rows((9, "top"), (8, "top"), (9, "random"), (8, "random"), (3, "random")), SIZES)
    assert both[TOP_AND_RANDOM].weights == NO_OTHER_RANDOM
    assert both[TOP_AND_RANDOM].token_weights is None


def test_a_unit_without_contexts_has_empty_slices() -> None:
    assert [len(held) for held in slices_of(rows((9, "top")).iloc[:0], SIZES).values()] == [0, 0]


def test_bands_and_hard_negatives_are_slices_of_their_own() -> None:
    drawn = [(9, "top"), (5, "quantile-1"), (4, "quantile-1"), (9, "quantile-0"), (1, "random"), (5, "random")]
    found = slices_of(rows(*drawn, (0, "hard-negative-token"), (7, "hard-negative-nearest")), SIZES)
    assert list(found) == [TOP_AND_RANDOM, RANDOM_ONLY, "quantile-0", "quantile-1", HARD_NEGATIVES]
    assert found["quantile-1"].contexts.tolist() == [5, 4]
    assert weights(found["quantile-1"]) == [7, 7]
    assert found[HARD_NEGATIVES].contexts.tolist() == [0, 7]
    assert found[TOP_AND_RANDOM].contexts.tolist() == [9, 1, 5]


@pytest.mark.parametrize("drawn", [1, 2, 4])
def test_a_weighted_mean_over_top_and_random_is_that_over_the_split(drawn: int) -> None:
    """Without bias: over all draws that there are it is exact, however many of the drawn ones are top ones too."""
    values = np.array([90.0, 40.0, 8.0, 5.0, 3.0, 1.0, 0.0, 0.0])
    top = [(c, "top") for c in range(3)]
    sizes = Evidence(held_out_top=3, held_out_random=drawn, random_only=drawn)
    estimates: dict[int, list[float]] = {}
    for chosen in combinations(range(8), drawn):
        frame = rows(*top, *((c, "random") for c in chosen))
        frame.loc[frame["kind"] == "random", "weight"] = 8 / drawn
        held = slices_of(frame, sizes)[TOP_AND_RANDOM]
        if isinstance(held.weights, Unscored):
            assert max(chosen) < 3
            continue
        assert held.weights.sum() == pytest.approx(8)
        twice = 3 + drawn - len(held)
        estimates.setdefault(twice, []).append(float((values[held.contexts] * held.weights).sum() / 8))
    assert len(estimates) == min(drawn, 3 + 1), "contexts that are drawn both ways are part of the test"
    for found in estimates.values():
        assert np.mean(found) == pytest.approx(values.mean())


def test_only_held_out_rows_of_the_table_are_read(tmp_path: Path) -> None:
    context = {"document": 0, "source": "s", "start": 0, "tokens": [1, 2], "pieces": ["a", "b"]}
    splits = {0: "evidence", 1: "calibration", 2: "held-out", 3: "held-out", 4: "evidence"}
    write_table(
        "contexts", tmp_path / "contexts.parquet", [{**context, "context": c, "split": s} for c, s in splits.items()]
    )
    drawn = [(0, "top"), (1, "top"), (2, "top"), (3, "random"), (3, "quantile-1"), (4, "quantile-0"),
             (4, "hard-negative-token")]  # fmt: skip
    write_table("evidence", tmp_path / "evidence.parquet", [
        {"unit": unit, "replicate": 0, "context": c, "kind": kind, "weight": 2.0, "activations": [0.0, float(c)]}
        for unit in ("a", "b") for c, kind in drawn
    ])  # fmt: skip
    found = read_slices(tmp_path, SIZES)
    assert set(found) == {("a", 0), ("b", 0)}
    assert set(found["a", 0]) == {TOP_AND_RANDOM, RANDOM_ONLY, "quantile-1"}
    assert found["a", 0][TOP_AND_RANDOM].contexts.tolist() == [2, 3]
    assert found["a", 0][RANDOM_ONLY].contexts.tolist() == [3]
    assert read_slices(tmp_path, SIZES, calibration=True)["a", 0][CALIBRATION].contexts.tolist() == [1]


def test_every_slice_is_compared_in_every_stratum(tmp_path: Path) -> None:
    """Units that are not single-token alone: in each slice, quantile bands and weighted metrics included."""
    wanted = {
        "evidence": {"held_out_top": 3, "held_out_random": 3, "random_only": 8, "quantiles": 2,
                     "held_out_per_quantile": 2},
        "score": {"slices": ["top-and-random", "random-only", "quantile-1"],
                  "metrics": ["pearson", "weighted_pearson"]},
        "simulate": {"method": "lift", "lookup": False, "literal": False, "both_kinds": False},
    }  # fmt: skip
    finished(tmp_path, Plan({"feature": 0.9, "neuron": 0.5}, units=5, settings=wanted))
    table = read_table(tmp_path / "comparison.parquet")
    against = table[(table["scorer"] == "lift") & (table["baseline"] == "neuron")]
    found = against.groupby(["metric", "slice"])["stratum"].agg(set)
    assert len(found) == 2 * 3
    assert all(strata == set(STRATA) for strata in found)
    scores = read_table(tmp_path / "scores.parquet").query("pairing == 'own'")
    own = scores.pivot(index=["unit", "scorer", "slice"], columns="metric", values="value").dropna()
    apart = (own["weighted_pearson"] - own["pearson"]).abs().groupby("slice").max()
    assert apart.drop(TOP_AND_RANDOM).max() < 1e-9
    assert apart[TOP_AND_RANDOM] > 0.01
