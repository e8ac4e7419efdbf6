"""The weights that training moves, with their gradients in buffers that are written anew at every step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from sae.base import Named
from sae.codes.code import Code

_ALL = slice(None)

_PIECE = 1 << 18
# Entries of a matrix that stay in a core's cache while they are read a second time.


@dataclass(frozen=True, eq=False)
class Weights:
    """Encoder and decoder both hold one row per latent, so that a latent's weights and gradients lie together."""

    encoder: Float[Tensor, "latent d_in"]
    b_enc: Float[Tensor, " latent"]
    decoder: Float[Tensor, "latent d_in"]
    """Rows of length 1."""
    b_dec: Float[Tensor, " d_in"]
    own: Mapping[str, Float[Tensor, " latent"]] = field(default_factory=dict)
    """What the architecture trains besides, by name."""

    def __post_init__(self) -> None:
        for tensor in self.all().values():
            tensor.grad = torch.zeros_like(tensor)

    def all(self) -> dict[str, Tensor]:
        """Every tensor by its name."""
        four = {"encoder": self.encoder, "b_enc": self.b_enc, "decoder": self.decoder, "b_dec": self.b_dec}
        return {**four, **self.own}

    @property
    def width(self) -> int:
        """Number of latents."""
        return self.encoder.shape[0]


def start_weights(
    width: int,
    centre: Float[Tensor, " d_in"],
    own: Mapping[str, Float[Tensor, " latent"]],
    encoder_length: float,
    generator: torch.Generator,
    device: torch.device,
) -> Weights:
    """Random unit rows in the decoder, the same with length `encoder_length` in the encoder, no encoder bias, `centre`
    as decoder bias."""
    rows = torch.randn(width, centre.shape[0], generator=generator)
    rows /= torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    decoder = rows.to(device)
    zeros = torch.zeros(width, device=device)
    moved = {name: tensor.to(device) for name, tensor in own.items()}
    return Weights(decoder * encoder_length, zeros, decoder, centre.to(device, copy=True), moved)


def folded(weights: Weights, scale: float) -> Named:
    """The tensors of an autoencoder that takes raw vectors, out of weights that were trained on `scale` x vectors.

    The scale goes out of the biases and so out of the activations, which come out in the vectors' own unit: for
    z' = (s x - b') W + c' the folded z = z' / s = (x - b'/s) W + c'/s, and W_dec z + b'/s reconstructs x.
    """
    return {
        "W_enc": weights.encoder.t().contiguous(),
        "b_enc": weights.b_enc / scale,
        "W_dec": weights.decoder.clone(),
        "b_dec": weights.b_dec / scale,
    }


def gradient_of(tensor: Tensor) -> Tensor:
    """The gradient buffer of one of the weights."""
    assert tensor.grad is not None, "Weights gives each of its tensors a gradient buffer"
    return tensor.grad


class Gradients:
    """Puts the gradients of one step into the weights' buffers, code by code, without anything dense but the weights.

    The first code that reaches a row of a matrix overwrites what the last step left there; later ones say `keep`. The
    encoder reads c = x - b_dec, so what comes to the pre-activations also moves b_dec, the other way.
    """

    def __init__(self, weights: Weights, centred: Float[Tensor, "vector d_in"]) -> None:
        self._weights, self._centred = weights, centred
        self._by_product = torch.zeros_like(weights.b_enc)

    def decoding(
        self,
        code: Code,
        slope: Float[Tensor, "vector d_in"],
        latents: slice = _ALL,
        *,
        keep: bool = False,
        factor: Float[Tensor, ""] | float = 1.0,
    ) -> None:
        """The code was decoded by the decoder's rows `latents`; `factor` x `slope`: the loss by what came out of it."""
        code.accumulate(code.values * factor, slope, gradient_of(self._weights.decoder)[latents], keep)

    def encoding(
        self, code: Code, by_product: Tensor, latents: slice = _ALL, *, keep: bool = False
    ) -> Float[Tensor, " latent"]:
        """`by_product`: the loss by the product of centred vectors and encoder rows `latents`, at the code's places.

        Returns its sum over the vectors.
        """
        code.accumulate(by_product, self._centred, gradient_of(self._weights.encoder)[latents], keep)
        sums = code.sums(by_product)
        self._by_product[latents] += sums
        return sums

    def finish(self, output: Float[Tensor, " d_in"], bias: Float[Tensor, " latent"] | None = None) -> None:
        """The biases. `output`: the loss by the reconstruction, summed over the vectors; `bias`: the loss by b_enc,
        where it is not simply added to every product."""
        gradient_of(self._weights.b_enc).copy_(self._by_product if bias is None else bias)
        torch.addmv(
            output, self._weights.encoder.t(), self._by_product, alpha=-1.0, out=gradient_of(self._weights.b_dec)
        )


def drop_parallel_gradient(weights: Weights) -> None:
    """Remove from each decoder row's gradient the part along the row, which rescaling would undo (Bricken et al.)."""
    for gradient, rows in zip(_pieces(gradient_of(weights.decoder)), _pieces(weights.decoder), strict=True):
        along = torch.linalg.vecdot(gradient, rows).unsqueeze(1)
        gradient.addcmul_(along, rows, value=-1.0)


def rescale_decoder(weights: Weights) -> None:
    """Bring every decoder row back to length 1."""
    lengths = torch.linalg.vector_norm(weights.decoder, dim=1, keepdim=True)
    weights.decoder.div_(lengths.clamp_min_(torch.finfo(lengths.dtype).tiny))


def _pieces(matrix: Float[Tensor, "row column"]) -> tuple[Tensor, ...]:
    """Rows that are read twice, as many at a time as stay in a processor's cache between; on a GPU, all of them."""
    rows = _PIECE // matrix.shape[1] if matrix.device.type == "cpu" else matrix.shape[0]
    return torch.split(matrix, max(rows, 1))
