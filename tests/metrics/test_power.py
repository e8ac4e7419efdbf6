"""What a comparison can find, held against simulated samples of known effects."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from autointerp.metrics.power import (
    best_split,
    best_units,
    equivalence_p,
    planned_error,
    smallest_difference,
    units_for,
)

FEATURE, NEURON = 0.17, 0.26
"""Standard deviations of scores over units, as in the committed run."""


def means(rng: np.random.Generator, true: float, tau: float, replicates: int, units: int) -> np.ndarray:
    """Differences of means: 4,000 studies by replicate."""
    error = np.sqrt((FEATURE**2 + NEURON**2) / units)
    return true + rng.normal(0, tau, (4000, replicates)) + rng.normal(0, error, (4000, replicates))


@pytest.mark.slow
@pytest.mark.parametrize("units", [24, 64])
def test_the_smallest_difference_is_found_in_four_studies_of_five(units: int) -> None:
    rng = np.random.default_rng(units)
    true = smallest_difference(*planned_error(FEATURE, NEURON, units))
    first, second = rng.normal(true, FEATURE, (4000, units)), rng.normal(0, NEURON, (4000, units))
    assert np.mean(stats.ttest_ind(first, second, axis=1, equal_var=False).pvalue < 0.05) == pytest.approx(
        0.8, abs=0.03
    )


@pytest.mark.slow
@pytest.mark.parametrize(("replicates", "tau"), [(3, 0.0), (5, 0.04), (10, 0.06)])
def test_the_smallest_difference_over_replicates_is_found_in_four_studies_of_five(replicates: int, tau: float) -> None:
    true = smallest_difference(*planned_error(FEATURE, NEURON, 64, tau, replicates))
    found = means(np.random.default_rng(replicates), true, tau, replicates, 64)
    assert np.mean(stats.ttest_1samp(found, 0, axis=1).pvalue < 0.05) == pytest.approx(0.8, abs=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("true", [0.05, -0.05])
def test_equivalence_at_the_margin_is_said_in_one_study_of_twenty(true: float) -> None:
    rng = np.random.default_rng(3)
    first, second = rng.normal(true, 0.1, (2000, 256)), rng.normal(0, 0.1, (2000, 256))
    said = []
    for row, other in zip(first, second, strict=True):
        result = stats.ttest_ind(row, other, equal_var=False)
        error = abs((row.mean() - other.mean()) / result.statistic)
        said.append(equivalence_p(row.mean() - other.mean(), error, result.df, 0.05) < 0.05)
    assert 0.035 < np.mean(said) < 0.065


def test_equivalence_is_shown_by_a_narrow_estimate_near_zero_alone() -> None:
    assert equivalence_p(0.0, 0.01, 100, 0.05) < 1e-5
    assert equivalence_p(0.0, 0.05, 100, 0.05) == pytest.approx(stats.t.sf(1, 100))
    assert equivalence_p(0.06, 0.001, 100, 0.05) > 0.99


def test_units_and_replicates_for_a_difference() -> None:
    units = units_for(0.1, FEATURE, NEURON)
    assert units is not None
    found = [smallest_difference(*planned_error(FEATURE, NEURON, n)) for n in (units - 1, units)]
    assert found[0] > 0.1 >= found[1]
    assert smallest_difference(1.0, 1e9) == pytest.approx(2.80, abs=0.005)
    assert units_for(0.02, FEATURE, NEURON, tau=0.05, replicates=3) is None  # no number of units makes tau smaller


def test_the_best_number_of_units_makes_the_error_smallest_for_what_is_spent() -> None:
    tau, replicate, unit, budget = 0.04, 300.0, 10.0, 10_000.0
    best = best_units(FEATURE, NEURON, tau, replicate, unit)
    assert best is not None

    def variance(units: int) -> float:
        return (tau**2 + (FEATURE**2 + NEURON**2) / units) * (replicate + unit * units) / budget

    assert min(range(2, 500), key=variance) == pytest.approx(best, abs=1)
    assert best_units(FEATURE, NEURON, 0.0, replicate, unit) is None


def test_the_best_split_of_a_budget_is_the_best_of_all_that_it_allows() -> None:
    tau, replicate, unit, budget = 0.04, 300.0, 10.0, 6000.0
    found = best_split(budget, FEATURE, NEURON, tau, replicate, unit)
    assert found is not None
    tried = {
        (r, n): smallest_difference(*planned_error(FEATURE, NEURON, n, tau, r))
        for r in range(2, 30)
        for n in range(2, 600)
        if r * (replicate + n * unit) <= budget
    }
    assert tried[found.replicates, found.units] == found.smallest == min(tried.values())
    assert best_split(600.0, FEATURE, NEURON, tau, replicate, unit) is None, "two replicates can't be paid"
    alone = best_split(budget, FEATURE, NEURON, 0.0, replicate, unit)
    assert alone is not None
    assert (alone.replicates, alone.units) == (1, 570)
