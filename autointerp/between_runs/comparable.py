"""Whether two runs can be held against each other, on which cells and arms, and which of their units are the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from autointerp.between_runs.settings import Difference, simulators_differ
from autointerp.between_runs.sides import ContextsOf, Side, check_replicates
from autointerp.contexts.slices import RANDOM_ONLY, TOP_AND_RANDOM, UNLISTED
from autointerp.errors import BadInput
from autointerp.records import Split, Status
from autointerp.units.arms import plain
from autointerp.units.features import Features
from autointerp.units.interface import base_id
from autointerp.units.neurons import Neurons

OTHER_HOOK = "another hook"
OTHER_SAE = "another SAE"
OTHER_ACTIVATIONS = "the same names stand for other activations"
OTHER_EVIDENCE = "other evidence, by which they are placed"
OTHER_UNITS = "other units were drawn"

_CONTEXTS = {
    TOP_AND_RANDOM: ("held_out_top", "held_out_random"),
    UNLISTED: ("held_out_top", "held_out_random"),
    RANDOM_ONLY: ("random_only",),
}
"""Slice -> the keys of `evidence` that say what it is made of; the bands of quantiles are made of the others."""
_OF_BANDS = ("quantiles", "held_out_per_quantile")
_ALIKE = 0.02
"""Two readings of one unit on one text differ by less than this share of either: precision and device may differ."""
_MOST = 0.9
"""Share of the units of a name that must be read alike."""
SHARED = 0.5
"""Share of the smaller arm that must be the same units: below that most of them would be left out."""


@dataclass(frozen=True)
class Ground:
    """What two runs have in common, on which they are compared."""

    metrics: tuple[str, ...]
    """The headline's first."""
    slices: tuple[str, ...]
    """The headline's first."""
    arms: tuple[str, ...]
    left_out: tuple[str, ...]
    """What is not compared, and why, a line each."""
    same_evidence: bool
    """Whether the evidence is the same text too."""


def common_ground(base: Side, other: Side, differences: Sequence[Difference], simulators: bool) -> Ground:
    """What can be compared; BadInput names all that makes the comparison of two runs meaningless, and the remedy.

    `simulators`: whether scores of two simulators were asked for.
    """
    texts = base.contexts(Split.HELD_OUT), other.contexts(Split.HELD_OUT)
    reasons = [(f"other subjects ({told})", _ONE_SUBJECT) for told in _subjects(base, other)]
    if told := _texts(base, other, *texts):
        reasons.append((told, _ONE_TEXT))
    if not simulators and (found := simulators_differ(differences)):
        told = ", ".join(f"{one.key} {one.base} against {one.other}" for one in found[:3])
        reasons.append((f"other simulators ({told})", _ONE_SIMULATOR))
    if reasons:
        remedies = "; ".join(dict.fromkeys(remedy for _, remedy in reasons))
        raise BadInput(
            f"{base.folder} and {other.folder} can't be compared: {'; '.join(reason for reason, _ in reasons)}",
            remedies,
        )
    check_replicates(base, other)
    _check_replicated_texts(base, other)
    same_evidence = base.contexts(Split.EVIDENCE) == other.contexts(Split.EVIDENCE)
    ground = _shared(base, other, same_evidence)
    if same_evidence and base.study.subject.dtype == other.study.subject.dtype:
        _check_neurons(base, other)
    return ground


_ONE_SUBJECT = "compare runs of one subject.model"
_ONE_SIMULATOR = "run one of them again with the other's, or ask for both with --simulators"
_ONE_TEXT = "give both the same [corpus] and seeds.corpus (or seed), so that they are scored on one text"


def _subjects(base: Side, other: Side) -> Iterator[str]:
    first, second = base.study.subject, other.study.subject
    if (first.model, first.revision) != (second.model, second.revision):
        named = [f"{one.model}@{one.revision}" if one.revision else one.model for one in (first, second)]
        yield " against ".join(named)
    elif base.trained_subject != other.trained_subject:
        yield f"trained weights {base.trained_subject[:12]} against {other.trained_subject[:12]}"


def _texts(base: Side, other: Side, first: ContextsOf, second: ContextsOf) -> str:
    """Why held-out contexts are not the same; '' where they are."""
    if first.tokens == second.tokens:
        return ""
    if first.length != second.length:
        return f"held-out contexts of {first.length} tokens against {second.length}"
    if first.text == second.text:
        return "the same held-out text in other tokens, so that scores are over other positions"
    told = [
        f"{len_of.count:,} contexts of {side.study.corpus.source}, {len_of.text[:12]}"
        for side, len_of in ((base, first), (other, second))
    ]
    return f"other held-out text ({' against '.join(told)})"


def _check_replicated_texts(base: Side, other: Side) -> None:
    for number in range(1, base.replicates):
        found = base.contexts(Split.HELD_OUT, number), other.contexts(Split.HELD_OUT, number)
        if why := _texts(base, other, *found):
            raise BadInput(
                f"{base.folder} and {other.folder} can't be compared: in replicate {number} {why}", _ONE_TEXT
            )


def _shared(base: Side, other: Side, same_evidence: bool) -> Ground:
    left_out = []
    cell = base.outcome.headline
    metrics = [m for m in base.study.score.metrics if m in other.study.score.metrics]
    if cell.metric not in metrics:
        raise BadInput(
            f"{other.folder} has no score by {cell.metric}, the headline of {base.folder}",
            f"add '{cell.metric}' to its score.metrics and run it again",
        )
    slices = []
    for name in dict.fromkeys([*base.outcome.slices, *other.outcome.slices]):
        if why := _slice_apart(base, other, name):
            left_out.append(f"Not compared on {name}: {why}.")
        else:
            slices.append(name)
    if cell.slice not in slices:
        told = next(line for line in left_out if line.startswith(f"Not compared on {cell.slice}: "))
        why = told.partition(": ")[2].removesuffix(".")
        raise BadInput(
            f"{base.folder} and {other.folder} can't be compared on {cell.slice}: {why}",
            "give both the same score.slices and the same held-out sizes in [evidence]",
        )
    for name in sorted(set(base.study.score.metrics) ^ set(other.study.score.metrics)):
        left_out.append(f"Not compared by {name}: only one of both has it.")
    arms = [arm for arm in base.outcome.arms if arm in other.outcome.arms]
    if not arms:
        told = " against ".join(", ".join(side.outcome.arms) for side in (base, other))
        raise BadInput(
            f"{base.folder} and {other.folder} have no arm in common ({told})",
            "sample one kind of unit in both, and give SAEs that are compared the same name",
        )
    for side, their in ((base, other), (other, base)):
        if alone := [plain(arm) for arm in side.outcome.arms if arm not in their.outcome.arms]:
            left_out.append(f"Only {side.label} has {', '.join(alone)}.")
    if base.study.compare.confidence != other.study.compare.confidence:
        raise BadInput(
            f"{base.folder} has intervals of {base.study.compare.confidence:g}, {other.folder} of "
            f"{other.study.compare.confidence:g}",
            f"autointerp compare STUDY --out {other.folder} --set compare.confidence={base.study.compare.confidence:g}",
        )
    headed = [cell.metric, *(name for name in metrics if name != cell.metric)]
    return Ground(tuple(headed), tuple(slices), tuple(arms), tuple(left_out), same_evidence)


def _slice_apart(base: Side, other: Side, name: str) -> str:
    """Why a slice can't be compared; '' where it can."""
    for side in (base, other):
        if name not in side.study.score.slices:
            return f"{side.label} has no score on it"
    for key in _CONTEXTS.get(name, _OF_BANDS):
        sizes = [getattr(side.study.evidence, key) for side in (base, other)]
        if sizes[0] != sizes[1]:
            return f"evidence.{key} is {sizes[0]} against {sizes[1]}"
    return ""


def _check_neurons(base: Side, other: Side) -> None:
    """Neurons of one hook are read off the subject alone: where they differ, the weights do."""
    for arm in base.outcome.arms:
        if arm.partition(":")[0] == Neurons.name and same_units(base, other, arm, True) == OTHER_ACTIVATIONS:
            raise BadInput(
                f"{base.folder} and {other.folder} can't be compared: neurons of one name have other activations on "
                f"the same text, so subject.model '{base.study.subject.model}' has other weights",
                _ONE_SUBJECT,
            )


def same_units(base: Side, other: Side, arm: str, same_evidence: bool) -> str:
    """'' where an arm's units of one name are the same unit in both runs, else why not.

    They are of one hook and one SAE (by the hash of its weights), and by name at least half of the smaller arm is in
    both. On the same evidence they must also be as dense and reach as high, within 2%.
    """
    columns = ["unit", "hook", "sae", "density", "max_activation"]
    tables = [side.outcome.units for side in (base, other)]
    first, second = (
        units.loc[(units["arm"] == arm) & (units["status"] != Status.EXCLUDED), columns] for units in tables
    )
    if set(first["hook"]) != set(second["hook"]):
        return OTHER_HOOK
    for name in {*first["sae"], *second["sae"]} - {""}:
        if base.sae(name) != other.sae(name):
            return OTHER_SAE
    shared = {base_id(unit) for unit in first["unit"]} & {base_id(unit) for unit in second["unit"]}
    if len(shared) < max(1.0, SHARED * min(len(first), len(second))):
        return OTHER_UNITS
    if not same_evidence:
        return "" if arm.partition(":")[0] in (Features.name, Neurons.name) else OTHER_EVIDENCE
    both = first.merge(second, on="unit", suffixes=("", "_other"))
    alike = np.ones(len(both), dtype=bool)
    for column in ("density", "max_activation"):
        alike &= np.isclose(both[column], both[f"{column}_other"], rtol=_ALIKE, atol=0, equal_nan=True)
    return OTHER_ACTIVATIONS if len(both) and alike.mean() < _MOST else ""
