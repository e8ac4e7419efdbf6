"""The weights that training moves, with their gradients in buffers that are written anew at every step."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Weights:
    """Encoder and decoder both hold one row per latent, so that a latent's weights and gradients lie together."""

    encoder: Float[Tensor, "latent d_in"]
    b_enc: Float[Tensor, " latent"]
    decoder: Float[Tensor, "latent d_in"]
    """Rows of length 1."""
    b_dec: Float[Tensor, " d_in"]

    def __post_init__(self) -> None:
        for tensor in self.all():
            tensor.grad = torch.zeros_like(tensor)

    def all(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The four tensors."""
        return self.encoder, self.b_enc, self.decoder, self.b_dec

    @property
    def width(self) -> int:
        """Number of latents."""
        return self.encoder.shape[0]


def start_weights(
    width: int, centre: Float[Tensor, " d_in"], generator: torch.Generator, device: torch.device
) -> Weights:
    """Random unit rows, encoder equal to decoder, zero encoder bias, `centre` as decoder bias (Gao et al. 2024)."""
    rows = torch.randn(width, centre.shape[0], generator=generator)
    rows /= torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    decoder = rows.to(device)
    return Weights(decoder.clone(), torch.zeros(width, device=device), decoder, centre.to(device, copy=True))


def folded(weights: Weights, scale: float) -> dict[str, Tensor]:
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


def drop_parallel_gradient(weights: Weights) -> None:
    """Remove from each decoder row's gradient the part along the row, which rescaling would undo (Bricken et al.)."""
    gradient = gradient_of(weights.decoder)
    along = torch.linalg.vecdot(gradient, weights.decoder).unsqueeze(1)
    gradient.addcmul_(along, weights.decoder, value=-1.0)


def rescale_decoder(weights: Weights) -> None:
    """Bring every decoder row back to length 1."""
    lengths = torch.linalg.vector_norm(weights.decoder, dim=1, keepdim=True)
    weights.decoder.div_(lengths.clamp_min_(torch.finfo(lengths.dtype).tiny))
