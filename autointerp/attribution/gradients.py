"""Attribution by gradients: integrated gradients, and gradient times input, at any place of the model.

Integrated gradients (Sundararajan et al. 2017): the gradient's mean along the straight line from a baseline to the
tensor, times their difference. What all positions get adds up to the score less that of the baseline; by how much it
does not is the convergence delta, which more steps make smaller.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from autointerp.attribution.targets import Outputs, embeddings_of

Baseline = Literal["mean", "zero", "end"]
STEPS = 192
"""Points of the line at most."""
TOLERANCE = 0.05
"""Nats by which what a target's attributions add up to may be off, before points are added."""
_CUTS, _POINTS = 8, 3
"""Pieces that the line is cut into at first, and points of each."""
_WORTH = 0.3
"""Of what the worst piece is off: pieces that are off by more are halved with it."""


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


def integrated_gradients(
    outputs: Outputs, base: Float[Tensor, "position width"], most: int = STEPS, tolerance: float = TOLERANCE
) -> Integrated:
    """Along the line from `base`, with more steps where they are needed.

    A language model's score jumps on short stretches of the line, and equal steps miss them: their delta does not fall
    with their number. Here the line is cut into pieces of `_POINTS` points of Gauss and Legendre; what the gradients
    of a piece add up to is held against the difference of the scores at its ends, which is what they should; the piece
    that is off most is halved, until no target is off by more than `tolerance` nats or `most` points are used.
    """
    line = _Line(outputs, base)
    pieces = line.pieces([(cut / _CUTS, (cut + 1) / _CUTS) for cut in range(_CUTS)])
    spent = _CUTS * _POINTS
    while spent + 2 * _POINTS <= most:
        if float(torch.stack([piece.off for piece in pieces]).sum(dim=0).abs().max()) <= tolerance:
            break
        pieces.sort(key=lambda piece: piece.farthest)
        worth = sum(piece.farthest > _WORTH * pieces[-1].farthest for piece in pieces)
        room = max(1, min(worth, outputs.rows // (2 * _POINTS), (most - spent) // (2 * _POINTS)))
        halves = [half for piece in pieces[-room:] for half in piece.halves]
        pieces = [*pieces[:-room], *line.pieces(halves)]
        spent += len(halves) * _POINTS
    return line.integrated(torch.stack([piece.gradients for piece in pieces]).sum(dim=0))


def equal_steps(outputs: Outputs, base: Float[Tensor, "position width"], steps: int) -> Integrated:
    """With the points and weights of Gauss and Legendre on the whole line, as other libraries do it."""
    points, weights = np.polynomial.legendre.leggauss(steps)
    line = _Line(outputs, base)
    return line.integrated(line.gradients((points + 1) / 2, weights / 2, np.zeros(steps, dtype=int), 1)[0])


def gradient_times_input(outputs: Outputs) -> Float[np.ndarray, "position target"]:
    """The gradient at the tensor itself, times it (Shrikumar et al. 2016): no baseline, and no completeness."""
    line = _Line(outputs, torch.zeros_like(outputs.tensor))
    return line.integrated(line.gradients(np.ones(1), np.ones(1), np.zeros(1, dtype=int), 1)[0]).signed()


@dataclass(frozen=True)
class _Segment:
    """A piece of the line."""

    start: float
    end: float
    gradients: Float[Tensor, "target position width"]
    """Their integral over the piece."""
    off: Float[Tensor, " target"]
    """What they add up to, less the difference of the scores at the ends."""

    @property
    def farthest(self) -> float:
        return float(self.off.abs().max())

    @property
    def halves(self) -> tuple[tuple[float, float], tuple[float, float]]:
        middle = (self.start + self.end) / 2
        return (self.start, middle), (middle, self.end)


class _Line:
    """The straight line from a baseline to the tensor."""

    def __init__(self, outputs: Outputs, base: Float[Tensor, "position width"]) -> None:
        self._outputs = outputs
        self._start = base.float()
        self._difference = outputs.tensor.float() - self._start
        self._known: dict[float, Float[Tensor, " target"]] = {}

    def pieces(self, ends: Sequence[tuple[float, float]]) -> list[_Segment]:
        """The pieces between these ends."""
        points, weights = np.polynomial.legendre.leggauss(_POINTS)
        places = np.concatenate([start + (points + 1) / 2 * (end - start) for start, end in ends])
        shares = np.concatenate([weights / 2 * (end - start) for start, end in ends])
        group = np.repeat(np.arange(len(ends)), _POINTS)
        found = self.gradients(places, shares, group, len(ends))
        self._score([place for pair in ends for place in pair])
        reached = torch.einsum("gtpw,pw->gt", found, self._difference)
        return [
            _Segment(start, end, gradients, added - (self._known[end] - self._known[start]))
            for (start, end), gradients, added in zip(ends, found, reached, strict=True)
        ]

    def gradients(
        self,
        points: Float[np.ndarray, " step"],
        weights: Float[np.ndarray, " step"],
        group: Int[np.ndarray, " step"],
        groups: int,
    ) -> Float[Tensor, "group target position width"]:
        """Weighted sums of the gradients at these points, by group."""
        outputs, difference = self._outputs, self._difference
        targets, device = outputs.passage.targets, difference.device
        found = torch.zeros((groups, targets, *difference.shape), device=device)
        for first in range(0, len(points), outputs.rows):
            part = slice(first, first + outputs.rows)
            some = torch.as_tensor(points[part], dtype=torch.float32, device=device)
            share = torch.as_tensor(weights[part], dtype=torch.float32, device=device)
            to = torch.as_tensor(group[part], device=device)
            rows = (self._start + some[:, None, None] * difference).requires_grad_()
            with torch.enable_grad():
                scores = outputs.replaced(rows)
                for target in range(targets):
                    total = (scores[:, target] * share).sum()
                    (each,) = torch.autograd.grad(total, rows, retain_graph=target < targets - 1)
                    found[:, target].index_add_(0, to, each)
        return found

    def integrated(self, gradients: Float[Tensor, "target position width"]) -> Integrated:
        """What is reached by integrals of the gradients over the whole line."""
        self._score([0.0, 1.0])
        change = self._known[1.0] - self._known[0.0]
        reached = torch.einsum("tpw,pw->t", gradients, self._difference)
        return Integrated(gradients, self._difference, _array(reached - change), _array(change))

    def _score(self, places: Sequence[float]) -> None:
        wanted = sorted(set(places) - set(self._known))
        for first in range(0, len(wanted), self._outputs.rows):
            part = wanted[first : first + self._outputs.rows]
            some = torch.tensor(part, dtype=torch.float32, device=self._difference.device)
            with torch.no_grad():
                scores = self._outputs.replaced(self._start + some[:, None, None] * self._difference)
            self._known |= dict(zip(part, scores, strict=True))


def _array(tensor: Tensor) -> np.ndarray:
    return np.asarray(tensor.detach().double().cpu().numpy())
