"""Kinds of unit by name: a new one is one file and one line here; third parties use the entry points."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from autointerp.errors import BadInput, nearest
from autointerp.registry import Registry, require_members
from autointerp.study import Study
from autointerp.units.directions import Directions
from autointerp.units.features import Features
from autointerp.units.independent import Independent
from autointerp.units.interface import SPARSE, Candidates, Encoder, Readout, Thresholded, UnitKind
from autointerp.units.neurons import Neurons
from autointerp.units.noise import NoiseUnits
from autointerp.units.principal import Principal
from autointerp.units.scrambled import ScrambledFeatures, ScrambledNeurons

_BUILT_IN: Mapping[str, Callable[[], UnitKind]] = {
    Features.name: Features,
    Neurons.name: Neurons,
    Principal.name: Principal,
    Independent.name: Independent,
    Directions.name: Directions,
    NoiseUnits.name: NoiseUnits,
    ScrambledFeatures.name: ScrambledFeatures,
    ScrambledNeurons.name: ScrambledNeurons,
}
KINDS: Registry[Callable[[], UnitKind]] = Registry("unit kind", "autointerp.units", _BUILT_IN)
"""Name -> what makes a UnitKind, called without arguments. The built-in ones are in every study: `units.features`,
`units.neurons`, `units.principal`, `units.independent` and `units.directions` say how many; others are where
`units.kinds` names them."""


_WITHOUT_TWINS = (Features.name, NoiseUnits.name, ScrambledFeatures.name)


def open_kind(name: str) -> UnitKind:
    """The kind of that name; BadInput when there is none, or when it lacks a part of UnitKind, by name."""
    kind = KINDS.find(name)()
    require_members(kind, UnitKind, f"unit kind '{name}'")
    if kind.name != name:
        raise BadInput(f"unit kind '{name}' calls itself '{kind.name}'", "register it under its own name")
    return kind


def kinds_of(study: Study) -> list[UnitKind]:
    """The kinds that a study may have units of, in the order of its tables."""
    return [open_kind(name) for name in dict.fromkeys([*KINDS.built_in, *study.units.kinds])]


def count_of(study: Study, kind: str) -> int:
    """How many units of a kind the study wants: per SAE, or per hook."""
    built_in = {Features.name: study.units.features, Neurons.name: study.units.neurons}
    built_in |= {Principal.name: study.units.principal, Independent.name: study.units.independent}
    built_in |= dict.fromkeys((Directions.name, NoiseUnits.name), study.units.directions)
    if study.scrambled_subjects:
        built_in |= {ScrambledFeatures.name: study.scrambled.features, ScrambledNeurons.name: study.scrambled.neurons}
    return built_in.get(kind, study.units.kinds.get(kind, 0))


def all_candidates(
    study: Study, widths: Mapping[str, int], encoders: Mapping[str, tuple[Encoder, int]]
) -> list[Candidates]:
    """The arms of a study: those of SAEs first, then hook by hook.

    Raises BadInput for a readout that lacks a part of Readout, by name, or is not of a hook of the study.
    """
    found = []
    for kind in kinds_of(study):
        for candidates in kind.candidates(study, widths, encoders):
            require_members(candidates.readout, Readout, f"a readout of unit kind '{kind.name}'")
            if candidates.readout.hook not in widths:
                raise BadInput(
                    f"a readout of unit kind '{kind.name}' is of hook '{candidates.readout.hook}'",
                    f"name it by one that the study has: {', '.join(widths)}",
                )
            if kind.oriented != bool((candidates.readout.signs < 0).any()):
                raise BadInput(
                    f"unit kind '{kind.name}' says oriented = {kind.oriented}, and its signs say the contrary",
                    "give both orientations of every index, or signs of +1 alone",
                )
            found.append(candidates)
    hooks = list(widths)
    return sorted(found, key=lambda c: -1 if c.readout.sae else hooks.index(c.readout.hook))


def check_units(study: Study) -> None:
    """Raise BadInput, before anything runs, for a kind or a control that there is not."""
    kinds = [kind.name for kind in kinds_of(study)]
    for name in study.units.kinds:
        if name in KINDS.built_in:
            raise BadInput(f"units.kinds names the built-in kind '{name}'", "set its own key of [units]")
    if (study.units.principal or study.units.independent) and not study.corpus.train:
        raise BadInput(
            "units.principal and units.independent are fitted to the training split, and corpus.train = 0",
            "set corpus.train above 0, or take them out",
        )
    matched = (f"{name}{SPARSE}" for name in kinds if name not in _WITHOUT_TWINS)
    controls = [Directions.name, NoiseUnits.name, *matched]
    for control in study.units.controls:
        if control not in controls:
            raise BadInput(f"no control '{control}'", nearest(control, controls))


def as_thresholded(readout: Readout) -> Thresholded:
    """The readout as one whose units can be matched to a density; BadInput for one that has no `thresholded`."""
    if not isinstance(readout, Thresholded):
        kind = readout.arm.partition(":")[0]
        raise BadInput(f"units of kind '{kind}' have no thresholds", f"take '{kind}{SPARSE}' out of units.controls")
    return readout
