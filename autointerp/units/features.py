"""Features: latents of sparse autoencoders, with the activations that these give them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from autointerp.records import Unit, Unscored
from autointerp.study import Study
from autointerp.units.interface import Activations, Candidates, Encoder, arm_name
from sae.base import SparseAutoencoder


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

    def read(self, activations: Activations) -> Float[Tensor, "context token unit"]:
        """Encode every vector, for the latents of this arm."""
        hooked = activations.by_hook[self.hook]
        contexts, tokens, width = hooked.shape
        vectors = hooked.reshape(-1, width)
        if self.all_latents:
            codes = self.encoder.encode(vectors)
        else:
            codes = self.encoder.encode_latents(vectors, torch.as_tensor(self.indices, device=vectors.device))
        return codes.reshape(contexts, tokens, -1)

    def writes(self, width: int) -> Float[Tensor, "unit width"] | Unscored:
        """Rows of the decoder; Unscored for a transcoder, whose rows are vectors of another place."""
        if isinstance(self.encoder, SparseAutoencoder) and self.encoder.transcodes:
            return Unscored("a transcoder writes at another hook than it reads")
        rows = self.encoder.W_dec
        return rows[torch.as_tensor(self.indices, device=rows.device)]

    def narrowed(self, units: Sequence[Unit]) -> FeatureReadout:
        """The same for these latents alone, which are all that is then computed."""
        return replace(self, indices=np.array([u.index for u in units]), all_latents=False)


class Features:
    """All latents of every SAE of the study."""

    name = "feature"
    plural = "SAE features"
    oriented = False

    def candidates(
        self, study: Study, widths: Mapping[str, int], encoders: Mapping[str, tuple[Encoder, int]]
    ) -> Sequence[Candidates]:
        """One arm per SAE."""
        arms = []
        for sae in study.sae if study.units.features else ():
            encoder, latents = encoders[sae.name]
            arm = arm_name(self.name, sae.name, len(study.sae) > 1)
            readout = FeatureReadout(arm, sae.hook, sae.name, np.arange(latents), encoder, all_latents=True)
            arms.append(Candidates(readout, study.units.features))
        return arms
