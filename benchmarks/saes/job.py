"""What a contestant is told and what it answers, as both sides of the pipe see it. Standard library only."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Data:
    """Planted data: what is needed to make the same vectors in every process."""

    kind: str
    """Of `saes.planted.KINDS`."""
    d_in: int
    atoms: int
    """True features."""
    active: float
    """Mean number of true features in a vector."""
    seed: int


@dataclass(frozen=True)
class Job:
    """One autoencoder to train."""

    architecture: str
    variant: str
    """Which of the contestant's own ways, where it has several; '' where it has one."""
    data: Data
    width: int
    k: int
    penalty: float
    """Factor of the sparsity penalty in the contestant's own unit; meaningless where `k` says it all."""
    lr: float
    batch: int
    steps: int
    """Steps that are made."""
    planned: int
    """Steps that schedules, and what counts as dead, reckon with: more than are made when only speed is wanted."""
    seed: int
    """Of the weights at the start."""
    pool: int
    """Distinct batches, which then come again; 0: no vector comes twice."""
    dead_share: float | None
    """Share of the planned steps after which a silent latent counts as dead; None: the contestant's default."""
    held_out: int
    """Vectors that the result is scored on; 0: it isn't."""
    threads: int
    memory_mb: float | None
    """Most that the process may allocate; None: no limit."""

    def as_json(self) -> dict[str, Any]:
        """For the pipe."""
        return asdict(self)

    @staticmethod
    def of_json(values: dict[str, Any]) -> Job:
        """Out of the pipe."""
        return Job(**{**values, "data": Data(**values["data"])})


@dataclass(frozen=True)
class Score:
    """How well a dictionary was recovered and held-out vectors are described."""

    max_cosine: float
    """Mean over the true features of the cosine with the learnt direction that is nearest."""
    recovered: float
    """Share of the true features with a cosine above 0.9."""
    l0: float
    fvu: float
    """Share of the variance that is left unexplained."""
    dead: float
    """Share of the latents that no held-out vector activates."""


METRICS = tuple(field.name for field in fields(Score))


@dataclass(frozen=True)
class Outcome:
    """What one job came to."""

    version: str
    """Package and version."""
    seconds: tuple[float, ...]
    """Of every step but the last, from a batch handed out to the next one asked for."""
    peak_mb: float | None
    """Most resident memory during the job; None where there is no /proc."""
    digest: str
    """Of all vectors that were handed out."""
    score: Score | None

    @staticmethod
    def of_json(values: dict[str, Any]) -> Outcome:
        """Out of the pipe."""
        score = values["score"]
        return Outcome(**{**values, "seconds": tuple(values["seconds"]), "score": score and Score(**score)})
