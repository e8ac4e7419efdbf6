"""Ours: `Trainer.step` on every batch."""

from __future__ import annotations

from importlib.metadata import version

import torch

from sae.recipe import Recipe
from sae.training.trainer import Trainer
from saes.groups import GROUPS
from saes.job import Job
from saes.serving import Learnt, serve
from saes.stream import Stream


def train(job: Job, stream: Stream) -> Learnt:
    recipe = Recipe(
        architecture=job.architecture,  # type: ignore[arg-type]  # out of the pipe; Trainer refuses other names
        width=job.width,
        k=job.k,
        l1=job.penalty,
        groups=GROUPS,
        batch=job.batch,
        lr=job.lr,
    )
    trainer = Trainer(recipe, torch.cat(stream.first), steps=job.planned, seed=job.seed)
    for x in stream:
        trainer.step(x)
    sae = trainer.finish().sae
    return Learnt(sae.encode, sae.decode, sae.W_dec)


if __name__ == "__main__":
    serve(f"autointerp {version('autointerp')}", train)
