"""How a method scores planted units: all pairings together, through the interfaces that a run uses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from autointerp.artifacts import rng_of
from autointerp.collect.token_table import TokenSums, TokenTable
from autointerp.judge.interface import AnyJudge, Case, ComputedJudge, Judgement
from autointerp.judge.stage import judge_each
from autointerp.llm.client import Asker
from autointerp.metrics.classification import classify
from autointerp.metrics.metrics import score_one
from autointerp.planted.pairings import PlantedPairing
from autointerp.progress import Bar
from autointerp.records import Unscored
from autointerp.simulate.interface import Simulator, Task
from autointerp.simulate.lookup import Lookup

SIMULATED = "pearson"
"""What a simulator's predictions are scored by, over the pooled tokens of the slice top-and-random."""
JUDGED = "auroc"
"""What a judge's answers are scored by, over the items of one unit."""


def simulated(simulator: Simulator, pairings: Sequence[PlantedPairing], progress: Bar) -> list[float | Unscored]:
    """Pearson correlation of predicted with true activations, per pairing in their order."""
    tasks = [Task(pairing.text, pairing.contexts) for pairing in pairings]
    scores: dict[int, float | Unscored] = {}
    for place, result in simulator.simulate(tasks, progress):
        truth = pairings[place].unit.held.truth.ravel()
        scores[place] = (
            result if isinstance(result, Unscored) else score_one(SIMULATED, truth, result.predicted.ravel())
        )
    return [scores[place] for place in range(len(pairings))]


def ruled(pairings: Sequence[PlantedPairing], progress: Bar) -> list[float | Unscored]:
    """The same of an ideal reader: what the explanation's own rule predicts. No method can do better."""
    scores: list[float | Unscored] = []
    for pairing in pairings:
        predicted = np.stack([pairing.rule.activations(context) for context in pairing.contexts])
        scores.append(score_one(SIMULATED, pairing.unit.held.truth.ravel(), predicted.ravel()))
        progress.advance()
    return scores


def looked_up(pairings: Sequence[PlantedPairing], progress: Bar) -> list[float | Unscored]:
    """The same of the unit's token table from the evidence, whatever the explanation."""
    scores: list[float | Unscored] = []
    for pairing in pairings:
        predicted = Lookup(_token_table(pairing)).predict(0, pairing.contexts).predicted
        scores.append(score_one(SIMULATED, pairing.unit.held.truth.ravel(), predicted.ravel()))
        progress.advance()
    return scores


def _token_table(pairing: PlantedPairing) -> TokenTable:
    contexts, activations = zip(*pairing.unit.evidence, strict=True)
    sums = TokenSums(1)
    sums.add(
        torch.from_numpy(np.stack(activations))[..., None], torch.from_numpy(np.stack([c.tokens for c in contexts]))
    )
    return sums.table()


def judged(
    judge: AnyJudge, asker: Asker | None, pairings: Sequence[PlantedPairing], seed: int, progress: Bar
) -> list[float | Unscored]:
    """AUROC of the judge's decisions, per pairing in their order: every explanation of a unit on the same items.

    `asker` is None for a judge that computes.
    """
    scores: dict[int, float | Unscored] = {}
    for place, result in _judgements(judge, asker, pairings, seed, progress):
        scores[place] = _auroc(result)
    return [scores[place] for place in range(len(pairings))]


def _judgements(
    judge: AnyJudge, asker: Asker | None, pairings: Sequence[PlantedPairing], seed: int, progress: Bar
) -> Iterator[tuple[int, list[Judgement] | Unscored]]:
    cases = (Case(pairing.text, pairing.unit.held_out) for pairing in pairings)
    rngs = (rng_of(seed, "judge", judge.name, pairing.unit.unit) for pairing in pairings)
    if isinstance(judge, ComputedJudge):
        for position, (case, rng) in enumerate(zip(cases, rngs, strict=True)):
            yield position, judge.judge(case, rng)
            progress.advance()
    elif asker is None:
        raise ValueError(f"judge '{judge.name}' asks a language model, and there is no asker")
    else:
        yield from judge_each((judge.batches(c, r) for c, r in zip(cases, rngs, strict=True)), asker, progress)


def _auroc(result: list[Judgement] | Unscored) -> float | Unscored:
    """Unscored with the first reason when an item has no answer, as in a run."""
    if isinstance(result, Unscored):
        return result
    probabilities: list[float] = []
    for judgement in result:
        if isinstance(judgement.probability, Unscored):
            return judgement.probability
        probabilities.append(judgement.probability)
    truth = np.array([judgement.item.truth for judgement in result], dtype=bool)
    return classify(JUDGED, truth, np.array(probabilities, dtype=np.float64))
