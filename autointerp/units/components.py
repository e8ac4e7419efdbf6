"""Components: directions fitted to a hook's vectors, read signed, both orientations until one is chosen on evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from safetensors.numpy import load_file, save_file
from torch import Tensor

from autointerp.artifacts import atomic_path, hash_value
from autointerp.records import Unit
from autointerp.study import Study
from autointerp.units.interface import Activations, Candidates, Encoder, arm_name, kept_above

FOLDER = "work/components"
"""Where a run keeps what was fitted, by path in the run folder."""
SUFFIX = ".safetensors"


@dataclass(frozen=True)
class Components:
    """Fitted directions as an encoder: latent 2i is component i where it is positive, 2i + 1 where it is negative."""

    centre: Float[np.ndarray, " width"]
    """Mean of the vectors that they were fitted to."""
    reads: Float[np.ndarray, "component width"]
    """`reads @ (vector - centre)` are the values."""
    written: Float[np.ndarray, "component width"]
    """By what the vector grows with each value."""

    def encode(self, x: Float[Tensor, "vector d_in"]) -> Float[Tensor, "vector latent"]:
        """Both orientations of every component, never below 0."""
        return self.encode_latents(x, torch.arange(2 * len(self.reads), device=x.device))

    def encode_latents(
        self, x: Float[Tensor, "vector d_in"], latents: Int[Tensor, " chosen"]
    ) -> Float[Tensor, "vector chosen"]:
        """The chosen columns of `encode`."""
        chosen = latents.cpu().numpy()
        used, places = np.unique(chosen // 2, return_inverse=True)  # both orientations are one product
        rows, centre = (
            torch.as_tensor(part, dtype=x.dtype, device=x.device) for part in (self.reads[used], self.centre)
        )
        values = ((x - centre) @ rows.T)[:, torch.as_tensor(places, device=x.device)]
        return values.mul_(torch.as_tensor(1 - 2 * (chosen % 2), dtype=x.dtype, device=x.device)).clamp_min_(0)

    @property
    def W_dec(self) -> Float[Tensor, "latent d_in"]:
        """Row j: what latent j writes."""
        both = np.stack([self.written, -self.written], axis=1).reshape(-1, self.written.shape[1])
        return torch.as_tensor(both, dtype=torch.float32)

    def save(self, path: Path) -> None:
        """Write them, whole or not at all."""
        with atomic_path(path) as temporary:
            save_file({name: np.ascontiguousarray(value) for name, value in vars(self).items()}, temporary)


def load_components(path: Path) -> Components:
    """What `Components.save` wrote."""
    return Components(**load_file(path))


def components_name(kind: str, hook: str) -> str:
    """What the components of a hook are called among the encoders of a run; no SAE has an `@` in its name."""
    return f"{kind}@{hook}"


def components_file(kind: str, hook: str) -> str:
    """Where they are, by path in the run folder."""
    return f"{FOLDER}/{kind}-{hash_value(hook)[:16]}{SUFFIX}"


@dataclass
class ComponentReadout:
    """Components of a hook's vectors, oriented."""

    arm: str
    hook: str
    indices: Int[np.ndarray, " unit"]
    signs: Int[np.ndarray, " unit"]
    thresholds: Float[np.ndarray, " unit"]
    encoder: Encoder
    sae: str = ""

    def read(self, activations: Activations) -> Float[Tensor, "context token unit"]:
        """`relu(sign * w . (a - centre))`, kept above the threshold."""
        hooked = activations.by_hook[self.hook]
        contexts, tokens, width = hooked.shape
        codes = self.encoder.encode_latents(hooked.reshape(-1, width), self._latents)
        return kept_above(codes.reshape(contexts, tokens, -1), self.thresholds)

    @property
    def _latents(self) -> Int[Tensor, " unit"]:
        return torch.as_tensor(2 * self.indices + (self.signs < 0), dtype=torch.int64)

    def writes(self, width: int) -> Float[Tensor, "unit width"]:
        """What the component adds to the vector, or its opposite where the unit is active when it is negative."""
        return self.encoder.W_dec[self._latents]

    def narrowed(self, units: Sequence[Unit]) -> ComponentReadout:
        """The same for these units alone."""
        indices, signs = np.array([u.index for u in units]), np.array([u.sign for u in units])
        return replace(self, indices=indices, signs=signs, thresholds=np.zeros(len(units)))

    def thresholded(self, arm: str, thresholds: Float[np.ndarray, " unit"]) -> ComponentReadout:
        """The same units in another arm, each silent at and under its threshold."""
        return replace(self, arm=arm, thresholds=thresholds)


def component_arms(
    kind: str, count: int, study: Study, encoders: Mapping[str, tuple[Encoder, int]]
) -> Sequence[Candidates]:
    """One arm per hook, of all components that were kept; none where `count` is 0."""
    arms = []
    hooks = study.subject.hooks if count else ()
    for hook in hooks:
        encoder, latents = encoders[components_name(kind, hook)]
        indices, signs = np.repeat(np.arange(latents // 2), 2), np.tile(np.array([1, -1]), latents // 2)
        arm = arm_name(kind, hook, len(hooks) > 1)
        arms.append(Candidates(ComponentReadout(arm, hook, indices, signs, np.zeros(latents), encoder), count))
    return arms
