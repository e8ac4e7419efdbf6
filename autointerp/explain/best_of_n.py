"""Best of n: the same number of candidates, of the same composition, for every unit of every arm; one is chosen."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autointerp.errors import BadInput
from autointerp.records import Candidate, Unscored


@dataclass(frozen=True)
class CandidatePlan:
    """How many candidates each explainer proposes."""

    per_method: Mapping[str, int]
    """For a unit with one orientation; explainers with no candidates are left out."""

    def counts(self, orientations: int) -> dict[str, int]:
        """Candidates per explainer for EACH of the 1 or 2 orientations of a unit; the sum over both is the same.

        Raises ValueError when a plan that was made without signed units can't be halved.
        """
        if any(count % orientations for count in self.per_method.values()):
            raise ValueError(f"{dict(self.per_method)} can't be shared equally by {orientations} orientations")
        return {method: count // orientations for method, count in self.per_method.items()}


def plan(needs_model: Mapping[str, bool], candidates: int, model_share: float, signed: bool) -> CandidatePlan:
    """Share `candidates` out over explainers.

    `needs_model` tells for each explainer, in their order, whether it asks a language model: those get
    `model_share` of the candidates (rounded half up) when both kinds are there, and each kind is dealt out evenly,
    the first explainers getting the odd ones. Raises BadInput when two orientations can't get equal shares, or when
    an explainer would be left with none although its kind has a share.
    """
    step = 2 if signed else 1
    if candidates < step or candidates % step:
        raise BadInput(
            f"explain.candidates = {candidates} can't be shared equally by the two orientations of a signed unit",
            "give an even number",
        )
    rounds = candidates // step
    models = [method for method, asks in needs_model.items() if asks]
    others = [method for method, asks in needs_model.items() if not asks]
    if models and others:
        for_models = math.floor(rounds * model_share + 0.5)
    else:
        for_models = rounds if models else 0
    dealt = {**_deal(models, for_models), **_deal(others, rounds - for_models)}
    shares = {True: model_share if others else 1.0, False: 1.0 - model_share if models else 1.0}
    for method, asks in needs_model.items():
        if dealt[method] == 0 and shares[asks] > 0:
            raise BadInput(
                f"explain.candidates = {candidates} leaves none for '{method}'",
                "raise explain.candidates, change explain.model_share, or name fewer explainers",
            )
    return CandidatePlan({method: dealt[method] * step for method in needs_model if dealt[method]})


def _deal(methods: Sequence[str], count: int) -> dict[str, int]:
    """Deal `count` candidates out evenly."""
    return {m: count // len(methods) + (position < count % len(methods)) for position, m in enumerate(methods)}


@dataclass(frozen=True)
class Choice:
    """The candidate that won."""

    place: int
    """Its position among all that were ranked."""
    candidate: Candidate
    score: float
    """Its score on evidence."""


def choose(candidates: Sequence[Candidate | Unscored], scores: Sequence[float | Unscored]) -> Choice | Unscored:
    """The candidate with the highest finite score on evidence, the first of equals; Unscored when there is none.

    `scores` has one entry per candidate; that of a failed candidate is ignored.
    """
    best: Choice | None = None
    reasons: Counter[str] = Counter()
    for position, (candidate, score) in enumerate(zip(candidates, scores, strict=True)):
        if isinstance(candidate, Unscored):
            reasons[candidate.reason] += 1
        elif isinstance(score, Unscored):
            reasons[score.reason] += 1
        elif not math.isfinite(score):
            reasons["the score on evidence is not finite"] += 1
        elif best is None or score > best.score:
            best = Choice(position, candidate, score)
    if best is not None:
        return best
    if not reasons:
        return Unscored("no candidate was proposed")
    return Unscored(f"no candidate could be ranked: {reasons.most_common(1)[0][0]}")
