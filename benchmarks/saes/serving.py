"""The frame of a contestant's process: take a job, train through the contestant's own code, measure, score."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from common.memory import forget_peak, memory_mb
from common.workers import answer
from torch import Tensor

from saes.job import Data, Job, Outcome, Score
from saes.planted import Planted, planted
from saes.stream import Stream, check, held_out

_CHUNK = 2048
_NEAR = 0.9

if sys.platform != "win32":
    import resource


@dataclass(frozen=True, eq=False)
class Learnt:
    """What training came to, in the form that is used afterwards, for vectors as they were handed out."""

    encode: Callable[[Tensor], Tensor]
    """Vectors [vector, d_in] to activations [vector, latent], zeros where a latent is inactive."""
    decode: Callable[[Tensor], Tensor]
    """Activations to vectors."""
    directions: Tensor
    """Decoder [latent, d_in], of any lengths."""


Train = Callable[[Job, Stream], Learnt]
"""Trains on every batch of the stream, in its order."""


def serve(version: str, train: Train) -> None:
    """Do the jobs that come in."""
    made: dict[Data, Planted] = {}

    def handle(values: dict[str, Any]) -> dict[str, Any]:
        job = Job.of_json(values)
        torch.set_num_threads(job.threads)
        if job.data not in made:
            made.clear()
            made[job.data] = planted(job.data)
        return asdict(_done(job, made[job.data], version, train))

    answer(handle)


def _done(job: Job, data: Planted, version: str, train: Train) -> Outcome:
    if job.memory_mb is not None and sys.platform != "win32":
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (int(job.memory_mb * 2**20), hard))
    gc.collect()
    forget_peak()
    stream = Stream(data, job)
    learnt = train(job, stream)
    check(stream, job.steps)
    peak = memory_mb("VmHWM")
    result = score(learnt, data.dictionary, held_out(data, job.held_out)) if job.held_out else None
    return Outcome(version, tuple(stream.seconds), peak, stream.digest, result)


@torch.no_grad()
def score(learnt: Learnt, dictionary: Tensor, x: Tensor) -> Score:
    """Score what was learnt against the true directions and on the vectors `x`."""
    lengths = torch.linalg.vector_norm(learnt.directions, dim=1, keepdim=True)
    rows = learnt.directions / lengths.clamp_min(torch.finfo(torch.float32).tiny)
    cosines = (dictionary @ rows.t()).max(dim=1).values
    left, firings = 0.0, torch.zeros(rows.shape[0], dtype=torch.int64)
    for part in x.split(_CHUNK):
        activations = learnt.encode(part.clone())
        left += float((part - learnt.decode(activations)).double().square().sum())
        firings += (activations > 0).sum(dim=0)
    return Score(
        max_cosine=float(cosines.mean()),
        recovered=float((cosines > _NEAR).double().mean()),
        l0=float(firings.sum()) / x.shape[0],
        fvu=left / float((x - x.mean(dim=0)).double().square().sum()),
        dead=float((firings == 0).double().mean()),
    )
