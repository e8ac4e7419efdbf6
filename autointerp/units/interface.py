"""What a kind of unit is, and how its units are read off the subject.

A new kind is one file and one line in `registry`; third parties use the entry points. An arm's truth is never negative.
The sparse arms keep a value only where it exceeds a threshold that gives the density of a sampled feature (one to one).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from autointerp.records import Unit, Unscored
from autointerp.study import Study

SPARSE = "-sparse"
"""Suffix of the density-matched arms."""


@runtime_checkable
class Encoder(Protocol):
    """What `units` needs of an SAE: activations of every latent, each vector on its own."""

    def encode(self, x: Float[Tensor, "vector d_in"]) -> Float[Tensor, "vector latent"]:
        """Activations of every latent, never below 0."""
        ...

    def encode_latents(
        self, x: Float[Tensor, "vector d_in"], latents: Int[Tensor, " chosen"]
    ) -> Float[Tensor, "vector chosen"]:
        """Activations of the chosen latents alone: those columns of `encode`, up to rounding."""
        ...

    @property
    def W_dec(self) -> Float[Tensor, "latent d_out"]:
        """Row j: what latent j writes."""
        ...


@dataclass(frozen=True)
class Activations:
    """What the subject did on a batch of contexts, at every hook of the study."""

    by_hook: Mapping[str, Float[Tensor, "context token width"]]
    contexts: Int[Tensor, " context"]
    """Their ids."""
    tokens: Int[Tensor, "context token"]


@runtime_checkable
class Readout(Protocol):
    """Reads the units of one arm off the subject's activations."""

    arm: str
    hook: str
    """Where it reads; of a kind that reads several hooks, the one by which tables name it."""
    sae: str
    """Name of the SAE; '' without one."""
    indices: Int[np.ndarray, " unit"]
    """Latent, neuron or direction number of each unit."""
    signs: Int[np.ndarray, " unit"]
    """+1 or -1."""
    thresholds: Float[np.ndarray, " unit"]
    """Oriented values at or under it count as 0."""

    def read(self, activations: Activations) -> Float[Tensor, "context token unit"]:
        """True activations of the units, never below 0."""
        ...

    def writes(self, width: int) -> Float[Tensor, "unit width"] | Unscored:
        """By what the hooked vector, of this width, grows with each unit's activation; or why that can't be told."""
        ...

    def narrowed(self, units: Sequence[Unit]) -> Readout:
        """The same for these units alone, in their order."""
        ...


@runtime_checkable
class Thresholded(Protocol):
    """A readout whose units may be matched to a density: its kind can have an arm `NAME-sparse`."""

    def thresholded(self, arm: str, thresholds: Float[np.ndarray, " unit"]) -> Readout:
        """The same units in another arm, each silent at and under its threshold."""
        ...


@runtime_checkable
class Prepared(Protocol):
    """A readout that has to see activations before it is read."""

    def prepare(self, activations: Activations) -> None:
        """See one batch of a seeded handful of evidence contexts; all of them come before the first `read`."""
        ...


@dataclass(frozen=True)
class Candidates:
    """All units of one arm, of which some are drawn."""

    readout: Readout
    count: int
    """How many are drawn; both orientations of a neuron count as one."""


@runtime_checkable
class UnitKind(Protocol):
    """One kind of unit. Made without arguments; one file and one registration each."""

    name: str
    """Begins the names of its arms and units: `neuron/17-`."""
    plural: str
    """What to call its units in a sentence."""
    oriented: bool
    """Whether each index is a candidate in both orientations (signs +1 and -1), of which the explain stage chooses."""

    def candidates(
        self, study: Study, widths: Mapping[str, int], encoders: Mapping[str, tuple[Encoder, int]]
    ) -> Sequence[Candidates]:
        """Its arms, one per hook or SAE; none where the study asks for no unit of this kind.

        `widths`: of the vectors at every hook. `encoders`: by the name of the SAE, with its number of latents. The
        study's number of units of a registered kind is `units.kinds[name]`.
        """
        ...


def kept_above(values: Float[Tensor, "*n unit"], thresholds: Float[np.ndarray, " unit"]) -> Float[Tensor, "*n unit"]:
    """`values`, 0 where they are at or under their unit's threshold."""
    if not thresholds.any():
        return values
    bound = torch.as_tensor(thresholds, dtype=values.dtype, device=values.device)
    return torch.where(values > bound, values, torch.zeros((), dtype=values.dtype, device=values.device))


def arm_name(kind: str, qualifier: str, several: bool) -> str:
    """`neuron`, or `neuron:layers.3.mlp.out` when a study holds several hooks or SAEs."""
    return f"{kind}:{qualifier}" if several else kind


def kind_of(arm: str) -> str:
    """The kind of an arm's units, without the suffix of the density-matched ones: `neuron` of `neuron-sparse:HOOK`."""
    return arm.partition(":")[0].removesuffix(SPARSE)


def sparse_arm(arm: str) -> str:
    """The name of an arm's density-matched twin: `neuron-sparse:HOOK` of `neuron:HOOK`."""
    kind, colon, qualifier = arm.partition(":")
    return f"{kind}{SPARSE}{colon}{qualifier}"


def base_id(unit: str) -> str:
    """The id without its orientation: both orientations of a neuron are one unit until one is chosen."""
    return unit.rstrip("+-")


def twin_id(unit: str) -> str:
    """The id of the unit whose density-matched twin this is, or its own: both draw alike."""
    return unit.replace(SPARSE, "", 1)
