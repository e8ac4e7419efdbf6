"""dictionary_learning: its `trainSAE` over its own trainers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Any

import torch
from common.stand_ins import stand_in
from torch import Tensor

from saes.groups import GROUPS
from saes.job import Job
from saes.serving import Learnt, serve
from saes.stream import Stream

stand_in("nnsight", "wandb")

from dictionary_learning.trainers import (  # noqa: E402
    BatchTopKTrainer,
    GatedSAETrainer,
    JumpReluTrainer,
    StandardTrainer,
    TopKTrainer,
)
from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKTrainer  # noqa: E402
from dictionary_learning.trainers.standard import StandardTrainerAprilUpdate  # noqa: E402
from dictionary_learning.training import trainSAE  # noqa: E402

_TRAINERS: dict[tuple[str, str], type] = {
    ("batchtopk", ""): BatchTopKTrainer,
    ("gated", ""): GatedSAETrainer,
    ("jumprelu", ""): JumpReluTrainer,
    ("matryoshka", ""): MatryoshkaBatchTopKTrainer,
    ("standard", ""): StandardTrainer,
    ("standard", "April"): StandardTrainerAprilUpdate,
    ("topk", ""): TopKTrainer,
}


class _Batches:
    """The stream as `trainSAE` reads it: once for the scale, if that is asked for, and once to train."""

    def __init__(self, stream: Stream, scaled: bool) -> None:
        self._readings: list[Iterator[Tensor]] = [iter(stream)]
        if scaled:
            self._readings.insert(0, iter(stream.first))

    def __iter__(self) -> Iterator[Tensor]:
        return self._readings.pop(0)


def train(job: Job, stream: Stream) -> Learnt:
    made: list[Any] = []

    def make(**settings: Any) -> Any:
        # One of its trainers takes a seed without using it.
        torch.manual_seed(job.seed)
        trainer = _TRAINERS[job.architecture, job.variant](**settings)
        if job.dead_share is not None and hasattr(trainer, "dead_feature_threshold"):
            trainer.dead_feature_threshold = int(job.dead_share * job.planned * job.batch)
        made.append(trainer)
        return trainer

    trainSAE(
        _Batches(stream, scaled=True),
        [{"trainer": make, **_settings(job)}],
        steps=job.steps,
        normalize_activations=True,
        device="cpu",
    )
    autoencoder = made[0].ae
    return Learnt(autoencoder.encode, autoencoder.decode, _directions(autoencoder))


def _settings(job: Job) -> dict[str, Any]:
    """What its trainer is made with: the schedule's shares are ours, the rest its defaults."""
    settings: dict[str, Any] = {
        "steps": job.planned,
        "activation_dim": job.data.d_in,
        "dict_size": job.width,
        "layer": 0,
        "lm_name": job.data.kind,
        "lr": job.lr,
        "warmup_steps": job.planned // 20,
        "decay_start": job.planned * 3 // 4,
        "seed": job.seed,
        "device": "cpu",
    }
    selection = {"k": job.k, "threshold_start_step": job.planned // 2}
    extra: dict[str, Callable[[], dict[str, Any]]] = {
        "batchtopk": lambda: selection,
        "gated": lambda: {"l1_penalty": job.penalty, "sparsity_warmup_steps": job.planned // 20},
        "jumprelu": lambda: {"target_l0": float(job.k), "sparsity_warmup_steps": job.planned // 20},
        "matryoshka": lambda: {**selection, "group_fractions": list(GROUPS)},
        "standard": lambda: {"l1_penalty": job.penalty, "sparsity_warmup_steps": job.planned // 20},
        "topk": lambda: selection,
    }
    return settings | extra[job.architecture]()


def _directions(autoencoder: Any) -> Tensor:
    decoder: Tensor = autoencoder.W_dec if hasattr(autoencoder, "W_dec") else autoencoder.decoder.weight.t()
    return decoder.detach()


if __name__ == "__main__":
    serve(f"dictionary-learning {version('dictionary-learning')}", train)
