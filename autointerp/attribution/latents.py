"""Attribution to the latents of an SAE, what it does not reconstruct kept: which features wrote this token.

At the SAE's hook h = decoder bias + sum of activation x direction + error. Integrated gradients from the bias alone to
h (Marks et al. 2024 do the same per latent) give each latent at each position, and the error at each, its share; the
shares add up to the score less that of a model whose hook holds the bias at every position.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int

from autointerp.attribution.gradients import STEPS, TOLERANCE, integrated_gradients
from autointerp.attribution.targets import Outputs
from autointerp.errors import BadInput
from sae.base import SparseAutoencoder
from sae.codes.sparse import SparseCode


@dataclass(frozen=True)
class LatentAttribution:
    """Of every active latent at every position. Entries are in the order of positions."""

    position: Int[np.ndarray, " entry"]
    latent: Int[np.ndarray, " entry"]
    activation: Float[np.ndarray, " entry"]
    value: Float[np.ndarray, "entry target"]
    """What each speaks for each target."""
    error: Float[np.ndarray, "position target"]
    """What the SAE's error at each position speaks for it."""
    delta: Float[np.ndarray, " target"]
    """What all of it adds up to, less `change`."""
    change: Float[np.ndarray, " target"]
    """The score less that of the decoder's bias at every position but the fixed ones."""

    def by_position(self) -> Float[np.ndarray, "position target"]:
        """What a position's latents speak for each target together, its error left out."""
        found = np.zeros_like(self.error)
        np.add.at(found, self.position, self.value)
        return found

    def error_share(self) -> Float[np.ndarray, " target"]:
        """Of the sum of all sizes, that of the errors: 0 where the SAE explains all, 1 where it explains nothing."""
        errors, latents = np.abs(self.error).sum(axis=0), np.abs(self.value).sum(axis=0)
        return np.asarray(errors / np.maximum(errors + latents, np.finfo(float).tiny))


def attribute_to_latents(
    outputs: Outputs, sae: SparseAutoencoder, most: int = STEPS, tolerance: float = TOLERANCE
) -> LatentAttribution:
    """Of `outputs` seen from the SAE's hook. Raises BadInput for a transcoder, and for an SAE of another width."""
    tensor = outputs.tensor.float()
    if sae.d_in != tensor.shape[1]:
        raise BadInput(
            f"the SAE reads vectors of {sae.d_in} numbers, '{outputs.place}' has {tensor.shape[1]}", "name its hook"
        )
    if sae.transcodes:
        raise BadInput("it is a transcoder: what it writes does not stand at the hook that it reads", "give an SAE")
    fixed = outputs.passage.fixed
    with torch.no_grad():
        read = tensor[fixed:]
        dense = sae.encode(read)
        made = sae.written(read, SparseCode.of_dense(dense))
        bias = sae.written(read, SparseCode.of_dense(torch.zeros_like(dense)))
        scale = sae.scale_of(read)
    base = tensor.clone()
    base[fixed:] = bias
    along = integrated_gradients(outputs, base, most, tolerance)
    gradients = along.gradients[:, fixed:]
    with torch.no_grad():
        positions, latents = dense.nonzero(as_tuple=True)
        activations = dense[positions, latents]
        spoken = torch.einsum("tew,ew->et", gradients[:, positions], sae.W_dec[latents])
        value = spoken * (activations * scale[positions, 0])[:, None]
        error = torch.zeros((len(tensor), outputs.passage.targets), device=tensor.device)
        error[fixed:] = torch.einsum("tpw,pw->pt", gradients, read - made)
    return LatentAttribution(
        (positions + fixed).cpu().numpy(), latents.cpu().numpy(), activations.double().cpu().numpy(),
        value.double().cpu().numpy(), error.double().cpu().numpy(), along.delta, along.change,
    )  # fmt: skip
