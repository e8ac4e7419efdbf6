"""The order and the plain names of arms."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import cache

from autointerp.errors import BadInput
from autointerp.study import Study
from autointerp.units.features import Features
from autointerp.units.interface import SPARSE, arm_name, kind_of
from autointerp.units.registry import KINDS, open_kind


def is_feature(arm: str) -> bool:
    """Whether the arm holds features of an SAE: `feature`, or `feature:NAME` when a study has several."""
    return arm.partition(":")[0] == Features.name


def plain(arm: str) -> str:
    """What to call an arm in a sentence."""
    kind, name = kind_of(arm), arm.partition(":")[2]
    words = _plural(kind)
    if arm.partition(":")[0] != kind:
        words += " at the features' density"
    return f"{words} ({name})" if name else words


@cache
def _plural(kind: str) -> str:
    """What its kind calls them; of one whose package is gone, or no longer works, the kind's name.

    A finished run is reported from its tables alone, whatever has become of the packages that it was made with.
    """
    try:
        return open_kind(kind).plural
    except BadInput:
        return kind


_ORDER = [name for kind in KINDS.built_in for name in (kind, f"{kind}{SPARSE}")]


def ordered(arms: Iterable[str]) -> list[str]:
    """Distinct arms: features first, then neurons, then controls; those of other packages last, by name."""

    def rank(arm: str) -> tuple[int, str]:
        kind = arm.partition(":")[0]
        return (_ORDER.index(kind) if kind in _ORDER else len(_ORDER), arm)

    return sorted(set(arms), key=rank)


def feature_hooks(study: Study) -> dict[str, str]:
    """The hook that the features of each feature arm are read from."""
    return {arm_name(Features.name, sae.name, len(study.sae) > 1): sae.hook for sae in study.sae}


def frozen_arms(study: Study) -> set[str]:
    """Feature arms of SAEs that are controls: a part of them stays as it was drawn (`train.freeze`)."""
    several = len(study.sae) > 1
    return {arm_name(Features.name, sae.name, several) for sae in study.sae if sae.train and sae.train.freeze != "none"}


def questions(arms: Collection[str], study: Study) -> dict[str, str | None]:
    """What is asked in advance: every feature arm but the controls among them, and the arm that it is held against."""
    found = baselines_of(arms, study.compare.baseline, feature_hooks(study))
    return {arm: other for arm, other in found.items() if arm not in frozen_arms(study)}


def baseline_of(arm: str, arms: Collection[str], baseline: str, hooks: Mapping[str, str]) -> str | None:
    """The arm that `arm` is held against: `baseline`, or `baseline:HOOK` of its own hook when there are several hooks.

    None when the run has no such arm.
    """
    named = (baseline, f"{baseline}:{hooks.get(arm, '')}")
    return next((name for name in named if name in arms), None)


def baselines_of(arms: Collection[str], baseline: str, hooks: Mapping[str, str]) -> dict[str, str | None]:
    """Every feature arm and the arm that it is held against; None where the run has none, or it is the baseline."""
    found = {arm: baseline_of(arm, arms, baseline, hooks) for arm in arms if is_feature(arm)}
    return {arm: None if other == arm else other for arm, other in found.items()}


def contrasts(arms: Iterable[str], baseline: str, hooks: Mapping[str, str]) -> list[tuple[str, str]]:
    """(arm, baseline) pairs: every feature arm against every other arm of its hook, and two feature arms once.

    A feature arm that is the baseline stands on the right. The pairs with the baseline come first.
    """
    names = ordered(arms)
    pairs = []
    for position, arm in enumerate(names):
        if not is_feature(arm):
            continue
        others = [o for i, o in enumerate(names) if (i > position if is_feature(o) else _same_hook(arm, o, hooks))]
        pairs += [(other, arm) if arm == baseline and is_feature(other) else (arm, other) for other in others]
    return sorted(pairs, key=lambda pair: pair[1] != baseline_of(pair[0], names, baseline, hooks))


def _same_hook(arm: str, other: str, hooks: Mapping[str, str]) -> bool:
    """Whether a control is of the feature arm's hook; one without a hook in its name is of the only one."""
    hook = other.partition(":")[2]
    return not hook or hook == hooks.get(arm)
