"""The interface of a sparse autoencoder that is ready for use: plain tensors in, activations out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae.codes.sparse import SparseCode


@dataclass(frozen=True, eq=False)
class SparseAutoencoder(ABC):
    """A trained autoencoder. It takes activations as the subject gives them: no scaling is left to the caller.

    Each vector is encoded by itself: what else is in the batch changes its activations by rounding at most.
    """

    W_enc: Float[Tensor, "d_in latent"]
    """Encoder: latent j reads column j."""
    W_dec: Float[Tensor, "latent d_in"]
    """Decoder: latent j writes row j."""
    b_dec: Float[Tensor, " d_in"]
    """What the decoder adds, and the encoder subtracts from its input if `apply_b_dec_to_input`."""
    apply_b_dec_to_input: bool
    """Whether the encoder sees `x - b_dec` or `x`."""

    architecture: ClassVar[str]
    """Its name in SAELens' layout."""
    SHAPES: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "W_enc": ("d_in", "d_sae"),
        "W_dec": ("d_sae", "d_in"),
        "b_dec": ("d_in",),
    }
    """Every tensor, with its shape in the layout's names for the sizes."""

    @property
    def d_in(self) -> int:
        """Length of the vectors it reads and writes."""
        return self.W_enc.shape[0]

    @property
    def width(self) -> int:
        """Number of latents."""
        return self.W_enc.shape[1]

    @property
    def device(self) -> torch.device:
        """Where its tensors are; vectors must be there too."""
        return self.W_enc.device

    @property
    def settings(self) -> dict[str, Any]:
        """What the layout's `cfg.json` must say of this architecture besides the sizes."""
        return {}

    @abstractmethod
    def encode(self, x: Float[Tensor, "vector d_in"]) -> Float[Tensor, "vector latent"]:
        """Activations of every latent, at least 0, zeros where a latent is inactive."""

    @abstractmethod
    def encode_latents(
        self, x: Float[Tensor, "vector d_in"], latents: Int[Tensor, " chosen"]
    ) -> Float[Tensor, "vector chosen"]:
        """Activations of the chosen latents only: the same numbers as these columns of `encode`, up to rounding."""

    def encode_sparse(self, x: Float[Tensor, "vector d_in"]) -> SparseCode:
        """The active latents of each vector and their activations."""
        return SparseCode.of_dense(self.encode(x))

    def decode(self, activations: Float[Tensor, "vector latent"]) -> Float[Tensor, "vector d_in"]:
        """The vectors that these activations stand for."""
        return torch.addmm(self.b_dec, activations, self.W_dec)

    def reconstruct(self, x: Float[Tensor, "vector d_in"]) -> Float[Tensor, "vector d_in"]:
        """Encode and decode."""
        return self.encode_sparse(x).times(self.W_dec) + self.b_dec

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor by its name in the layout."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name in self.SHAPES}

    def to(self, device: torch.device | str) -> SparseAutoencoder:
        """The same autoencoder with its tensors on `device`."""
        moved: dict[str, Any] = {name: tensor.to(device) for name, tensor in self.tensors().items()}
        return replace(self, **moved)

    def _affine(
        self, x: Float[Tensor, "vector d_in"], weight: Float[Tensor, "d_in column"], bias: Float[Tensor, " column"]
    ) -> Float[Tensor, "vector column"]:
        return torch.addmm(bias, self._centred(x), weight)

    def _centred(self, x: Float[Tensor, "vector d_in"]) -> Float[Tensor, "vector d_in"]:
        return x - self.b_dec if self.apply_b_dec_to_input else x
