"""Random directions: `relu(w . (a - centre))` for a random unit vector `w`, what any direction would get."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from autointerp.artifacts import rng_of
from autointerp.records import Unit
from autointerp.study import Study
from autointerp.units.interface import SPARSE, Activations, Candidates, Encoder, arm_name, kept_above


@dataclass
class Centre:
    """The mean of the vectors at a hook, added up in double precision."""

    total: Float[Tensor, " width"]
    vectors: int = 0

    def add(self, hooked: Float[Tensor, "context token width"]) -> None:
        """Count a batch."""
        self.total = self.total.to(hooked.device) + hooked.double().sum(dim=(0, 1))
        self.vectors += hooked.shape[0] * hooked.shape[1]

    def mean(self) -> Float[Tensor, " width"]:
        """The mean so far; 0 of none."""
        return (self.total / max(self.vectors, 1)).float()


@dataclass
class DirectionReadout:
    """Random unit vectors, on centred activations."""

    arm: str
    hook: str
    indices: Int[np.ndarray, " unit"]
    vectors: Float[Tensor, "unit width"]
    thresholds: Float[np.ndarray, " unit"]
    centre: Centre
    """Of the evidence contexts that it was prepared on."""
    sae: str = ""
    signs: Int[np.ndarray, " unit"] = field(init=False)

    def __post_init__(self) -> None:
        self.signs = np.ones(len(self.indices), dtype=np.int64)

    def prepare(self, activations: Activations) -> None:
        """Add to the centre."""
        self.centre.add(activations.by_hook[self.hook])

    def read(self, activations: Activations) -> Float[Tensor, "context token unit"]:
        """`relu(w . (a - centre))`, kept above the threshold."""
        hooked = activations.by_hook[self.hook]
        vectors = self.vectors.to(hooked.device)
        return kept_above(((hooked - self.centre.mean()) @ vectors.T).clamp_min_(0), self.thresholds)

    def writes(self, width: int) -> Float[Tensor, "unit width"]:
        """The vectors themselves."""
        return self.vectors

    def narrowed(self, units: Sequence[Unit]) -> DirectionReadout:
        """The same for these directions alone."""
        indices = np.array([u.index for u in units])
        place = {int(index): row for row, index in enumerate(self.indices)}
        rows = self.vectors[torch.as_tensor([place[int(index)] for index in indices])]
        return replace(self, indices=indices, vectors=rows, thresholds=np.zeros(len(units)))

    def thresholded(self, arm: str, thresholds: Float[np.ndarray, " unit"]) -> DirectionReadout:
        """The same units in another arm, each silent at and under its threshold."""
        return replace(self, arm=arm, thresholds=thresholds)


def random_directions(
    seed: int, hook: str, indices: Int[np.ndarray, " unit"], width: int
) -> Float[Tensor, "unit width"]:
    """Unit vectors drawn evenly from the sphere; direction number n is the same whatever else is drawn."""
    rows = np.stack([rng_of(seed, "direction", hook, int(i)).standard_normal(width) for i in indices])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return torch.as_tensor(rows, dtype=torch.float32)


class Directions:
    """Random directions of every hook."""

    name = "direction"
    plural = "random directions"
    oriented = False

    def candidates(
        self, study: Study, widths: Mapping[str, int], encoders: Mapping[str, tuple[Encoder, int]]
    ) -> Sequence[Candidates]:
        """One arm per hook, where the study has directions among its controls, dense or sparse."""
        count = study.units.directions
        wanted = {self.name, f"{self.name}{SPARSE}"} & set(study.units.controls)
        hooks = study.subject.hooks if count and wanted else ()
        indices = np.arange(count)
        return [
            Candidates(
                DirectionReadout(
                    arm_name(self.name, hook, len(hooks) > 1),
                    hook,
                    indices,
                    random_directions(study.seed_for("units"), hook, indices, widths[hook]),
                    np.zeros(count),
                    Centre(torch.zeros(widths[hook], dtype=torch.float64)),
                ),
                count,
            )
            for hook in hooks
        ]
