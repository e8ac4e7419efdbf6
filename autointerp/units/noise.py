"""Noise: the values of a feature, drawn anew for every token, so that they have nothing to do with the text.

What choosing the best of several explanations, and taking the strongest contexts, score by themselves. A token's value
is that of the feature on a token of the evidence contexts that all readouts are prepared on, drawn with replacement by
a hash of seed, latent, context and place: the same whatever else is read, and of the feature's own density and scale.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from autointerp.artifacts import rng_of
from autointerp.records import Unit, Unscored
from autointerp.study import Study
from autointerp.units.interface import Activations, Candidates, Encoder, arm_name

_SPARE = 4
"""Latents whose values are looked at for each unit that is drawn: some are silent on the contexts looked at."""
_MIX = (-7046029254386353131, -4658895280553007687, -7723592293110705685)
"""Odd multipliers of splitmix64 (Steele, Lea and Flood 2014) and of its finalizer, as signed 64-bit numbers."""


@dataclass
class NoiseReadout:
    """Values of latents, shuffled over tokens."""

    arm: str
    hook: str
    indices: Int[np.ndarray, " unit"]
    encoder: Encoder
    seed: int
    pool: list[Float[Tensor, "_ unit"]] = field(default_factory=list)
    """What the latents were on the contexts that it was prepared on."""
    sae: str = ""

    def __post_init__(self) -> None:
        self.signs = np.ones(len(self.indices), dtype=np.int64)
        self.thresholds = np.zeros(len(self.indices))

    def prepare(self, activations: Activations) -> None:
        """Keep the latents' values on these contexts."""
        hooked = activations.by_hook[self.hook]
        vectors = hooked.reshape(-1, hooked.shape[-1])
        self.pool.append(self.encoder.encode_latents(vectors, torch.as_tensor(self.indices, device=vectors.device)))

    def read(self, activations: Activations) -> Float[Tensor, "context token unit"]:
        """A value out of the pool for every token; what the subject did there is not looked at."""
        pool = torch.cat(self.pool)
        place = self._drawn(activations.contexts, activations.tokens.shape[1]) % len(pool)
        places = place.to(pool.device).reshape(-1, len(self.indices))
        return pool.gather(0, places).reshape(*place.shape)

    def _drawn(self, contexts: Int[Tensor, " context"], tokens: int) -> Int[Tensor, "context token unit"]:
        """A number from 0 to 2^62 for every token of every context and every unit."""
        units = torch.as_tensor(
            [int(rng_of(self.seed, "noise", self.hook, int(i)).integers(2**62)) for i in self.indices]
        )
        mixed = contexts.cpu()[:, None, None] * _MIX[0] + torch.arange(tokens)[None, :, None] * _MIX[1] + units
        for multiplier, shift in ((_MIX[1], 30), (_MIX[2], 27)):
            mixed = (mixed ^ ((mixed >> shift) & (2 ** (64 - shift) - 1))) * multiplier
        return ((mixed ^ ((mixed >> 31) & (2**33 - 1))) >> 2) & (2**62 - 1)

    def writes(self, width: int) -> Unscored:
        """Nothing."""
        return Unscored("noise has no direction")

    def narrowed(self, units: Sequence[Unit]) -> NoiseReadout:
        """The same for these units alone."""
        indices = np.array([u.index for u in units], dtype=np.int64)
        place = {int(index): column for column, index in enumerate(self.indices)}
        columns = torch.as_tensor([place[int(index)] for index in indices], dtype=torch.int64)
        return replace(self, indices=indices, pool=[rows[:, columns.to(rows.device)] for rows in self.pool])


class NoiseUnits:
    """The values of random latents of every SAE, without relation to the text."""

    name = "noise"
    plural = "noise units"
    oriented = False

    def candidates(
        self, study: Study, widths: Mapping[str, int], encoders: Mapping[str, tuple[Encoder, int]]
    ) -> Sequence[Candidates]:
        """One arm per SAE, where the study has noise among its controls."""
        count = study.units.directions
        arms = []
        for sae in study.sae if count and self.name in study.units.controls else ():
            encoder, latents = encoders[sae.name]
            rng = rng_of(study.seed_for("units"), "noise", sae.name)
            indices = np.sort(rng.choice(latents, size=min(latents, _SPARE * count), replace=False))
            arm = arm_name(self.name, sae.name, len(study.sae) > 1)
            arms.append(Candidates(NoiseReadout(arm, sae.hook, indices, encoder, study.seed_for("units")), count))
        return arms
