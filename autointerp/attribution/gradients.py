"""Attribution by gradients: integrated gradients, and gradient times input, at any place of the model.

Integrated gradients (Sundararajan et al. 2017): the gradient's mean along the straight line from a baseline to the
tensor, times their difference. What all positions get adds up to the score less that of the baseline; by how much it
does not is the convergence delta, which more steps make smaller.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from autointerp.attribution.targets import Outputs, embeddings_of

Baseline = Literal["mean", "zero", "end"]
STEPS = 32


@dataclass(frozen=True)
class Integrated:
    """Gradients of every target along a line."""

    gradients: Float[Tensor, "target position width"]
    """Their mean over the line, weighted as the steps are."""
    difference: Float[Tensor, "position width"]
    """The tensor less its baseline."""
    delta: Float[np.ndarray, " target"]
    """What the attributions add up to, less what they should."""
    change: Float[np.ndarray, " target"]
    """The score less that of the baseline: what they should add up to."""

    def signed(self) -> Float[np.ndarray, "position target"]:
        """Summed over a position's dimensions: A_ij. Positions that a target doesn't depend on have 0."""
        return _array(torch.einsum("tpw,pw->pt", self.gradients, self.difference))

    def sizes(self) -> Float[np.ndarray, "position target"]:
        """Euclidean length over a position's dimensions, without a sign."""
        return _array(torch.linalg.vector_norm(self.gradients * self.difference, dim=2).t())


def baseline(outputs: Outputs, kind: Baseline) -> Float[Tensor, "position width"]:
    """What stands for a token that is not there: the mean of all embeddings, zeros, or the end token's embedding; the
    fixed positions keep their own."""
    made = outputs.tensor.clone()
    weights = embeddings_of(outputs.loaded)
    scale = _scale(outputs)
    if kind == "zero":
        vector = torch.zeros_like(made[0])
    elif kind == "mean":
        vector = weights.float().mean(dim=0).to(made.dtype) * scale
    else:
        end = outputs.loaded.tokenizer.eos_token_id
        vector = weights[int(end if end is not None else 0)].to(made.dtype) * scale
    made[outputs.passage.fixed :] = vector
    return made


def _scale(outputs: Outputs) -> float:
    """What the embedding module multiplies its rows by (Gemma's square root of the width)."""
    row = embeddings_of(outputs.loaded)[outputs.ids[0, 0]].float()
    given = outputs.tensor[0].float()
    return float((given @ row) / (row @ row).clamp_min(torch.finfo(torch.float32).tiny))


def integrated_gradients(outputs: Outputs, base: Float[Tensor, "position width"], steps: int = STEPS) -> Integrated:
    """Along the line from `base`, at the points and weights of Gauss and Legendre; one backward pass per target and
    batch of points."""
    points, weights = np.polynomial.legendre.leggauss(steps)
    return _integrated(outputs, base, (points + 1) / 2, weights / 2)


def gradient_times_input(outputs: Outputs) -> Float[np.ndarray, "position target"]:
    """The gradient at the tensor itself, times it (Shrikumar et al. 2016): no baseline, and no completeness."""
    nothing = torch.zeros_like(outputs.tensor)
    return _integrated(outputs, nothing, np.ones(1), np.ones(1)).signed()


def _integrated(
    outputs: Outputs,
    base: Float[Tensor, "position width"],
    points: Float[np.ndarray, " step"],
    weights: Float[np.ndarray, " step"],
) -> Integrated:
    tensor, start = outputs.tensor.float(), base.float()
    difference = tensor - start
    targets = outputs.passage.targets
    gradients = torch.zeros((targets, *tensor.shape), device=tensor.device)
    for first in range(0, len(points), outputs.rows):
        some = torch.as_tensor(points[first : first + outputs.rows], dtype=torch.float32, device=tensor.device)
        share = torch.as_tensor(weights[first : first + outputs.rows], dtype=torch.float32, device=tensor.device)
        rows = (start + some[:, None, None] * difference).requires_grad_()
        with torch.enable_grad():
            scores = outputs.replaced(rows)
            for target in range(targets):
                total = (scores[:, target] * share).sum()
                (found,) = torch.autograd.grad(total, rows, retain_graph=target < targets - 1)
                gradients[target] += found.sum(dim=0)
    with torch.no_grad():
        ends = outputs.replaced(torch.stack([start, tensor]))
    change = ends[1] - ends[0]
    reached = torch.einsum("tpw,pw->t", gradients, difference)
    return Integrated(gradients, difference, _array(reached - change), _array(change))


def _array(tensor: Tensor) -> np.ndarray:
    return np.asarray(tensor.detach().double().cpu().numpy())
