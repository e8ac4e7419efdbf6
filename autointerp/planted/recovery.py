"""The explainer's end: planted unit -> explainer -> best of n on evidence -> held-out score; and is the meaning found?

A run never knows whether a chosen explanation is right. Here the rule is known: the words that the explanation names,
looked up on the unit's held-out contexts, are held against the tokens on which the rule is active. Explainers that ask
no language model are tried alone: what they write is a list of words, as most of a run's explanations are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from autointerp.artifacts import rng_of
from autointerp.benchmark_rows import RecoveryRow
from autointerp.contexts.naming import Named
from autointerp.contexts.sharing import share_out
from autointerp.explain.best_of_n import Choice, choose
from autointerp.explain.exemplars import Exemplars
from autointerp.explain.interface import ExplainSettings, Shown, ShownContext
from autointerp.explain.ranking import Ranked, rank
from autointerp.metrics.metrics import score_one
from autointerp.planted.activations import SIZES
from autointerp.planted.meanings import NOISE, TRUE
from autointerp.planted.scoring import SIMULATED
from autointerp.planted.statistics import DEVELOPMENT, TEST
from autointerp.planted.units import PlantedUnit
from autointerp.progress import Bar
from autointerp.records import Candidate, Context, Exemplar, Kind, Unscored
from autointerp.simulate.interface import Simulator, Task
from autointerp.study import Explain
from autointerp.study_models import Llm

CANDIDATES = Explain().candidates
"""Proposed for each unit: a run's default."""


@dataclass(frozen=True)
class _Proposed:
    unit: PlantedUnit
    ranked: Ranked


def recovered(simulator: Simulator, units: Sequence[PlantedUnit], seed: int) -> list[RecoveryRow]:
    """One row per binary unit that means something: explained from its evidence, chosen and scored by `simulator`."""
    contexts = {context.context: context for context, _ in units[0].evidence} if units else {}
    chosen = [u for u in units if not u.graded and u.kind != NOISE]
    proposed = [_Proposed(unit, _proposals(unit, contexts, seed)) for unit in chosen]
    scores = rank(simulator, [p.ranked for p in proposed], contexts)
    choices = [choose(p.ranked.candidates, found) for p, found in zip(proposed, scores, strict=True)]
    return list(_rows(simulator, proposed, choices))


def _proposals(unit: PlantedUnit, contexts: dict[int, Context], seed: int) -> Ranked:
    """What the explainer says of the half of the evidence that it is shown, and the half that ranks it."""
    share = share_out(unit.unit, list(_exemplars(unit, seed)))
    peak = max((float(values.max()) for _, values in unit.evidence), default=0.0)
    rows = [
        ShownContext(contexts[e.context].tokens, contexts[e.context].pieces, e.activations, e.kind) for e in share.shown
    ]
    rng = rng_of(seed, "recovery", unit.unit)
    proposals = Exemplars(ExplainSettings(Llm())).propose(Shown(unit.unit, peak, tuple(rows)), CANDIDATES, rng)
    return Ranked(unit.unit, [p for p in proposals if isinstance(p, Candidate | Unscored)], share.ranking)


def _exemplars(unit: PlantedUnit, seed: int) -> Iterator[Exemplar]:
    """As many top and blindly drawn contexts as a run gathers, the strongest first, of equals the earlier."""
    peaks = np.array([values.max() for _, values in unit.evidence])
    top = [int(place) for place in np.argsort(-peaks, kind="stable")[: SIZES.top] if peaks[place] > 0]
    blind = rng_of(seed, "recovery blind", unit.unit).permutation(len(peaks))[: SIZES.random].tolist()
    for kind, places in ((Kind.TOP, top), (Kind.RANDOM, blind)):
        for place in places:
            context, values = unit.evidence[place]
            yield Exemplar(unit.unit, 0, context.context, kind, 1.0, values)


def _rows(
    simulator: Simulator, proposed: Sequence[_Proposed], choices: Sequence[Choice | Unscored]
) -> Iterator[RecoveryRow]:
    """The chosen explanation, and beside it the true list, on the slice top-and-random."""
    texts = [
        ("" if isinstance(choice, Unscored) else choice.candidate.text, p.unit.lists.get(TRUE, ""))
        for p, choice in zip(proposed, choices, strict=True)
    ]
    shown = [tuple({h.context.context: h.context for h in p.unit.held_out}[int(c)] for c in p.unit.held.contexts)
             for p in proposed]  # fmt: skip
    asked = [(n, which) for n in range(len(texts)) for which in (0, 1) if texts[n][which]]
    values: dict[tuple[int, int], float] = {}
    tasks = [Task(texts[n][which], shown[n]) for n, which in asked]
    for place, result in simulator.simulate(tasks, Bar()):
        if not isinstance(result, Unscored):
            n, _ = asked[place]
            score = score_one(SIMULATED, proposed[n].unit.held.truth.ravel(), result.predicted.ravel())
            values[asked[place]] = 0.0 if isinstance(score, Unscored) else score
    for n, (p, choice) in enumerate(zip(proposed, choices, strict=True)):
        yield RecoveryRow(
            simulator=simulator.name,
            unit=p.unit.unit,
            kind=p.unit.kind,
            half=TEST if p.unit.test else DEVELOPMENT,
            text=texts[n][0],
            evidence=None if isinstance(choice, Unscored) else choice.score,
            held_out=values.get((n, 0)),
            true_list=values.get((n, 1)),
            overlap=overlap(p.unit, texts[n][0]) if texts[n][0] else None,
        )


def overlap(unit: PlantedUnit, text: str) -> float:
    """Of the held-out tokens that the rule is active on or the explanation names, the share of which both is true."""
    contexts = tuple(held.context for held in unit.held_out)
    active = np.stack([held.activations for held in unit.held_out]) > 0
    named = Named().tokens(text, contexts)
    either = int((active | named).sum())
    return float((active & named).sum() / either) if either else 0.0
