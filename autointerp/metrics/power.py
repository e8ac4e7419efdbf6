"""What a comparison can and can't find: equivalence within a margin, the smallest difference, the units it takes."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, sqrt

from scipy import stats

SIZE = 0.05
"""Of the two-sided test whose power is asked for."""
POWER = 0.8


def equivalence_p(difference: float, error: float, freedom: float, margin: float) -> float:
    """The p of two one-sided t tests that the difference lies within -margin to margin (Schuirmann 1987), in [0, 1].

    `error` is the standard error of `difference`, `freedom` its degrees of freedom. It is for any estimate that has
    these, also for a mean over replicates.
    """
    below = stats.t.sf((difference + margin) / error, freedom)
    above = stats.t.cdf((difference - margin) / error, freedom)
    return float(max(below, above))


def smallest_difference(error: float, freedom: float, size: float = SIZE, power: float = POWER) -> float:
    """The true difference that a two-sided t test at `size` finds with `power`, on the scale of `error`.

    (t[1 - size/2] + t[power]) * error; 2.80 standard errors for many degrees of freedom.
    """
    return float((stats.t.ppf(1 - size / 2, freedom) + stats.t.ppf(power, freedom)) * error)


def planned_error(
    first: float, second: float, units: int, tau: float = 0.0, replicates: int = 1
) -> tuple[float, float]:
    """Standard error and degrees of freedom of a difference of arms that is yet to be measured.

    `first` and `second` are standard deviations of scores over units, `units` the number in each arm, and `tau` the
    standard deviation of the true difference between replicates. The variance is tau^2 / R + (s_F^2 + s_N^2) / (n R).
    With one replicate the degrees are Welch's and `tau` is not seen by the test; with more they are R - 1.
    """
    within = (first**2 + second**2) / units
    error = sqrt(tau**2 / replicates + within / replicates)
    if replicates > 1:
        return error, replicates - 1.0
    return error, (first**2 + second**2) ** 2 * (units - 1) / (first**4 + second**4)


def units_for(difference: float, first: float, second: float, tau: float = 0.0, replicates: int = 1) -> int | None:
    """The fewest units an arm with which `difference` is found with 80% power; None when no number of units is enough.

    The other arguments are those of `planned_error`.
    """
    most = 1_000_000

    def found(units: int) -> bool:
        return smallest_difference(*planned_error(first, second, units, tau, replicates)) <= difference

    if not found(most):
        return None
    low, high = 1, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if found(middle) else (middle, high)
    return high


def best_units(first: float, second: float, tau: float, replicate_cost: float, unit_cost: float) -> int | None:
    """Units an arm and replicate that make the error smallest for what is spent; None for tau = 0: one replicate.

    `replicate_cost` is what a replicate costs without its units, `unit_cost` what a unit of both arms costs in it, in
    the same currency: sqrt(c_r / c_u * (s_F^2 + s_N^2) / tau^2).
    """
    if tau <= 0:
        return None
    return max(2, ceil(sqrt(replicate_cost / unit_cost * (first**2 + second**2)) / tau))


@dataclass(frozen=True)
class BudgetSplit:
    """How a budget is shared out."""

    replicates: int
    units: int
    """In each arm of each replicate."""
    smallest: float
    """The difference that is found with 80% power."""


def best_split(
    budget: float, first: float, second: float, tau: float, replicate_cost: float, unit_cost: float
) -> BudgetSplit | None:
    """The numbers of replicates and units that find the smallest difference for `budget`; None where it is too little.

    All are tried that the budget allows, from two replicates on, for one alone doesn't see `tau`; one is allowed for
    tau = 0. Costs as in `best_units`, in the currency of `budget`.
    """
    best = None
    for replicates in range(1 if tau == 0 else 2, int(budget / (replicate_cost + 2 * unit_cost)) + 1):
        units = int((budget / replicates - replicate_cost) / unit_cost)
        smallest = smallest_difference(*planned_error(first, second, units, tau, replicates))
        if best is None or smallest < best.smallest:
            best = BudgetSplit(replicates, units, smallest)
    return best
