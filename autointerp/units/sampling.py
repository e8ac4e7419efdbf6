"""Which units of an arm are sampled, which are left out and why, and what a unit is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from autointerp.artifacts import rng_of
from autointerp.errors import BadInput
from autointerp.records import Status, Unit
from autointerp.subject.scrambling import split_hook
from autointerp.units.interface import Readout, base_id


@dataclass(frozen=True)
class Survey:
    """Statistics of every candidate unit of one arm over the evidence split."""

    density: Float[np.ndarray, " unit"]
    """Share of tokens on which it is active."""
    contexts: Int[np.ndarray, " unit"]
    """Contexts in which it is active."""
    peak: Float[np.ndarray, " unit"]
    single_token: Float[np.ndarray, " unit"]
    """Share of its top contexts whose peak is on the most common peak token."""


def eligible(survey: Survey, min_contexts: int) -> Bool[np.ndarray, " unit"]:
    """Which units are active in enough evidence contexts."""
    return survey.contexts >= min_contexts


def sample_units(
    readout: Readout, survey: Survey, count: int, min_contexts: int, seed: int
) -> tuple[list[Unit], list[Unit]]:
    """Draw `count` units of an arm evenly among the eligible; return (drawn, excluded).

    Orientations of one neuron are drawn together (those that are eligible), and a neuron is excluded, in one
    row, when neither is. Raises BadInput when fewer than `count` are eligible.
    """
    fine = eligible(survey, min_contexts)
    by_index: dict[int, list[int]] = {}
    for position, index in enumerate(readout.indices):
        by_index.setdefault(int(index), []).append(position)
    good = [index for index, places in by_index.items() if fine[places].any()]
    if len(good) < count:
        raise BadInput(
            f"arm '{readout.arm}' has {len(good)} units active in {min_contexts} evidence contexts, needs {count}",
            "raise corpus.tokens, or lower units.min_contexts or the number of units",
        )
    drawn_indices = rng_of(seed, "sample", readout.arm).choice(
        np.array(good, dtype=np.int64), size=count, replace=False
    )
    drawn = [
        describe(readout, survey, place) for index in drawn_indices for place in by_index[int(index)] if fine[place]
    ]
    excluded = []
    for places in by_index.values():
        if not fine[places].any():
            place = max(places, key=lambda p: int(survey.contexts[p]))
            silent = survey.contexts[place] == 0
            why = "dead on the evidence" if silent else f"active in under {min_contexts} evidence contexts"
            excluded.append(replace(describe(readout, survey, place), status=Status.EXCLUDED, reason=why))
    return drawn, excluded


def unit_id(arm: str, index: int, sign: int, oriented: bool) -> str:
    """`feature/1234`, `neuron/17-`, `direction/3`: only units of an oriented kind show their orientation."""
    return f"{arm}/{index}" + (("+" if sign > 0 else "-") if oriented else "")


def describe(readout: Readout, survey: Survey, position: int) -> Unit:
    """One unit of a readout, with its statistics, as a record."""
    index, sign = int(readout.indices[position]), int(readout.signs[position])
    oriented = bool((readout.signs < 0).any())
    return Unit(
        unit=unit_id(readout.arm, index, sign, oriented),
        replicate=0,
        arm=readout.arm,
        hook=readout.hook,
        sae=readout.sae,
        index=index,
        sign=sign,
        threshold=float(readout.thresholds[position]),
        density=float(survey.density[position]),
        max_activation=float(survey.peak[position]),
        single_token=float(survey.single_token[position]),
        subject=split_hook(readout.hook)[1],
    )


def group_by_base(units: Sequence[Unit]) -> Mapping[str, list[Unit]]:
    """Units under their id without orientation, in the given order."""
    groups: dict[str, list[Unit]] = {}
    for unit in units:
        groups.setdefault(base_id(unit.unit), []).append(unit)
    return groups
