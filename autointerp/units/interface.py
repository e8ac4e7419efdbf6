"""Units and arms: what is read off a hook, which units are sampled, which are left out and why.

An arm's truth is never negative. Features: the SAE's activation. Neurons: `relu(sign * a)`, both orientations
until one is chosen on evidence. Directions: `relu(w . (a - centre))` for a random unit vector `w`. The sparse
arms keep a value only where it exceeds a threshold that gives the density of a sampled feature (one to one).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from autointerp.artifacts import rng_of
from autointerp.errors import BadInput
from autointerp.records import Status, Unit

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
    def W_dec(self) -> Float[Tensor, "latent d_in"]:
        """Row j: what latent j writes."""
        ...


@runtime_checkable
class Readout(Protocol):
    """Reads the units of one arm off one hook."""

    arm: str
    hook: str
    sae: str
    indices: Int[np.ndarray, " unit"]
    """Latent, neuron or direction number of each unit."""
    signs: Int[np.ndarray, " unit"]
    """+1 or -1."""
    thresholds: Float[np.ndarray, " unit"]
    """Oriented values at or under it count as 0."""

    def read(self, activations: Float[Tensor, "context token width"]) -> Float[Tensor, "context token unit"]:
        """True activations of the units, never below 0."""
        ...

    def writes(self, width: int) -> Float[Tensor, "unit width"]:
        """By what the hooked vector grows with each unit's activation; `width` is the vector's."""
        ...


def _above(values: Float[Tensor, "*n unit"], thresholds: Float[np.ndarray, " unit"]) -> Float[Tensor, "*n unit"]:
    if not thresholds.any():
        return values
    bound = torch.as_tensor(thresholds, dtype=values.dtype, device=values.device)
    return torch.where(values > bound, values, torch.zeros((), dtype=values.dtype, device=values.device))


@dataclass
class FeatureReadout:
    """Latents of an SAE."""

    arm: str
    hook: str
    sae: str
    indices: Int[np.ndarray, " unit"]
    encoder: Encoder
    all_latents: bool
    """Whether `indices` are all of the SAE's latents, in order."""

    def __post_init__(self) -> None:
        self.signs = np.ones(len(self.indices), dtype=np.int64)
        self.thresholds = np.zeros(len(self.indices))

    def read(self, activations: Float[Tensor, "context token width"]) -> Float[Tensor, "context token unit"]:
        """Encode every vector, for the latents of this arm."""
        contexts, tokens, width = activations.shape
        vectors = activations.reshape(-1, width)
        if self.all_latents:
            codes = self.encoder.encode(vectors)
        else:
            codes = self.encoder.encode_latents(vectors, torch.as_tensor(self.indices, device=vectors.device))
        return codes.reshape(contexts, tokens, -1)

    def writes(self, width: int) -> Float[Tensor, "unit width"]:
        """Rows of the decoder."""
        rows = self.encoder.W_dec
        return rows[torch.as_tensor(self.indices, device=rows.device)]


@dataclass
class NeuronReadout:
    """Coordinates of the hooked tensor, oriented."""

    arm: str
    hook: str
    indices: Int[np.ndarray, " unit"]
    signs: Int[np.ndarray, " unit"]
    thresholds: Float[np.ndarray, " unit"]
    sae: str = ""

    def read(self, activations: Float[Tensor, "context token width"]) -> Float[Tensor, "context token unit"]:
        """`relu(sign * a)`, kept above the threshold."""
        picked = activations[..., torch.as_tensor(self.indices, device=activations.device)]
        signs = torch.as_tensor(self.signs, dtype=picked.dtype, device=picked.device)
        return _above((picked * signs).clamp_min_(0), self.thresholds)

    def writes(self, width: int) -> Float[Tensor, "unit width"]:
        """The neuron's own coordinate, or its opposite where the neuron is active when it is negative."""
        rows = torch.zeros(len(self.indices), width)
        rows[torch.arange(len(self.indices)), torch.as_tensor(self.indices)] = torch.as_tensor(self.signs).float()
        return rows


@dataclass
class DirectionReadout:
    """Random unit vectors, on centred activations."""

    arm: str
    hook: str
    indices: Int[np.ndarray, " unit"]
    vectors: Float[Tensor, "unit width"]
    centre: Float[Tensor, " width"]
    thresholds: Float[np.ndarray, " unit"]
    sae: str = ""

    def __post_init__(self) -> None:
        self.signs = np.ones(len(self.indices), dtype=np.int64)

    def read(self, activations: Float[Tensor, "context token width"]) -> Float[Tensor, "context token unit"]:
        """`relu(w . (a - centre))`, kept above the threshold."""
        return _above(((activations - self.centre) @ self.vectors.T).clamp_min_(0), self.thresholds)

    def writes(self, width: int) -> Float[Tensor, "unit width"]:
        """The vectors themselves."""
        return self.vectors


def random_directions(
    seed: int, hook: str, indices: Int[np.ndarray, " unit"], width: int
) -> Float[Tensor, "unit width"]:
    """Unit vectors drawn evenly from the sphere; direction number n is the same whatever else is drawn."""
    rows = np.stack([rng_of(seed, "direction", hook, int(i)).standard_normal(width) for i in indices])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return torch.as_tensor(rows, dtype=torch.float32)


def unit_id(arm: str, index: int, sign: int) -> str:
    """`feature/1234`, `neuron/17-`, `direction/3`: only neurons show their orientation."""
    orientation = ("+" if sign > 0 else "-") if arm.split(":")[0].split("-")[0] == "neuron" else ""
    return f"{arm}/{index}{orientation}"


def base_id(unit: str) -> str:
    """The id without its orientation: both orientations of a neuron are one unit until one is chosen."""
    return unit.rstrip("+-")


def arm_name(kind: str, qualifier: str, several: bool) -> str:
    """`neuron`, or `neuron:layers.3.mlp.out` when a study holds several hooks or SAEs."""
    return f"{kind}:{qualifier}" if several else kind


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


def reason_excluded(survey: Survey, position: int, min_contexts: int) -> str:
    """Why a unit is left out before sampling."""
    return (
        "dead on the evidence"
        if survey.contexts[position] == 0
        else f"active in under {min_contexts} evidence contexts"
    )


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
            why = reason_excluded(survey, place, min_contexts)
            excluded.append(replace(describe(readout, survey, place), status=Status.EXCLUDED, reason=why))
    return drawn, excluded


def describe(readout: Readout, survey: Survey, position: int) -> Unit:
    """One unit of a readout, with its statistics, as a record."""
    index, sign = int(readout.indices[position]), int(readout.signs[position])
    return Unit(
        unit=unit_id(readout.arm, index, sign),
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
    )


def group_by_base(units: Sequence[Unit]) -> Mapping[str, list[Unit]]:
    """Units under their id without orientation, in the given order."""
    groups: dict[str, list[Unit]] = {}
    for unit in units:
        groups.setdefault(base_id(unit.unit), []).append(unit)
    return groups
