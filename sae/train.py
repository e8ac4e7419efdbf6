"""Train one sparse autoencoder: the loop, its schedule and its counters. Architectures and the step are elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from sae.base import SparseAutoencoder
from sae.errors import SaeError
from sae.registry import trainable
from sae.step import Revival, Step, sparse_step
from sae.vectors import VectorSource
from sae.weights import drop_parallel_gradient, rescale_decoder, start_weights

INPUT_RMS = 0.25
"""Vectors are scaled so that their deviation from the mean has this root mean square per element."""

_FIRST = 8  # batches that the scale and the decoder bias are estimated on
_WARM_UP, _DECAY = 0.05, 0.25  # shares of the run in which the learning rate rises from 0, and falls to 0
_BETAS, _EPSILON = (0.9, 0.999), 1e-10  # the loss is a share of variance: gradients are small
_REVIVAL_WEIGHT = 1 / 32  # Gao et al. 2024
_REVIVAL_K = 2
# Dead latents per vector, in multiples of k. Gao et al. take half of d_in; a multiple of k keeps the step sparse.
_DEAD_SHARE, _DEAD_MOST = 0.1, 10_000_000
# A latent is dead when it has been silent for this share of the run, or for so many vectors (Gao et al.).


@dataclass(frozen=True)
class TrainState:
    """Where training stands after a step."""

    step: int
    """Steps done."""
    steps: int
    """Steps in all."""
    vectors: int
    """Vectors seen, repeats counted."""
    lr: float
    """Learning rate of this step."""
    loss: float
    """`fvu` plus the auxiliary loss of this batch."""
    fvu: float
    """Share of this batch's variance that is left unexplained."""
    l0: float
    """Mean number of active latents per vector of this batch."""
    dead_share: float
    """Share of the latents that have long been silent."""


@dataclass(frozen=True)
class TrainMetrics:
    """What training ended with. Means are over the last tenth of the steps, on training vectors."""

    steps: int
    vectors: int
    """Vectors seen, repeats counted."""
    loss: float
    fvu: float
    l0: float
    dead_share: float
    """At the last step."""
    scale: float
    """Factor that training applied to the vectors; it is folded out of the saved weights."""


class Trained(NamedTuple):
    """An autoencoder for raw vectors, and how its training ended."""

    sae: SparseAutoencoder
    metrics: TrainMetrics


class Trainer:
    """Training in single steps, so that a caller may feed several trainers from one stream.

    On the CPU the result is the same bit for bit for the same seed, batches and number of threads.
    """

    def __init__(
        self,
        architecture: str,
        first: Float[Tensor, "vector d_in"],
        *,
        width: int,
        k: int,
        batch: int,
        steps: int,
        lr: float,
        seed: int,
        device: str = "cpu",
    ) -> None:
        """Start from the vectors `first`, which give the input's scale and the decoder's bias.

        Raises SaeError when k exceeds width or all vectors are the same.
        """
        if k > width:
            raise SaeError(f"k = {k} active latents of width = {width}", "lower k or raise width")
        self._architecture = trainable(architecture, k)
        self._device = torch.device(device)
        mean = first.mean(dim=0)
        spread = float((first - mean).square().mean().sqrt())
        if not 0 < spread < float("inf"):
            raise SaeError(f"the spread of the first vectors is {spread:g}", "check the hook and the subject's dtype")
        self._scale = INPUT_RMS / spread
        generator = torch.Generator().manual_seed(seed)
        self._weights = start_weights(width, mean * self._scale, generator, self._device)
        self._adam = torch.optim.Adam(self._weights.all(), lr=lr, betas=_BETAS, eps=_EPSILON, fused=True)
        self._pre = torch.empty(batch, width, device=self._device)
        self._silent = torch.zeros(width, dtype=torch.int64, device=self._device)
        self._dead_after = min(int(_DEAD_SHARE * steps * batch), _DEAD_MOST)
        self._lr, self._steps, self._revival_k = lr, steps, _REVIVAL_K * k
        self._history: list[TrainState] = []

    def step(self, x: Float[Tensor, "vector d_in"]) -> TrainState:
        """One step on a batch of raw vectors, always of the size that was announced.

        Raises SaeError when the loss is not a number.
        """
        done = len(self._history)
        lr = self._lr * schedule(done, self._steps)
        for group in self._adam.param_groups:
            group["lr"] = lr
        x = x.to(self._device)
        step = sparse_step(self._weights, x, self._architecture.select, self._revival(), self._pre, self._scale)
        loss = float(step.loss)
        if not loss < float("inf"):
            raise SaeError(f"the loss is {loss:g} at step {done + 1}", "lower lr, or check the vectors")
        drop_parallel_gradient(self._weights)
        self._adam.step()
        rescale_decoder(self._weights)
        self._history.append(self._state(step, loss, lr))
        return self._history[-1]

    def finish(self) -> Trained:
        """The autoencoder as it is now, for raw vectors, and how training went."""
        if not self._history:
            raise SaeError("no training step was made", "give at least one batch of vectors")
        last = self._history[-1]
        recent = self._history[-max(len(self._history) // 10, 1) :]
        metrics = TrainMetrics(
            steps=last.step,
            vectors=last.vectors,
            loss=_mean([state.loss for state in recent]),
            fvu=_mean([state.fvu for state in recent]),
            l0=_mean([state.l0 for state in recent]),
            dead_share=last.dead_share,
            scale=self._scale,
        )
        return Trained(self._architecture.export(self._weights, self._scale), metrics)

    def _revival(self) -> Revival | None:
        dead = (self._silent >= self._dead_after).nonzero().squeeze(1)
        return Revival(dead, self._revival_k, _REVIVAL_WEIGHT) if dead.shape[0] else None

    def _state(self, step: Step, loss: float, lr: float) -> TrainState:
        done, batch = len(self._history) + 1, self._pre.shape[0]
        firings = step.code.firings()
        self._silent += batch
        self._silent[firings > 0] = 0
        return TrainState(
            step=done,
            steps=self._steps,
            vectors=done * batch,
            lr=lr,
            loss=loss,
            fvu=float(step.unexplained),
            l0=float(firings.sum()) / batch,
            dead_share=float((self._silent >= self._dead_after).double().mean()),
        )


def train(
    architecture: str,
    vectors: VectorSource,
    *,
    width: int,
    k: int,
    passes: int,
    batch: int,
    lr: float,
    seed: int,
    progress: Callable[[TrainState], None] | None = None,
    device: str = "cpu",
) -> Trained:
    """Train `architecture` ('batchtopk' or 'topk') on `passes` passes over `vectors`.

    `width` latents, of which `k` are active per vector (BatchTopK: on average over a batch); `batch` vectors a step;
    Adam at `lr`, which rises from 0 over the first twentieth of the run and falls to 0 over the last quarter.
    `progress` is called after every step. Raises SaeError for a recipe or vectors that can't be used.
    """
    steps = passes * vectors.count // batch
    if not steps:
        raise SaeError(
            f"{passes} x {vectors.count} vectors are less than one batch of {batch}", "lower batch or collect more"
        )
    stream = vectors.batches(batch, passes, seed)
    first = list(islice(stream, _FIRST))
    trainer = Trainer(
        architecture, torch.cat(first), width=width, k=k, batch=batch, steps=steps, lr=lr, seed=seed, device=device
    )
    for x in chain(first, stream):
        state = trainer.step(x)
        if progress is not None:
            progress(state)
    return trainer.finish()


def schedule(done: int, steps: int) -> float:
    """Factor of the learning rate after `done` of `steps` steps, above 0 and at most 1."""
    rise = (done + 1) / max(_WARM_UP * steps, 1.0)
    fall = (steps - done) / max(_DECAY * steps, 1.0)
    return min(rise, fall, 1.0)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
