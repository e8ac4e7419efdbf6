"""Tokens per unit of every explainer, simulator and judge, from the requests that they make."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autointerp.artifacts import rng_of
from autointerp.explain.interface import ExplainSettings, PromptedCandidate
from autointerp.explain.registry import EXPLAINERS, open_explainer
from autointerp.explain.revise import Revise, mistakes
from autointerp.llm.capabilities import Capabilities
from autointerp.llm.open import identity_of
from autointerp.llm.providers import LOCAL
from autointerp.models import load_tokenizer
from autointerp.planted.measuring import scores_of
from autointerp.planted.methods import Method
from autointerp.planted.methods import methods as scoring_methods
from autointerp.planted.pairings import NONE, PlantedPairing
from autointerp.planted.units import TRUE, PlantedUnit
from autointerp.study import Study
from methods.evidence import material
from methods.metering import Meter, MeteredResources, Spent
from methods.right import right_answers
from methods.units import ROLES

EXPLAINER = "explainer"
ENDPOINT, IN_PROCESS, NOBODY = "endpoint", "in the process", "no language model"
GOALS = {("detection", ENDPOINT): 6_000, ("digits", ENDPOINT): 12_000, ("digits", IN_PROCESS): 12_000,
         ("lift", IN_PROCESS): 1_000, ("sparse-json", ENDPOINT): 8_000}  # fmt: skip
"""Prompt tokens and those of right answers, per unit, at most."""
_ALTERNATIVES = 20


@dataclass(frozen=True)
class Row:
    """What one unit with one explanation costs; means over the units."""

    method: str
    form: str
    where: str
    requests: float
    prompt: float
    """Tokens. A prompt that several units share counts once."""
    right: float
    """Tokens of the shortest right answers."""
    most: float
    """Answer tokens that may be written."""
    shared: float | None
    """Share of the prompt tokens in the beginning that all requests of a unit have in common; None: one request."""
    goal: int | None = None

    @property
    def missed(self) -> bool:
        """Whether it costs more than its goal."""
        return self.goal is not None and self.prompt + self.right > self.goal


def rows(asked: Study, inside: Study, units: Sequence[PlantedUnit], work: Path, scratch: Path) -> Iterator[Row]:
    """Every method, at its default size. `asked` has its models behind an endpoint, `inside` in the process.

    A method that reads log-probabilities in the process and can also be served has a row of each.
    """
    yield from (_explained(name, asked, units) for name in EXPLAINERS.built_in)
    for method in scoring_methods():
        name = method.llm_of(asked)
        if name is None:
            yield Row(method.name, str(method.form), NOBODY, 0, 0, 0, 0, None)
            continue
        found = [_scored(method, study, units, work, scratch) for study in (asked, inside)]
        yield found[0]
        if (found[0].requests, found[0].prompt) != (found[1].requests, found[1].prompt):
            yield found[1]


def _explained(name: str, study: Study, units: Sequence[PlantedUnit]) -> Row:
    """One candidate per unit; of `revise` the first explanation, silent about all, and its revision."""
    explainer = open_explainer(name, ExplainSettings(study.llm[study.explain.llm]))
    meter = Meter(load_tokenizer(study.subject.model))
    spent: list[Spent] = []
    for unit in units:
        given = material(unit, study)
        rng = rng_of(study.seed, "costs", name, unit.unit)
        proposals = explainer.propose(given.shown, 1, rng)
        if isinstance(explainer, Revise):
            silent = np.zeros((len(given.ranking), len(given.ranking[0].pieces)))
            wrong = mistakes(given.ranking, silent, given.shown.max_activation)
            proposals.append(explainer.revision(unit.explanations[TRUE], wrong, rng))
        for proposal in proposals:
            if isinstance(proposal, PromptedCandidate):
                meter.request(proposal.request)
        spent.append(meter.taken())
    return _row(name, EXPLAINER, ENDPOINT if explainer.needs_model else NOBODY, meter, units, spent)


def _scored(method: Method, study: Study, units: Sequence[PlantedUnit], work: Path, scratch: Path) -> Row:
    meter = Meter(load_tokenizer(study.subject.model))
    own = method.study_for(study)
    where = IN_PROCESS if own.llm[ROLES[0]].provider == LOCAL else ENDPOINT
    spent: list[Spent] = []
    with closing(MeteredResources(own, work, scratch / f"{method.name}-{where}.sqlite", meter)) as resources:
        for llm in (own.llm[role] for role in ROLES):
            known = Capabilities(identity_of(llm), llm.model, _ALTERNATIVES, _ALTERNATIVES, seed=True)
            resources.ledger.keep_capabilities(known)
        for unit in units:
            scores_of(resources, method, [PlantedPairing(unit, TRUE if method.explained else NONE)])
            spent.append(meter.taken())
    return _row(method.name, str(method.form), where, meter, units, spent)


def _row(name: str, form: str, where: str, meter: Meter, units: Sequence[PlantedUnit], spent: Sequence[Spent]) -> Row:
    right = [
        sum(len(meter.tokenizer(text)["input_ids"]) for text in right_answers(name, unit, one.requests))
        for unit, one in zip(units, spent, strict=True)
    ]
    total = sum(one.prompt for one in spent)
    alone = all(one.requests <= 1 for one in spent)
    return Row(
        name,
        form,
        where,
        _mean([one.requests for one in spent]),
        total / len(units),
        _mean(right),
        _mean([one.most for one in spent]),
        None if alone else sum(one.shared for one in spent) / total,
        GOALS.get((name, where)),
    )


def _mean(values: Sequence[int]) -> float:
    return sum(values) / len(values)
