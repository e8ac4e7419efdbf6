"""Train autoencoders on one stream of vectors, side by side, with checkpoints to continue from."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sae.atomic import atomic_file
from sae.errors import SaeError
from sae.parallel import Peers
from sae.recipe import Recipe
from sae.streams.vectors import Batches, VectorSource
from sae.training.trainer import Trained, Trainer, TrainState

FIRST = 8
"""Batches that the scale and the decoder bias are estimated on."""
_PLAN = "plan"
_BATCHES, _TRAINER = "batches/", "trainer/"
"""How the names of a checkpoint's tensors begin."""


@dataclass(frozen=True)
class Checkpoints:
    """Where the state of training is kept, and how often; to remove the file is the caller's business."""

    path: Path
    seconds: float = 300.0
    """Between two of them."""


def train(
    recipe: Recipe,
    vectors: VectorSource,
    *,
    passes: int,
    seed: int,
    progress: Callable[[TrainState], None] | None = None,
    device: str = "cpu",
) -> Trained:
    """Train one autoencoder: see `train_together`."""
    tell = None if progress is None else lambda states: progress(states[_ONE])
    return train_together({_ONE: (recipe, seed)}, vectors, passes=passes, seed=seed, progress=tell, device=device)[_ONE]


_ONE = "sae"


def train_together(
    recipes: Mapping[str, tuple[Recipe, int]],
    vectors: VectorSource,
    *,
    passes: int,
    seed: int,
    progress: Callable[[Mapping[str, TrainState]], None] | None = None,
    device: str = "cpu",
    checkpoints: Checkpoints | None = None,
) -> dict[str, Trained]:
    """Train on `passes` passes over `vectors`, which `seed` shuffles; each recipe comes with a seed of its own.

    All recipes have the same `batch`, and see the same batches: each comes out as if it had been trained alone.
    `progress` is called after every step with the state of each. Where the file of `checkpoints` is there, of the same
    plan, training goes on from it, and ends with the bits that it would have had in one go (on the CPU). Several
    processes must all see that file; the first of them writes it.

    Raises SaeError for recipes or vectors that can't be used, and a checkpoint of another plan.
    """
    (batch,) = {recipe.batch for recipe, _ in recipes.values()}
    steps = passes * vectors.count // batch
    if not steps:
        raise SaeError(
            f"{passes} x {vectors.count} vectors are less than one batch of {batch}", "lower batch or collect more"
        )
    plan = _plan(recipes, vectors, passes, seed)
    found = None if checkpoints is None else _read(checkpoints.path, plan)
    batches = vectors.batches(batch, passes, seed, found and _part(found, _BATCHES))
    first = batches.ahead(FIRST)
    trainers = {
        name: Trainer(recipe, first, steps=steps, seed=own, device=device) for name, (recipe, own) in recipes.items()
    }
    del first
    for name, trainer in trainers.items():
        if found:
            trainer.restore(_part(found, f"{_TRAINER}{name}/"))
    saved, peers = time.monotonic(), Peers()
    for number in range(next(iter(trainers.values())).done + 1, steps + 1):
        x = next(batches)
        states = {name: trainer.step(x) for name, trainer in trainers.items()}
        if progress is not None:
            progress(states)
        if checkpoints is None or number == steps:
            continue
        if _due(time.monotonic() - saved >= checkpoints.seconds, device, peers):
            _save(trainers, batches, checkpoints.path, plan, peers)
            saved = time.monotonic()
    return {name: trainer.finish() for name, trainer in trainers.items()}


def _due(over: bool, device: str, peers: Peers) -> bool:
    """Whether the first process's time is over; one alone has nobody to ask, and its GPU is not waited for."""
    return bool(peers.of_first(torch.tensor(over, device=device))) if peers.size > 1 else over


def _plan(recipes: Mapping[str, tuple[Recipe, int]], vectors: VectorSource, passes: int, seed: int) -> str:
    """Everything that the steps depend on, in words."""
    return json.dumps(
        {
            "recipes": {name: [asdict(recipe), own] for name, (recipe, own) in recipes.items()},
            "vectors": vectors.identity,
            "passes": passes,
            "seed": seed,
            "processes": Peers().size,
        },
        sort_keys=True,
    )


def _save(trainers: Mapping[str, Trainer], batches: Batches, path: Path, plan: str, peers: Peers) -> None:
    state = {f"{_BATCHES}{key}": tensor for key, tensor in batches.state().items()}
    for name, trainer in trainers.items():
        state |= {f"{_TRAINER}{name}/{key}": tensor for key, tensor in trainer.state().items()}
    if peers.rank:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as temporary:
        save_file({key: tensor.detach().cpu().contiguous() for key, tensor in state.items()}, temporary, {_PLAN: plan})


def _read(path: Path, plan: str) -> dict[str, Tensor] | None:
    """What the file holds; None where there is none."""
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            found = (file.metadata() or {}).get(_PLAN)
            state: dict[str, Tensor] = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise SaeError(f"checkpoint {path} can't be read ({error})", "remove it to train from the start") from error
    if found != plan:
        raise SaeError(f"checkpoint {path} is of another plan (recipe, vectors, seed or processes)", "remove it")
    return state


def _part(state: Mapping[str, Tensor], start: str) -> dict[str, Tensor]:
    return {key.removeprefix(start): tensor for key, tensor in state.items() if key.startswith(start)}
