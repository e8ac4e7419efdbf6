from pathlib import Path

import numpy as np
import pandas as pd

from autointerp.score.slices import RANDOM_ONLY, TOP_AND_RANDOM, read_slices, slices_of
from autointerp.study import Evidence
from autointerp.tables import write_table

SIZES = Evidence(held_out_top=2, held_out_random=2, random_only=4)


def rows(*drawn: tuple[int, str]) -> pd.DataFrame:
    return pd.DataFrame(
        [{"context": c, "kind": kind, "activations": np.full(3, c, dtype=np.float32)} for c, kind in drawn]
    )


def test_the_first_random_contexts_join_the_top_ones() -> None:
    found = slices_of(rows((9, "top"), (8, "top"), (1, "random"), (2, "random"), (3, "random"), (4, "random")), SIZES)
    assert found[TOP_AND_RANDOM].contexts.tolist() == [9, 8, 1, 2]
    assert found[RANDOM_ONLY].contexts.tolist() == [1, 2, 3, 4]
    assert found[TOP_AND_RANDOM].truth[:, 0].tolist() == [9, 8, 1, 2]


def test_a_context_drawn_twice_is_counted_once_and_stays_in_random_only() -> None:
    found = slices_of(rows((9, "top"), (8, "top"), (9, "random"), (2, "random"), (3, "random")), SIZES)
    assert found[TOP_AND_RANDOM].contexts.tolist() == [9, 8, 2]
    assert found[RANDOM_ONLY].contexts.tolist() == [9, 2, 3]


def test_a_unit_without_contexts_has_empty_slices() -> None:
    assert [len(held) for held in slices_of(rows((9, "top")).iloc[:0], SIZES).values()] == [0, 0]


def test_only_held_out_rows_of_the_table_are_read(tmp_path: Path) -> None:
    context = {"document": 0, "source": "s", "start": 0, "tokens": [1, 2], "pieces": ["a", "b"]}
    splits = {0: "evidence", 1: "calibration", 2: "held-out", 3: "held-out"}
    write_table(
        "contexts", tmp_path / "contexts.parquet", [{**context, "context": c, "split": s} for c, s in splits.items()]
    )
    drawn = [(0, "top"), (1, "top"), (2, "top"), (3, "random"), (3, "quantile-1")]
    write_table("evidence", tmp_path / "evidence.parquet", [
        {"unit": unit, "replicate": 0, "context": c, "kind": kind, "weight": 1.0, "activations": [0.0, float(c)]}
        for unit in ("a", "b") for c, kind in drawn
    ])  # fmt: skip
    found = read_slices(tmp_path, SIZES)
    assert set(found) == {("a", 0), ("b", 0)}
    assert found["a", 0][TOP_AND_RANDOM].contexts.tolist() == [2, 3]
    assert found["a", 0][RANDOM_ONLY].contexts.tolist() == [3]
