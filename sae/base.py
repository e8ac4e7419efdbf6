"""The interface of a sparse autoencoder that is ready for use: plain tensors in, activations out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Literal, TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae.codes.sparse import SparseCode

Normalisation = Literal["none", "centred", "layer_norm", "constant_norm_rescale"]
"""What is done to a vector before it is encoded, and undone after: nothing; its mean over the dimensions is subtracted
(what centred weights do to a residual stream); that, and it is divided by its standard deviation; it gets the length
sqrt(d_in). The last two are SAELens' names and formulas."""

Named: TypeAlias = dict[str, Any]
"""An autoencoder's tensors by name, as its form takes them: `StandardSae(**named)`. They are Tensors; the type says no
more because not every field of a form is one."""

_EPSILON = 1e-5
"""Added to the standard deviation, as SAELens does."""


@dataclass(frozen=True, eq=False)
class SparseAutoencoder(ABC):
    """A trained autoencoder. It takes activations as the subject gives them: no scaling is left to the caller.

    A transcoder is one that writes another vector than it reads (d_out numbers, at another place of the model). Each
    vector is encoded by itself: what else is in the batch changes its activations by rounding at most.
    """

    W_enc: Float[Tensor, "d_in latent"]
    """Encoder: latent j reads column j."""
    W_dec: Float[Tensor, "latent d_out"]
    """Decoder: latent j writes row j."""
    b_dec: Float[Tensor, " d_out"]
    """What the decoder adds, and the encoder subtracts from its input if `apply_b_dec_to_input`."""
    apply_b_dec_to_input: bool
    """Whether the encoder sees `x - b_dec` or `x`."""
    normalisation: Normalisation = field(default="none", kw_only=True)
    transcodes: bool = field(default=False, kw_only=True)
    """Whether it writes another vector than it reads; then `apply_b_dec_to_input` is False."""
    W_skip: Float[Tensor, "d_out d_in"] | None = field(default=None, kw_only=True)
    """What a transcoder adds to its output straight from its input, if it does."""

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
        """Length of the vectors it reads."""
        return self.W_enc.shape[0]

    @property
    def d_out(self) -> int:
        """Length of the vectors it writes: `d_in`, but for a transcoder."""
        return self.W_dec.shape[1]

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

    def decode(self, activations: Float[Tensor, "vector latent"]) -> Float[Tensor, "vector d_out"]:
        """The vectors that these activations stand for; where `normalisation` says so, the normalised ones."""
        return torch.addmm(self.b_dec, activations, self.W_dec)

    def reconstruct(self, x: Float[Tensor, "vector d_in"]) -> Float[Tensor, "vector d_out"]:
        """Encode and decode."""
        return self.written(x, self.encode_sparse(x))

    def written(self, x: Float[Tensor, "vector d_in"], code: SparseCode) -> Float[Tensor, "vector d_out"]:
        """What it writes for the vectors `x`, whose activations are `code`."""
        made = code.times(self.W_dec) + self.b_dec
        if self.W_skip is not None:
            made = made + x @ self.W_skip.t()
        if self.normalisation == "none":
            return made
        shift, scale = self._shift_and_scale(x)
        return made * scale + shift

    def scale_of(self, x: Float[Tensor, "vector d_in"]) -> Float[Tensor, "vector 1"]:
        """What the decoder's directions are multiplied by where each of the vectors `x` is written."""
        return torch.ones_like(x[:, :1]) if self.normalisation == "none" else self._shift_and_scale(x)[1]

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor by its name in the layout."""
        named = {known.name: getattr(self, known.name) for known in fields(self)}
        return {name: value for name, value in named.items() if isinstance(value, Tensor)}

    def to(self, device: torch.device | str) -> SparseAutoencoder:
        """The same autoencoder with its tensors on `device`."""
        moved: dict[str, Any] = {name: tensor.to(device) for name, tensor in self.tensors().items()}
        return replace(self, **moved)

    def _affine(
        self, x: Float[Tensor, "vector d_in"], weight: Float[Tensor, "d_in column"], bias: Float[Tensor, " column"]
    ) -> Float[Tensor, "vector column"]:
        return torch.addmm(bias, self._centred(x), weight)

    def _centred(self, x: Float[Tensor, "vector d_in"]) -> Float[Tensor, "vector d_in"]:
        if self.normalisation != "none":
            shift, scale = self._shift_and_scale(x)
            # SAELens divides by a little more than the standard deviation, and multiplies by the deviation alone.
            x = (x - shift) / (scale + _EPSILON if self.normalisation == "layer_norm" else scale)
        return x - self.b_dec if self.apply_b_dec_to_input else x

    def _shift_and_scale(
        self, x: Float[Tensor, "vector d_in"]
    ) -> tuple[Float[Tensor, "vector 1"], Float[Tensor, "vector 1"]]:
        """What is subtracted from each vector, and what it is divided by then."""
        if self.normalisation == "constant_norm_rescale":
            length = torch.linalg.vector_norm(x, dim=-1, keepdim=True) / self.d_in**0.5
            return torch.zeros_like(length), length.clamp_min(torch.finfo(x.dtype).tiny)
        mean = x.mean(dim=-1, keepdim=True)
        if self.normalisation == "centred":
            return mean, torch.ones_like(mean)
        return mean, x.std(dim=-1, keepdim=True)
