"""The order and the plain names of arms."""

from __future__ import annotations

from collections.abc import Iterable

_PLAIN = {
    "feature": "SAE features",
    "neuron": "neurons",
    "neuron-sparse": "neurons at the features' density",
    "direction": "random directions",
    "direction-sparse": "random directions at the features' density",
    "random-init": "features of the re-initialised subject",
    "pca": "principal components",
    "ica": "independent components",
}
_ORDER = list(_PLAIN)


def is_feature(arm: str) -> bool:
    """Whether the arm holds features of an SAE: `feature`, or `feature:NAME` when a study has several."""
    return arm.partition(":")[0] == "feature"


def plain(arm: str) -> str:
    """What to call an arm in a sentence."""
    kind, _, name = arm.partition(":")
    words = _PLAIN.get(kind, kind)
    return f"{words} ({name})" if name else words


def ordered(arms: Iterable[str]) -> list[str]:
    """Distinct arms: features first, then neurons, then controls; unknown ones last, by name."""

    def place(arm: str) -> tuple[int, str]:
        kind = arm.partition(":")[0]
        return (_ORDER.index(kind) if kind in _ORDER else len(_ORDER), arm)

    return sorted(set(arms), key=place)


def contrasts(arms: Iterable[str], baseline: str) -> list[tuple[str, str]]:
    """(arm, baseline) pairs: every feature arm against every other arm, two feature arms once, `baseline` on the right.

    The pairs with the study's baseline come first.
    """
    names = ordered(arms)
    pairs = []
    for place, arm in enumerate(names):
        if not is_feature(arm):
            continue
        others = [o for i, o in enumerate(names) if not is_feature(o) or i > place]
        pairs += [(other, arm) if arm == baseline and is_feature(other) else (arm, other) for other in others]
    return sorted(pairs, key=lambda pair: pair[1] != baseline)
