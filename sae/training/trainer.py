"""Training in single steps: one autoencoder, its schedules, counters and state. The loop over a stream is `train`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from sae.architectures.registry import trainable
from sae.architectures.step import Forward, Rooms, Step, silent_positions
from sae.architectures.weights import drop_parallel_gradient, gradient_of, rescale_decoder, start_weights
from sae.base import SparseAutoencoder
from sae.devices import moved, usable_device
from sae.errors import SaeError
from sae.parallel import Peers
from sae.recipe import Recipe
from sae.training.freezing import Freezing
from sae.training.precision import encoder_product
from sae.training.resampling import Draw, resample


def rate(recipe: Recipe, done: int, steps: int) -> float:
    """Factor of the learning rate after `done` of `steps` steps, above 0 and at most 1."""
    rise = (done + 1) / max(recipe.warm_up * steps, 1.0)
    return min(rise, _fall(recipe, done, steps), 1.0)


def _fall(recipe: Recipe, done: int, steps: int) -> float:
    if recipe.decay == "none":
        return 1.0
    left = min((steps - done) / max(recipe.decay_share * steps, 1.0), 1.0)
    return left if recipe.decay == "linear" else (1 - math.cos(math.pi * left)) / 2


def penalty(recipe: Recipe, done: int, steps: int) -> float:
    """Factor of the penalties after `done` of `steps` steps, above 0 and at most 1."""
    return min((done + 1) / max(recipe.sparsity_warm_up * steps, 1.0), 1.0)


INPUT_RMS = 0.25
"""Vectors are scaled so that their deviation from the mean has this root mean square per element."""
_BETAS, _EPSILON = (0.9, 0.999), 1e-10  # the loss is a share of variance: gradients are small
_DEAD_SHARE, _DEAD_MOST = 0.1, 10_000_000
# A latent is dead when it has been silent for this share of the run, or for so many vectors (Gao et al.); where dead
# latents are given new weights, for half of the time between two such steps (Bricken et al.).


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
    """What this step's gradients are of: see the architecture."""
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

    On the CPU the result is the same bit for bit for the same seed, batches and number of threads, also where training
    went on from a saved state. Under `torchrun` every process is given the same batches, and takes its share of each.
    """

    def __init__(
        self, recipe: Recipe, first: Float[Tensor, "vector d_in"], *, steps: int, seed: int, device: str = "cpu"
    ) -> None:
        """Start from the vectors `first`, which give the input's scale and the decoder's bias.

        Raises SaeError for a recipe that can't be trained, a device that can't be used, and when all vectors are the
        same.
        """
        self._architecture = trainable(recipe)
        self._peers = Peers()
        if recipe.batch % self._peers.size:
            what = f"batches of {recipe.batch} for {self._peers.size} processes"
            raise SaeError(what, "make batch a multiple of their number")
        self._device = usable_device(device)
        spread = float((first - first.mean(dim=0)).square().mean().sqrt())
        if not 0 < spread < float("inf"):
            raise SaeError(f"the spread of the first vectors is {spread:g}", "check the hook and the subject's dtype")
        self._scale = INPUT_RMS / spread
        self._length = INPUT_RMS * first.shape[1] ** 0.5
        centre = self._architecture.centre(first) * self._scale
        own = self._architecture.own(self._length)
        generator, start = torch.Generator().manual_seed(seed), self._architecture.encoder_start
        self._weights = start_weights(recipe.width, centre, own, start, generator, self._device)
        self._freezing = Freezing(recipe, self._weights)
        self._adam = torch.optim.Adam(
            self._freezing.trained(self._weights).values(), lr=recipe.lr, betas=_BETAS, eps=_EPSILON, fused=True
        )
        self._rooms = Rooms(self._weights.encoder)
        self._product = encoder_product(recipe, self._weights, self._rooms)
        self._silent = torch.zeros(recipe.width, dtype=torch.int64, device=self._device)
        self._recipe, self._steps, self._seed, self._done = recipe, steps, seed, 0
        self._curve = torch.zeros(steps, 3, dtype=torch.float64)  # loss, fvu, l0
        resample_at = recipe.resample if self._architecture.resamples and not self._freezing.any else ()
        self._resample_at = {round(share * steps) for share in resample_at} - {0}
        self._dead_after = self._patience() * recipe.batch
        self._draw: Draw | None = None

    @property
    def done(self) -> int:
        """Steps done."""
        return self._done

    def _patience(self) -> int:
        """Steps of silence after which a latent is dead."""
        if self._resample_at:
            points = sorted({0, *self._resample_at})
            return max(1, min(b - a for a, b in pairwise(points)) // 2)
        return max(1, min(int(_DEAD_SHARE * self._steps), _DEAD_MOST // self._recipe.batch))

    def step(self, x: Float[Tensor, "vector d_in"]) -> TrainState:
        """One step on a batch of raw vectors, always of the size that the recipe says.

        Raises SaeError when the loss is not a number.
        """
        recipe, weights = self._recipe, self._weights
        lr = recipe.lr * rate(recipe, self._done, self._steps)
        for group in self._adam.param_groups:
            group["lr"] = lr
        own = moved(self._peers.share(x), self._device)
        room = self._rooms.centred.matrix(*own.shape)
        centred = torch.add(-weights.b_dec, own, alpha=self._scale, out=room)
        forward = Forward(
            weights,
            centred,
            self._product,
            self._rooms,
            dead=silent_positions(self._silent, self._dead_after),
            penalty=penalty(recipe, self._done, self._steps),
            length=self._length,
            peers=self._peers,
        )
        step = self._architecture.step(forward)
        state = self._count(step, lr)
        self._update()
        self._renew(centred, step)
        return state

    def _update(self) -> None:
        for tensor in self._weights.all().values():
            self._peers.total(gradient_of(tensor))
        drop_parallel_gradient(self._weights)
        if self._recipe.clip is not None:
            torch.nn.utils.clip_grad_norm_(self._freezing.trained(self._weights).values(), self._recipe.clip)
        self._adam.step()
        if not self._freezing.holds_decoder:
            rescale_decoder(self._weights)
        self._freezing.hold(self._weights)

    def _count(self, step: Step, lr: float) -> TrainState:
        """Take the step into account. All numbers are fetched at once, since a GPU is waited for."""
        fired = self._peers.total(step.fired)
        self._silent += self._recipe.batch
        self._silent[fired > 0] = 0
        numbers = [step.loss, step.unexplained, fired.sum(), (self._silent >= self._dead_after).double().mean()]
        loss, fvu, active, dead = torch.stack([number.double() for number in numbers]).tolist()
        if not loss < float("inf"):
            raise SaeError(f"the loss is {loss:g} at step {self._done + 1}", "lower lr, or check the vectors")
        l0 = active / self._recipe.batch
        self._curve[self._done] = torch.tensor([loss, fvu, l0], dtype=torch.float64)
        self._done += 1
        return TrainState(
            step=self._done,
            steps=self._steps,
            vectors=self._done * self._recipe.batch,
            lr=lr,
            loss=loss,
            fvu=fvu,
            l0=l0,
            dead_share=dead,
        )

    def _renew(self, centred: Float[Tensor, "vector d_in"], step: Step) -> None:
        """Draw inputs while the next resampling is near, and carry it out when it is there."""
        if step.losses is None or not (ahead := [at for at in self._resample_at if at >= self._done]):
            return
        last = min(ahead)
        if self._done > last - max(1, self._recipe.resample_draw // self._recipe.batch):
            if self._draw is None:
                self._draw = self._new_draw(self._seed + last)
            self._draw.add(centred, step.losses)
        if self._done == last and self._draw is not None:
            dead = silent_positions(self._silent, self._dead_after)
            resample(self._weights, self._adam, dead, self._draw.take(dead.shape[0]))
            self._silent[dead] = 0
            self._draw = None

    def _new_draw(self, seed: int) -> Draw:
        return Draw(self._recipe.width, self._weights.encoder.shape[1], seed, self._device, self._peers)

    def finish(self) -> Trained:
        """The autoencoder as it is now, for raw vectors, and how training went."""
        if not self._done:
            raise SaeError("no training step was made", "give at least one batch of vectors")
        loss, fvu, l0 = self._curve[self._done - max(self._done // 10, 1) : self._done].mean(dim=0).tolist()
        metrics = TrainMetrics(
            steps=self._done,
            vectors=self._done * self._recipe.batch,
            loss=loss,
            fvu=fvu,
            l0=l0,
            dead_share=float((self._silent >= self._dead_after).double().mean()),
            scale=self._scale,
        )
        return Trained(self._architecture.export(self._weights, self._scale), metrics)

    def state(self) -> dict[str, Tensor]:
        """Everything that the next steps depend on, for `restore`: weights, Adam's moments, counters, draws.

        Of several processes all must call it, after the same step; each gets the state of all.
        """
        found = {f"weights.{name}": tensor for name, tensor in self._weights.all().items()}
        for name, tensor in self._freezing.trained(self._weights).items():
            found |= {f"adam.{name}.{key}": value for key, value in self._adam.state[tensor].items()}
        for key, value in self._architecture.state().items():
            found[f"architecture.{key}"] = torch.tensor(value, dtype=torch.float64)
        if self._draw is not None:
            found |= {f"draw.{key}": value for key, value in self._draw.state().items()}
        numbers = torch.tensor([self._done, self._scale], dtype=torch.float64)
        return {**found, "silent": self._silent, "curve": self._curve[: self._done], "numbers": numbers}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state` gave, of a trainer of the same recipe, steps and seed."""
        for name, tensor in self._weights.all().items():
            tensor.copy_(state[f"weights.{name}"])
        for name, tensor in self._freezing.trained(self._weights).items():
            start = f"adam.{name}."
            self._adam.state[tensor] = {
                key.removeprefix(start): value.to(tensor.device, copy=True)
                for key, value in state.items()
                if key.startswith(start)
            }
        self._architecture.restore(_part(state, "architecture.", float))
        if drawn := _part(state, "draw.", torch.clone):
            self._draw = self._new_draw(0)
            self._draw.restore(drawn)
        self._silent.copy_(state["silent"])
        self._done, self._scale = int(state["numbers"][0]), float(state["numbers"][1])
        self._curve[: self._done] = state["curve"]


def _part(state: Mapping[str, Tensor], start: str, read: Callable[[Tensor], Any]) -> dict[str, Any]:
    return {key.removeprefix(start): read(value) for key, value in state.items() if key.startswith(start)}
