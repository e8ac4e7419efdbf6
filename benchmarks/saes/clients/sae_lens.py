"""SAELens: its `SAETrainer.fit`. What is scored is the inference model that it saves.

The vectors are scaled to a mean length of sqrt(d_in), as by its own `expected_average_only_in`, but here: when it folds
that scale into the weights it leaves the threshold of BatchTopK behind (6.54), and the L0 is off by a factor.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import torch
from sae_lens import (
    SAE,
    BatchTopKTrainingSAE,
    BatchTopKTrainingSAEConfig,
    GatedTrainingSAE,
    GatedTrainingSAEConfig,
    JumpReLUTrainingSAE,
    JumpReLUTrainingSAEConfig,
    MatryoshkaBatchTopKTrainingSAE,
    MatryoshkaBatchTopKTrainingSAEConfig,
    StandardTrainingSAE,
    StandardTrainingSAEConfig,
    TopKTrainingSAE,
    TopKTrainingSAEConfig,
)
from sae_lens.config import SAETrainerConfig
from sae_lens.training.sae_trainer import SAETrainer

from saes.groups import nested_widths
from saes.job import Job
from saes.serving import Learnt, serve
from saes.stream import Stream

_CLASSES: dict[str, tuple[type, type]] = {
    "batchtopk": (BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig),
    "gated": (GatedTrainingSAE, GatedTrainingSAEConfig),
    "jumprelu": (JumpReLUTrainingSAE, JumpReLUTrainingSAEConfig),
    "matryoshka": (MatryoshkaBatchTopKTrainingSAE, MatryoshkaBatchTopKTrainingSAEConfig),
    "standard": (StandardTrainingSAE, StandardTrainingSAEConfig),
    "topk": (TopKTrainingSAE, TopKTrainingSAEConfig),
}


def train(job: Job, stream: Stream) -> Learnt:
    torch.manual_seed(job.seed)
    form, config = _CLASSES[job.architecture]
    sae = form(config(**_settings(job)))
    scale = job.data.d_in**0.5 / float(torch.cat(stream.first).norm(dim=1).mean())
    SAETrainer(_schedule(job), sae, (x.mul_(scale) for x in stream)).fit()
    with tempfile.TemporaryDirectory() as folder:
        sae.save_inference_model(folder)
        used = SAE.load_from_disk(folder)
    return Learnt(lambda x: used.encode(x * scale), lambda code: used.decode(code) / scale, used.W_dec.detach())


def _settings(job: Job) -> dict[str, Any]:
    warm_up = job.planned // 20
    sparse = job.variant == "sparse"
    selection = {"k": job.k, "use_sparse_activations": sparse, "rescale_acts_by_decoder_norm": not sparse}
    extra: dict[str, Callable[[], dict[str, Any]]] = {
        "batchtopk": lambda: {"k": job.k},
        "gated": lambda: {"l1_coefficient": job.penalty, "l1_warm_up_steps": warm_up},
        "jumprelu": lambda: {
            "jumprelu_sparsity_loss_mode": "quadratic",
            "target_l0": float(job.k),
            "l0_warm_up_steps": warm_up,
        },
        "matryoshka": lambda: {"k": job.k, "matryoshka_widths": nested_widths(job.width)},
        "standard": lambda: {"l1_coefficient": job.penalty, "l1_warm_up_steps": warm_up},
        "topk": lambda: selection,
    }
    return {"d_in": job.data.d_in, "d_sae": job.width, **extra[job.architecture]()}


def _schedule(job: Job) -> SAETrainerConfig:
    """The schedule's shares are ours, the rest its defaults."""
    window = {} if job.dead_share is None else {"dead_feature_window": int(job.dead_share * job.planned)}
    return SAETrainerConfig(
        total_training_samples=job.steps * job.batch,
        train_batch_size_samples=job.batch,
        lr=job.lr,
        lr_end=job.lr,
        lr_warm_up_steps=job.planned // 20,
        lr_decay_steps=job.planned // 4 if job.planned == job.steps else 0,
        **window,
    )


if __name__ == "__main__":
    serve(f"sae-lens {version('sae-lens')}", train)
