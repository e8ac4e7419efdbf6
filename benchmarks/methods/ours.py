"""Our `digits` and our `detection` behind an endpoint, opened as a run opens them; with our prompts or with others."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from autointerp.artifacts import rng_of
from autointerp.judge.interface import Case, Items, Judge, Judgement
from autointerp.judge.stage import judge_each
from autointerp.llm.answers.logprobs import ALTERNATIVES, expected_digit, holders
from autointerp.llm.capabilities import Capabilities
from autointerp.llm.open import Mode, identity_of
from autointerp.llm.questions import ask_all
from autointerp.llm.request import Answer, Failure
from autointerp.metrics.classification import classify
from autointerp.metrics.metrics import score_one
from autointerp.planted.measuring import WatchedResources
from autointerp.planted.methods import Method, chosen
from autointerp.planted.pairings import PlantedPairing
from autointerp.progress import Bar
from autointerp.records import Unscored
from autointerp.simulate.digits import HIDDEN, OTHER_PROMPT, UNLIKELY, DigitsServed
from autointerp.simulate.vocabulary import prompt_line
from autointerp.study import Study
from methods.outcome import Scored
from methods.units import ROLES

DIGITS, DETECTION = chosen(["digits", "detection"])


@dataclass(frozen=True)
class Place:
    """Where ours works."""

    study: Study
    """Its language models are behind an endpoint that gives log-probabilities."""
    work: Path
    """The folder of the text."""
    scratch: Path
    """Gets a ledger per method and set of prompts."""

    @contextmanager
    def resources(self, method: Method, prompts: Path | None) -> Iterator[WatchedResources]:
        """Resources for one method; `prompts` take the place of the built-in ones. Nothing is known to its ledger."""
        own = method.study_for(self.study)
        if prompts is not None:
            own = own.model_copy(update={"prompts_folder": str(prompts)})
        ledger = self.scratch / f"{method.name}-{'own' if prompts is None else prompts.name}.sqlite"
        opened = WatchedResources(own, self.work, Mode(), ledger)
        try:
            for llm in (own.llm[role] for role in ROLES):
                known = Capabilities(identity_of(llm), llm.model, ALTERNATIVES, ALTERNATIVES, seed=True)
                opened.ledger.keep_capabilities(known)
            yield opened
        finally:
            opened.close()


def simulate(
    place: Place, pairings: Sequence[PlantedPairing], prompts: Path | None, alternatives: int = ALTERNATIVES
) -> tuple[list[Scored], list[Scored]]:
    """`digits`: Pearson correlation over the pooled tokens, and every prediction.

    `alternatives`: likeliest tokens that are looked at. Twice, of the same answers: by our rule, under which a token
    without a digit among them leaves the pairing unscored, and with 0 for such a token.
    """
    with place.resources(DIGITS, prompts) as resources, resources.simulator("two-way") as simulator:
        assert isinstance(simulator, DigitsServed)
        requests = [simulator.question(prompt_line(p.text), c).request for p in pairings for c in p.contexts]
        with resources.asker(resources.study.simulate.llm, "two-way") as asker:
            answers = iter(ask_all(asker, requests, Bar()))
    found = [
        simulated(p, [hidden_values(next(answers), len(c.pieces), alternatives) for c in p.contexts]) for p in pairings
    ]
    return [strict for strict, _ in found], [filled for _, filled in found]


def hidden_values(answer: Answer, count: int, alternatives: int) -> Sequence[float | None] | Unscored:
    """The expected digit at each of the last `count` hidden values of a prompt, None where there is none.

    The prompts of others hide values in their examples, too.
    """
    if isinstance(answer, Failure):
        return Unscored(answer.reason)
    spelled = "".join(token.text for token in answer.prompt_logprobs)
    places = [match.end() for match in re.finditer(rf"\t(?={HIDDEN})", spelled)][-count:]
    if len(places) < count:
        return OTHER_PROMPT
    found = holders(answer.prompt_logprobs, places)
    return [expected_digit(replace(token, top=token.top[:alternatives]), inside) for token, inside in found]


def simulated(pairing: PlantedPairing, rows: Sequence[Sequence[float | None] | Unscored]) -> tuple[Scored, Scored]:
    """A pairing by both rules, from the values of its contexts."""
    failed = next((row for row in rows if isinstance(row, Unscored)), None)
    if failed is not None:
        return Scored(None, failed.reason), Scored(None, failed.reason)
    flat = [value for row in rows if not isinstance(row, Unscored) for value in row]
    values = {str(token): value for token, value in enumerate(flat) if value is not None}
    filled = np.array([value or 0.0 for value in flat], dtype=np.float32)
    score = score_one("pearson", pairing.unit.held.truth.ravel(), filled)
    hidden = len(flat) - len(values)
    lenient = _scored(score, {str(token): value for token, value in enumerate(filled.tolist())}, hidden)
    return _scored(UNLIKELY if hidden else score, values), lenient


def _scored(score: float | Unscored, values: Mapping[str, float], hidden: int = 0) -> Scored:
    if isinstance(score, Unscored):
        return Scored(None, score.reason, values, hidden)
    return Scored(score, "", values, hidden)


def drawn(place: Place, pairings: Sequence[PlantedPairing]) -> list[list[Items] | Unscored]:
    """What `detection` asks about each pairing, or why it can't: for a unit the same items, whatever is explained."""
    with place.resources(DETECTION, None) as resources, resources.judges("two-way") as ((judge,), _):
        assert isinstance(judge, Judge)
        return [_batches(judge, pairing, place.study.seed) for pairing in pairings]


def _batches(judge: Judge, pairing: PlantedPairing, seed: int) -> list[Items] | Unscored:
    rng = rng_of(seed, "judge", judge.name, pairing.unit.unit)
    return judge.batches(Case(pairing.text, pairing.unit.held_out), rng)


def decide(place: Place, pairings: Sequence[PlantedPairing], prompts: Path | None) -> list[Scored]:
    """`detection`: balanced accuracy, and P(yes) of every context that was answered."""
    with place.resources(DETECTION, prompts) as resources, resources.judges("two-way") as ((judge,), asker):
        assert isinstance(judge, Judge)
        assert asker is not None
        batches = [_batches(judge, pairing, place.study.seed) for pairing in pairings]
        found = {number: _decided(result) for number, result in judge_each(batches, asker, Bar())}
    return [found[number] for number in range(len(pairings))]


def _decided(result: list[Judgement] | Unscored) -> Scored:
    if isinstance(result, Unscored):
        return Scored(None, result.reason)
    values: dict[str, float] = {}
    failure: Unscored | None = None
    for judgement in result:
        if isinstance(judgement.probability, Unscored):
            failure = failure or judgement.probability
        else:
            values[str(judgement.item.context)] = judgement.probability
    if failure is not None:
        return Scored(None, failure.reason, values)
    truth = np.array([judgement.item.truth for judgement in result], dtype=bool)
    return _scored(classify("balanced_accuracy", truth, np.array(list(values.values()))), values)
