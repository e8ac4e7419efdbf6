"""Krippendorff's alpha: his worked example, closed forms, a plain loop, and the package of that name."""

from __future__ import annotations

import json
import os
import subprocess
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from autointerp.artifacts import rng_of
from autointerp.metrics.alpha import NO_PAIRS, NO_SPREAD, alpha_interval, ordinal_alpha
from autointerp.metrics.intervals import Resampling

NONE = np.nan
EXAMPLE = np.array([
    [1, 2, 3, 3, 2, 1, 4, 1, 2, NONE, NONE, NONE],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NONE, 3],
    [NONE, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NONE],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NONE],
]).T  # fmt: skip
"""Four observers of twelve units, out of "Computing Krippendorff's alpha-reliability"; ordinal alpha is 0.815."""
PLAN = Resampling(1000, 0.95)


def rated(units: int, raters: int, seed: int, missing: float = 0.0) -> np.ndarray:
    rng = rng_of("ratings", seed)
    values = np.clip(np.rint(7 + rng.normal(0, 3, (units, 1)) + rng.normal(0, 2.5, (units, raters))), 0, 14)
    values[rng.random(values.shape) < missing] = np.nan
    return values


def by_loop(ratings: np.ndarray) -> float:
    """By the book: every pair of ratings of a unit, every pair of all pairable ratings, and the ordinal distance."""
    rows = [[v for v in row if not np.isnan(v)] for row in ratings]
    rows = [row for row in rows if len(row) > 1]
    pooled = [v for row in rows for v in row]

    def distance(a: float, b: float) -> float:
        low, high = min(a, b), max(a, b)
        between = sum(low <= v <= high for v in pooled)
        return float((between - (pooled.count(a) + pooled.count(b)) / 2) ** 2)

    observed = sum(distance(a, b) / (len(row) - 1) for row in rows for a, b in permutations(row, 2)) / len(pooled)
    expected = sum(distance(a, b) for a, b in permutations(pooled, 2)) / (len(pooled) * (len(pooled) - 1))
    return 1 - observed / expected


def test_the_published_example() -> None:
    value = ordinal_alpha(EXAMPLE).value
    assert value is not None
    assert round(value, 3) == 0.815


@pytest.mark.parametrize("missing", [0.0, 0.3, 0.6])
def test_it_is_what_a_plain_loop_finds(missing: float) -> None:
    for seed in range(4):
        ratings = rated(14, 4, seed, missing)
        assert ordinal_alpha(ratings).value == pytest.approx(by_loop(ratings), abs=1e-12)


def test_closed_forms() -> None:
    same = np.repeat(np.arange(6.0)[:, None], 3, axis=1)
    assert ordinal_alpha(same).value == pytest.approx(1)
    # Two raters who always give the two values the other way round: D_o = 1, D_e = n / (2 (n - 1)) of all pairs.
    opposite = np.array([[0.0, 1.0], [1.0, 0.0]] * 5)
    assert ordinal_alpha(opposite).value == pytest.approx(1 - 2 * (20 - 1) / 20)
    assert abs(ordinal_alpha(rng_of("chance").integers(0, 5, (4000, 2)).astype(float)).value or 0) < 0.05
    # Only the order of the values counts.
    assert ordinal_alpha(EXAMPLE**3 + 7).value == pytest.approx(ordinal_alpha(EXAMPLE).value)


def test_what_has_no_alpha_says_why() -> None:
    assert ordinal_alpha(np.array([[1.0, NONE], [NONE, 2.0]])).note == NO_PAIRS
    for found in (ordinal_alpha(np.full((5, 2), 3.0)), alpha_interval(np.full((5, 2), 3.0), PLAN, rng_of("x"))):
        assert (found.value, found.low, found.note) == (None, None, NO_SPREAD)
    one = alpha_interval(np.array([[1.0, 2.0], [NONE, 2.0]]), PLAN, rng_of("x"))
    assert one.low is None
    assert one.note == "one unit has no spread"


def test_the_interval_covers_about_as_often_as_it_says() -> None:
    truth = float(np.mean([ordinal_alpha(rated(3000, 3, -seed - 1)).value or 0 for seed in range(3)]))
    hits = 0
    for seed in range(150):
        found = alpha_interval(rated(30, 3, seed), Resampling(400, 0.95), rng_of("interval", seed))
        hits += (found.low or 0) <= truth <= (found.high or 0)
    assert 0.88 <= hits / 150 <= 0.99


def test_the_package_finds_the_same() -> None:
    root = os.environ.get("AUTOINTERP_RIVALS")
    if root is None:
        pytest.skip("AUTOINTERP_RIVALS names no folder of environments: python -m venv DIR/krippendorff && "
                    "DIR/krippendorff/bin/pip install krippendorff")  # fmt: skip
    tables = [EXAMPLE, *(rated(20, 3, seed, 0.2) for seed in range(20))]
    code = (
        "import json, sys, numpy, krippendorff\n"
        "print(json.dumps([krippendorff.alpha(reliability_data=numpy.array(t, dtype=float).T, "
        "level_of_measurement='ordinal') for t in json.load(sys.stdin)]))"
    )
    given = json.dumps([[[None if np.isnan(v) else v for v in row] for row in t.tolist()] for t in tables])
    done = subprocess.run(
        [str(Path(root) / "krippendorff" / "bin" / "python"), "-c", code], input=given, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    ours = [ordinal_alpha(t).value for t in tables]
    np.testing.assert_allclose(np.array(ours, dtype=float), json.loads(done.stdout), atol=1e-9)
