"""TracIn (Pruthi et al. 2020): products of gradients, summed over checkpoints of the training, times the learning rate.

No influence function: it says what the training's steps on a sequence did to the query's cost, to first order, and
not what a model trained without the sequence would be. A run keeps no checkpoints: its subject is trained again, which
gives the same weights on the same machine, and checkpoints are kept in the run's folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from autointerp.artifacts import hash_value, seed_of
from autointerp.errors import BadInput
from autointerp.influence.queries import Query
from autointerp.influence.run_material import TrainedRun
from autointerp.influence.training_scores import (
    Queries,
    low_rank,
    passed_by,
    position_scores,
    query_gradients,
    score_all,
)
from autointerp.progress import bar, say
from autointerp.study_inputs import SubjectTraining
from autointerp.subject.making import START, Making, blank_model, schedule

CHECKPOINTS = 5
"""Equally far apart, the last at the end."""


@dataclass(frozen=True)
class TrainingPoint:
    """One checkpoint."""

    step: int
    """Steps done."""
    lr: float
    """Learning rate of the last of them."""
    path: Path


def train_again(making: Making, recipe: SubjectTraining, folder: Path, made_of: str) -> list[TrainingPoint]:
    """Do the training and keep its checkpoints in `folder`; those of an interrupted call are gone on from.

    Afterwards the weights of `making` are those of the end. BadInput for a training of fewer steps than checkpoints.
    """
    if making.steps < CHECKPOINTS:
        raise BadInput(f"a training of {making.steps} steps has no {CHECKPOINTS} checkpoints", "take another method")
    steps = [making.steps * (number + 1) // CHECKPOINTS for number in range(CHECKPOINTS)]
    points = [
        TrainingPoint(step, recipe.lr * schedule(step - 1, making.steps), folder / f"step-{step}.safetensors")
        for step in steps
    ]
    done = [point for point in points if making.restore(point.path, made_of)]
    with bar("train the subject again", making.steps - len(making.losses), "steps") as progress:
        for point in points[len(done) :]:
            while len(making.losses) < point.step:
                making.step()
                progress.advance(1)
            making.save(point.path, made_of)
    return points


class TracInScores:
    """TracIn of a run's subject."""

    def __init__(self, run: TrainedRun, rank: int | None, folder: Path) -> None:
        """Train the subject again, or take what is in `folder`; `rank` of the queries' matrices, None: whole."""
        self._run, self._rank, self._folder = run, rank, folder
        seed = seed_of(run.study.seed, "subject")
        model: Any = blank_model(run.recipe, len(run.subject.tokenizer), run.study.corpus.context, seed)
        self._making = Making(model.to(run.subject.device), run.recipe, run.tokens, seed)
        self._made_of = hash_value(run.identity)
        self._points = train_again(self._making, run.recipe, folder / "checkpoints", self._made_of)
        if difference := _farthest(self._making.model, run.subject.model):
            say(f"  trained again, the subject's weights differ by up to {difference:.2g} from the run's")

    def scores(self, asked: Sequence[Query], key: str) -> Float[np.ndarray, "query sequence"]:
        """Of every training sequence; kept under `key`, a file per 1,024 sequences and checkpoint."""
        run = self._run
        total: Any = 0.0
        for point in self._points:
            with self._weights(point):
                place = self._folder / f"tracin-{key}" / f"step-{point.step}"
                found = score_all(run.subject.model, START, run.layers, run.tokens, self._matrices(asked), place)
            total = total + point.lr * found.scores
        return np.asarray(total)

    def parts(self, query: Query, chosen: Int[np.ndarray, " chosen"]) -> Float[np.ndarray, "chosen position"]:
        """Of each position of some training sequences."""
        run = self._run
        total: Any = 0.0
        for point in self._points:
            with self._weights(point):
                passed = passed_by(run.subject.model, START, run.layers, run.tokens[chosen])
                total = total + point.lr * position_scores(passed, self._matrices([query]))[0].cpu().numpy()
        return np.asarray(total)

    def _matrices(self, asked: Sequence[Query]) -> Queries:
        plain = query_gradients(self._run.subject.model, self._run.layers, [query.cost for query in asked])
        return plain if self._rank is None else low_rank(plain, self._rank)

    @contextmanager
    def _weights(self, point: TrainingPoint) -> Iterator[None]:
        """The run's subject has the weights of a checkpoint, for as long as the block lasts."""
        model = self._run.subject.model
        own = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        if not self._making.restore(point.path, self._made_of):
            raise BadInput(f"{point.path} is no checkpoint of this run", "remove it and call again")
        try:
            model.load_state_dict(self._making.model.state_dict())
            yield
        finally:
            model.load_state_dict(own)


def _farthest(model: Any, other: Any) -> float:
    """The greatest difference between two models' weights: 0 where training again gave the same."""
    with torch.no_grad():
        pairs = zip(model.parameters(), other.parameters(), strict=True)
        return max(float((a - b).abs().max()) for a, b in pairs)
