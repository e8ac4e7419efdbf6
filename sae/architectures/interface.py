"""What an architecture adds to training: one small interface, one file each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor

from sae.architectures.step import Forward, Step
from sae.architectures.weights import Weights
from sae.base import SparseAutoencoder
from sae.errors import SaeError
from sae.recipe import Recipe


def check_k(recipe: Recipe) -> None:
    """SaeError when no latent, or more than there are, should be active."""
    if not 1 <= recipe.k <= recipe.width:
        raise SaeError(f"k = {recipe.k} active latents of width = {recipe.width}", "lower k or raise width")


class Architecture(ABC):
    """The loss and its gradients, and the form in which the result is used.

    Decoder rows have length 1 before and after every step; keeping them so is not the architecture's business.
    """

    resamples = False
    """Whether latents that are dead get new weights at `recipe.resample`; then `Step.losses` must be there."""

    encoder_start = 0.1
    """Length of the encoder's rows at the start, which are the decoder's otherwise.

    Gao et al. 2024 start with 1. From shorter ones, which Adam turns round faster, more of a planted dictionary is
    recovered.
    """

    def __init__(self, recipe: Recipe) -> None:
        """Raises SaeError for settings that the architecture can't be trained with."""
        self.recipe = recipe

    def centre(self, vectors: Float[Tensor, "vector d_in"]) -> Float[Tensor, " d_in"]:
        """Where b_dec starts."""
        return vectors.mean(dim=0)

    def own(self, length: float) -> Mapping[str, Float[Tensor, " latent"]]:
        """What is trained besides encoder, decoder and their biases, as it starts; `length` as in Forward."""
        return {}

    @abstractmethod
    def step(self, forward: Forward) -> Step:
        """The loss of a batch, its gradients written into the weights' buffers.

        May keep statistics of the batch, in its own state, that `export` needs.
        """

    @abstractmethod
    def export(self, weights: Weights, scale: float) -> SparseAutoencoder:
        """The autoencoder to use, for raw vectors, when training saw `scale` times the vectors."""

    def state(self) -> dict[str, float]:
        """What `step` keeps, so that training can go on from a file."""
        return {}

    def restore(self, state: Mapping[str, float]) -> None:  # noqa: B027  most have nothing to take up
        """Take up what `state` gave."""
