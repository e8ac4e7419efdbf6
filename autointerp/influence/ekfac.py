"""EK-FAC: a model's curvature, layer by layer, in a basis in which it is nearly diagonal (George et al. 2018).

For each linear layer the Fisher information of its weights is taken to be a Kronecker product: of the covariance of
its inputs and that of the gradients at its outputs (Martens and Grosse 2015). Their eigenvectors are kept; the
eigenvalues are measured anew, as the mean square of a sequence's gradient in that basis. As Grosse et al. (2023,
arXiv 2308.03296) use it for influence: labels are drawn from the model's own predictions, so that it is the Fisher
information and not the covariance of the loss's gradients. Layers are taken to be independent of each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from autointerp.artifacts import seed_of
from autointerp.influence.linear_layers import (
    LinearLayer,
    Matrices,
    Passed,
    next_logits,
    per_sequence,
    record,
    token_losses,
)
from autointerp.progress import bar

DAMPING = 0.1
"""Added to a layer's eigenvalues, in units of their mean, as in Grosse et al. 2023."""

Labels = Literal["sampled", "own"]
"""Drawn from the model's predictions (the Fisher information), or the text's own tokens (the empirical one)."""


@dataclass(frozen=True)
class LayerCurvature:
    """One layer's."""

    of_inputs: Float[Tensor, "input input"]
    """Eigenvectors of the inputs' covariance, in columns."""
    of_outputs: Float[Tensor, "output output"]
    """Eigenvectors of the covariance of gradients at the outputs, in columns."""
    eigenvalues: Float[Tensor, "output input"]
    """Mean over sequences of the squared gradient of a sequence's summed loss, in that basis."""

    def solve(
        self, gradients: Float[Tensor, "query output input"], damping: float
    ) -> Float[Tensor, "query output input"]:
        """The damped inverse of the curvature times each gradient; `damping` in units of the mean eigenvalue."""
        damped = self.eigenvalues + damping * self.eigenvalues.mean().clamp(min=torch.finfo(torch.float32).tiny)
        turned = self.of_outputs.T @ gradients @ self.of_inputs
        return self.of_outputs @ (turned / damped) @ self.of_inputs.T


Curvature = Mapping[str, LayerCurvature]
"""By the name of the layer."""


def solve(curvature: Curvature, gradients: Matrices, damping: float = DAMPING) -> dict[str, Tensor]:
    """The damped inverse of the whole curvature times each query's gradient."""
    return {name: curvature[name].solve(matrix, damping) for name, matrix in gradients.items()}


def fit_curvature(
    model: Any,
    start: int | None,
    layers: Sequence[LinearLayer],
    contexts: Int[np.ndarray, "sequence token"],
    seed: int,
    *,
    labels: Labels = "sampled",
    batch: int = 32,
) -> dict[str, LayerCurvature]:
    """Measure the curvature of `model` on `contexts`, in two passes; `seed` draws the labels.

    `start`: the token before every context, or None. Memory holds, besides the model and a batch, inputs² + outputs²
    + inputs x outputs numbers for each layer. The same arguments give the same numbers, up to the order of sums.
    """
    device = next(model.parameters()).device
    inputs = {x.name: torch.zeros(x.inputs, x.inputs, dtype=torch.float64, device=device) for x in layers}
    outputs = {x.name: torch.zeros(x.outputs, x.outputs, dtype=torch.float64, device=device) for x in layers}
    read = _reader(model, start, layers, contexts, labels, batch)
    for passed in read(seed_of(seed, "covariances"), "curvature: covariances"):
        for name, each in passed.items():
            inputs[name] += _gram(each.inputs)
            outputs[name] += _gram(each.gradients)
    of_inputs = {name: torch.linalg.eigh(matrix)[1].float() for name, matrix in inputs.items()}
    of_outputs = {name: torch.linalg.eigh(matrix)[1].float() for name, matrix in outputs.items()}
    squares = {x.name: torch.zeros(x.outputs, x.inputs, device=device) for x in layers}
    for passed in read(seed_of(seed, "eigenvalues"), "curvature: eigenvalues"):
        for name, each in passed.items():
            turned = Passed(each.inputs @ of_inputs[name], each.gradients @ of_outputs[name])
            squares[name] += per_sequence(turned).square().sum(dim=0)
    return {
        x.name: LayerCurvature(of_inputs[x.name], of_outputs[x.name], squares[x.name] / len(contexts)) for x in layers
    }


def _gram(vectors: Float[Tensor, "sequence position width"]) -> Float[Tensor, "width width"]:
    flat = vectors.flatten(0, 1)
    return (flat.T @ flat).double()


def _reader(
    model: Any,
    start: int | None,
    layers: Sequence[LinearLayer],
    contexts: Int[np.ndarray, "sequence token"],
    labels: Labels,
    batch: int,
) -> Callable[[int, str], Iterator[dict[str, Passed]]]:
    """A function that goes over all contexts once, with labels of its own seed."""
    device = next(model.parameters()).device

    def read(seed: int, label: str) -> Iterator[dict[str, Passed]]:
        generator = torch.Generator(device).manual_seed(seed)
        with bar(label, len(contexts), "sequences") as progress:
            for begin in range(0, len(contexts), batch):
                ids = torch.as_tensor(contexts[begin : begin + batch], dtype=torch.long, device=device)
                told = _sampled(model, start, ids, generator) if labels == "sampled" else None
                yield record(model, layers, partial(_summed, model, start, ids, told))
                progress.advance(len(ids))

    return read


def _summed(
    model: Any, start: int | None, ids: Int[Tensor, "sequence token"], labels: Int[Tensor, "sequence token"] | None
) -> Float[Tensor, ""]:
    return token_losses(model, start, ids, labels).sum()


def _sampled(
    model: Any, start: int | None, ids: Int[Tensor, "sequence token"], generator: torch.Generator
) -> Int[Tensor, "sequence token"]:
    """A token for each place, out of the model's own prediction there."""
    with torch.no_grad():
        chances = next_logits(model, start, ids).softmax(dim=-1)
    drawn = torch.multinomial(chances.flatten(0, 1), 1, generator=generator).reshape(len(ids), -1)
    return drawn if start is not None else torch.cat([ids[:, :1], drawn], dim=1)
