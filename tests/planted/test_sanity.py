"""The checks of the scores: by hand, and on a unit for which it is known what falls."""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np
import pytest

from autointerp.benchmark_rows import SanityRow
from autointerp.contexts.slices import RANDOM_ONLY, TOP_AND_RANDOM
from autointerp.metrics.intervals import Resampling
from autointerp.planted.sanity import (
    CHANGES,
    DOUBLED,
    DRAWS,
    HALVED,
    METRICS,
    SLICES,
    UNIFORM,
    doubled,
    halved,
    sanity_rows,
)
from tests.planted.made import TOPICS, made_units

PLAN = Resampling(500, 0.95)


@cache
def _rows() -> tuple[SanityRow, ...]:
    return tuple(sanity_rows(made_units(), PLAN, 0))


def test_half_of_the_labels_go_and_as_many_come() -> None:
    rng = np.random.default_rng(0)
    truth = (rng.random(200_000) < 0.02).astype(np.float32)
    less, more = halved(truth, 0.02, rng), doubled(truth, 0.02, rng)
    assert not (less > truth).any()
    assert less.sum() / truth.sum() == pytest.approx(0.5, abs=0.03)
    assert not (more < truth).any()
    assert more.sum() / truth.sum() == pytest.approx(2, abs=0.06)


def test_every_metric_is_tried_on_every_slice() -> None:
    rows = _rows()
    assert [(r.metric, r.slice, r.change) for r in rows] == list(product(METRICS, SLICES, CHANGES))
    assert all(r.n + r.unscored == TOPICS for r in rows), "noise has no labels"
    assert rows == tuple(sanity_rows(made_units(), PLAN, 0))


def test_correlation_falls_where_there_are_labels_and_recall_where_half_of_them_are_missing() -> None:
    found = {(r.metric, r.slice, r.change): r.falls for r in _rows()}
    for name in (TOP_AND_RANDOM, UNIFORM):
        assert found["pearson", name, HALVED] == 1
        assert found["pearson", name, DOUBLED] == pytest.approx(1, abs=0.05)
    assert DRAWS * (found["pearson", RANDOM_ONLY, DOUBLED] or 0) > 0
