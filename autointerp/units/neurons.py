"""Neurons: coordinates of the hooked tensor, `relu(sign * a)`, both orientations until one is chosen on evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from autointerp.records import Unit
from autointerp.study import Study
from autointerp.units.interface import Activations, Candidates, Encoder, arm_name, kept_above


@dataclass
class NeuronReadout:
    """Coordinates of the hooked tensor, oriented."""

    arm: str
    hook: str
    indices: Int[np.ndarray, " unit"]
    signs: Int[np.ndarray, " unit"]
    thresholds: Float[np.ndarray, " unit"]
    sae: str = ""

    def read(self, activations: Activations) -> Float[Tensor, "context token unit"]:
        """`relu(sign * a)`, kept above the threshold."""
        hooked = activations.by_hook[self.hook]
        picked = hooked[..., torch.as_tensor(self.indices, device=hooked.device)]
        signs = torch.as_tensor(self.signs, dtype=picked.dtype, device=picked.device)
        return kept_above((picked * signs).clamp_min_(0), self.thresholds)

    def writes(self, width: int) -> Float[Tensor, "unit width"]:
        """The neuron's own coordinate, or its opposite where the neuron is active when it is negative."""
        rows = torch.zeros(len(self.indices), width)
        rows[torch.arange(len(self.indices)), torch.as_tensor(self.indices)] = torch.as_tensor(self.signs).float()
        return rows

    def narrowed(self, units: Sequence[Unit]) -> NeuronReadout:
        """The same for these units alone."""
        indices, signs = np.array([u.index for u in units]), np.array([u.sign for u in units])
        return replace(self, indices=indices, signs=signs, thresholds=np.zeros(len(units)))

    def thresholded(self, arm: str, thresholds: Float[np.ndarray, " unit"]) -> NeuronReadout:
        """The same units in another arm, each silent at and under its threshold."""
        return replace(self, arm=arm, thresholds=thresholds)


class Neurons:
    """All neurons of every hook."""

    name = "neuron"
    plural = "neurons"
    oriented = True

    def candidates(
        self, study: Study, widths: Mapping[str, int], encoders: Mapping[str, tuple[Encoder, int]]
    ) -> Sequence[Candidates]:
        """One arm per hook."""
        hooks = study.subject.hooks if study.units.neurons else ()
        return [
            Candidates(
                NeuronReadout(
                    arm_name(self.name, hook, len(hooks) > 1),
                    hook,
                    np.repeat(np.arange(widths[hook]), 2),
                    np.tile(np.array([1, -1]), widths[hook]),
                    np.zeros(2 * widths[hook]),
                ),
                study.units.neurons,
            )
            for hook in hooks
        ]
