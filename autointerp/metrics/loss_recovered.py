"""How much of the subject's loss an SAE's reconstruction keeps, with intervals over contexts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from autointerp.metrics.intervals import EQUAL, Interval, Resampling, blocks, few

ONE = "one context has no standard error"
NOT_WORSE = "ablation does not raise the loss: there is nothing to recover"
TOO_CLOSE = "ablation raises the loss by no more than chance: no interval"
NOT_A_NUMBER = "a loss is not a finite number"

PerContext = Float[np.ndarray, " context"]


@dataclass(frozen=True)
class Losses:
    """Mean cross-entropy per next token in each context, in nats, under four conditions."""

    clean: PerContext
    """The subject as it is."""
    spliced: PerContext
    """The hook's vectors replaced by the SAE's reconstruction."""
    zero: PerContext
    """Replaced by zeros."""
    mean: PerContext
    """Replaced by the mean of the vectors of these contexts."""


@dataclass(frozen=True)
class Recovered:
    """Means over contexts, and the share of the loss that an ablation costs which the reconstruction saves."""

    clean: Interval
    spliced: Interval
    zero: Interval
    mean: Interval
    against_zero: Interval
    """(zero - spliced) / (zero - clean), at most about 1 (Bricken et al. 2023); no value, but a note, when zero
    ablation does not raise the loss."""
    against_mean: Interval
    """The same with mean ablation, which removes less, so the share is lower."""


def recovered(losses: Losses, plan: Resampling, rng: np.random.Generator) -> Recovered:
    """Sum the losses up over contexts of equal length.

    Intervals are percentile bootstraps: contexts are resampled, and all four conditions keep the same contexts in each
    resample, since their losses rise and fall together. They say how much the figures depend on the contexts that were
    drawn; what another training run of the SAE would give is not in them.
    """
    table = np.stack([losses.clean, losses.spliced, losses.zero, losses.mean], axis=1)
    values = table.mean(axis=0)
    draws = np.concatenate(list(_resampled(table, plan.resamples, rng)))
    note = ONE if len(table) == 1 else few(len(table), "contexts")
    plain = [_interval(float(values[i]), draws[:, i], plan, note) for i in range(4)]
    against = [_share(values, draws, ablated, plan, note) for ablated in (2, 3)]
    return Recovered(*plain, *against)


def _resampled(
    table: Float[np.ndarray, "context condition"], resamples: int, rng: np.random.Generator
) -> Iterator[Float[np.ndarray, "draw condition"]]:
    """Means over resampled contexts, some draws at a time."""
    contexts = table.shape[0]
    for size in blocks(resamples, contexts):
        counts = rng.multinomial(contexts, np.full(contexts, 1 / contexts), size=size)
        with np.errstate(invalid="ignore"):  # an infinite loss has no interval, and its note says so
            yield counts @ table / contexts


def _share(
    values: Float[np.ndarray, " condition"],
    draws: Float[np.ndarray, "draw condition"],
    ablated: int,
    plan: Resampling,
    note: str,
) -> Interval:
    if not np.isfinite(values[[0, 1, ablated]]).all():
        return Interval(None, note=NOT_A_NUMBER)
    if not values[ablated] > values[0]:
        return Interval(None, note=NOT_WORSE)
    value = float((values[ablated] - values[1]) / (values[ablated] - values[0]))
    cost = draws[:, ablated] - draws[:, 0]
    if (cost <= 0).any():
        return Interval(value, note=TOO_CLOSE)
    return _interval(value, (draws[:, ablated] - draws[:, 1]) / cost, plan, note)


def _interval(value: float, draws: Float[np.ndarray, " draw"], plan: Resampling, note: str) -> Interval:
    if not np.isfinite(value):
        return Interval(None, note=NOT_A_NUMBER)
    if note == ONE:
        return Interval(value, note=ONE)
    low, high = np.quantile(draws, [(1 - plan.confidence) / 2, (1 + plan.confidence) / 2])
    if low == high:
        return Interval(value, note=EQUAL)
    return Interval(value, float(low), float(high), note)
