"""`autointerp estimate`: the requests that a run will make, counted by the code that makes them, and none is sent.

The stages before the first request (corpus, train, collect) run for real, in the run folder, where the run takes
them up. Then every asking stage runs in a scratch folder against an asker that counts: with the real prompts, with
the answers that the ledger holds, and with a stand-in of fourteen words for every explanation that a model has still
to write.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from autointerp.contexts.joining import join as join_held_out
from autointerp.explain.interface import PromptedCandidate, Proposal
from autointerp.explain.proposals import write_proposals
from autointerp.explain.proposing import Planned, answered, planned
from autointerp.explain.ranking import rank
from autointerp.explain.revise import Revise
from autointerp.explain.revising import Ask, revised
from autointerp.explain.stage import completed, to_rank, write_choice
from autointerp.judge.registry import reads_in_process, uses_model
from autointerp.llm.budget.counting import COUNTED, CountingAsker, Tally, token_counter
from autointerp.llm.budget.prices import BATCH_DISCOUNT, Tokens, dollars, price
from autointerp.llm.capabilities import known
from autointerp.llm.ledger.ledger import FILE_NAME
from autointerp.llm.open import Mode, identity_of
from autointerp.llm.providers import LOCAL
from autointerp.models import load_tokenizer
from autointerp.progress import Bar, aligned, say, time_text
from autointerp.records import Candidate, Scale, Simulation, Unscored
from autointerp.run.checks import check_methods
from autointerp.run.replicates import folder_of as replicate_folder
from autointerp.run.replicates import redrawn, redraws_explanations
from autointerp.run.resources import Resources, simulator_asks
from autointerp.run.stages import asking_work, carry_out
from autointerp.simulate.interface import Simulator, Task
from autointerp.study import Study
from autointerp.study_models import Llm

_STAND_IN = "words and parts of words that name one kind of thing in a text, number"
_RANKING = "explain (rank)"
_SLIGHTLY = 1e-9
"""Above the score of what is not ranked yet."""
_APART = 100_000
"""Between the numbers of the stand-ins of two replicates."""
BATCHED = frozenset({"explain", "judge"})
"""Stages that the batch interfaces take."""


@dataclass(frozen=True)
class EstimateLine:
    """What one stage will ask of one model."""

    stage: str
    name: str
    """Of the section [llm.NAME]."""
    llm: Llm
    requests: int
    """Distinct ones, those in the ledger included."""
    known: int
    """Of `requests`: in the ledger already."""
    tokens: Tokens
    """Of the rest: prompt tokens, and an upper bound of answer tokens."""
    rough: bool
    """The model's tokenizer is not known: prompt tokens are those of the subject's."""

    @property
    def usd(self) -> float | None:
        """At most; None where a price is unknown."""
        return dollars(price(self.llm, self.tokens))

    @property
    def batch_usd(self) -> float | None:
        """The same through the batch interface."""
        discount = BATCH_DISCOUNT if self.stage in BATCHED and self.llm.provider != LOCAL else 1.0
        return dollars(price(self.llm, self.tokens, discount))


class _CountingResources(Resources):
    """Resources whose askers count."""

    def __init__(self, study: Study, run: Path, ledger: Path, first: _CountingResources | None = None) -> None:
        """`first`: of the run itself, where this is a replicate of it; what the run asks is not counted again."""
        super().__init__(study, run, Mode(), ledger, first)
        self.tallies: dict[tuple[str, str], Tally] = {} if first is None else first.tallies
        self._seen: set[str] = set() if first is None else first._seen
        """What a stage asks, a later one finds in the ledger."""

    @property
    def judge_names(self) -> Sequence[str]:
        """The judges that make requests."""
        study = self.study
        return [name for name in study.judge.methods if uses_model(name) and not reads_in_process(study, name)]

    @contextmanager
    def asker(self, name: str, stage: str, *, batch: bool = False) -> Iterator[Any]:
        """Nobody, for the study's model `name`."""
        llm = self.study.ranking.llm[name]
        tally = self.tallies.setdefault((stage, name), Tally(seen=self._seen))
        tokenizer, _ = _tokenizer(self, llm)
        yield CountingAsker(self.ledger, identity_of(llm), llm, token_counter(tokenizer), tally)


def _tokenizer(resources: Resources, llm: Llm) -> tuple[Any, bool]:
    """The model's tokenizer, or the subject's as a stand-in, and whether it is one."""
    if llm.provider == LOCAL:
        return load_tokenizer(llm.model), False
    if llm.tokenizer is not None:
        return load_tokenizer(llm.tokenizer), False
    return resources.subject.tokenizer, True


def estimate(study: Study, out: str | Path, ledger: str | Path | None = None) -> list[EstimateLine]:
    """What each stage will ask; no call is made, and no key is needed.

    Raises BadInput for a study that can't be run as it is. Retries and re-asks are not foreseen.
    """
    folder = Path(out)
    path = folder / FILE_NAME if ledger is None else Path(ledger)
    resources = Resources(study, folder, Mode(replay=True), path)
    check_methods(resources)
    studies = list(enumerate([study, *(redrawn(study, number) for number in range(1, study.compare.replicates))]))
    try:
        carry_out(resources, folder, "collect")
        for number, own in studies[1:]:
            where = replicate_folder(folder, number)
            carry_out(resources.of_replicate(own, where), where, "collect", base=folder)
    finally:
        resources.close()
    counting = _CountingResources(study, folder, path)
    try:
        for number, own in studies:
            where = replicate_folder(folder, number)
            of_one = _CountingResources(own, where, path, counting) if number else counting
            with tempfile.TemporaryDirectory() as scratch:
                _count(of_one, where, Path(scratch), number if redraws_explanations(study) else 0)
    finally:
        counting.close()
    return [
        EstimateLine(
            stage, name, study.llm[name], tally.requests, tally.known, Tokens(tally.input_tokens, tally.output_tokens),
            _tokenizer(resources, study.llm[name])[1],
        )
        for (stage, name), tally in counting.tallies.items()
        if tally.requests
    ]  # fmt: skip


def _count(counting: _CountingResources, folder: Path, scratch: Path, draw: int) -> None:
    """Count into the tallies. `draw`: of the explanations, 0 where they are those of the run itself."""
    say("counting requests ...")
    for name in ("contexts.parquet", "documents.parquet", "work"):
        (scratch / name).symlink_to((folder / name).resolve())
    plan = planned(counting.study, folder)
    number = count(draw * _APART)  # stand-ins differ, as explanations will: equal requests are counted once

    def ask(proposals: Sequence[Sequence[Proposal]]) -> list[list[Candidate | Unscored]]:
        with counting.asker(counting.study.explain.llm, "explain") as asker:
            written = answered(proposals, asker, Bar())
        return [
            [
                Candidate(f"{_STAND_IN} {next(number)}", p.explainer)
                if isinstance(p, PromptedCandidate) and c == Unscored(COUNTED)
                else c
                for p, c in zip(asked, found, strict=True)
            ]
            for asked, found in zip(proposals, written, strict=True)
        ]

    proposed = _revised(counting, plan, ask(plan.proposals), ask)
    candidates = completed(counting.study, plan, proposed)
    scores: list[list[float | Unscored]] = [[0.0 for _ in row] for row in candidates]
    if simulator_asks(counting.study.ranking):
        with counting.simulator(_RANKING, ranking=True) as simulator:
            ranked = rank(simulator, to_rank(plan, candidates), plan.material.contexts)
        scores = [[0.0 if s == Unscored(COUNTED) else s for s in row] for row in ranked]
    if draw:
        _choose_another(candidates, scores, draw)
    write_choice(scratch, plan, candidates, scores)
    write_proposals(scratch, plan, proposed, candidates, scores)
    join_held_out(scratch)
    if simulator_asks(counting.study):
        asking_work("simulate", counting, scratch)
    if counting.judge_names:
        asking_work("judge", counting, scratch)


def _choose_another(
    candidates: Sequence[Sequence[Candidate | Unscored]], scores: Sequence[list[float | Unscored]], draw: int
) -> None:
    """Have another of the unranked candidates win in every draw: an explainer may begin all with the same one."""
    for texts, row in zip(candidates, scores, strict=True):
        unranked = [i for i, text in enumerate(texts) if isinstance(text, Candidate) and row[i] == 0.0]
        if unranked:
            row[unranked[draw % len(unranked)]] = _SLIGHTLY


class _Guessing:
    """A simulator that makes predictions up where none are known: wrong both ways, so that no question is shorter."""

    def __init__(self, inner: Simulator | None) -> None:
        self._inner = inner
        self.name, self.scale = "guessing", Scale.OWN

    def simulate(self, tasks: Sequence[Task], progress: Bar) -> Iterator[tuple[int, Simulation | Unscored]]:
        known = dict(self._inner.simulate(tasks, progress)) if self._inner is not None else {}
        for position, task in enumerate(tasks):
            found = known.get(position, Unscored(COUNTED))
            if found == Unscored(COUNTED):  # made up
                predicted = np.zeros((len(task.contexts), len(task.contexts[0].tokens)), dtype=np.float32)
                predicted[::2] = 1
                found = Simulation(predicted, self.scale)
            yield position, found


def _revised(
    counting: _CountingResources, plan: Planned, candidates: Sequence[list[Candidate | Unscored]], ask: Ask
) -> list[list[Candidate | Unscored]]:
    """The candidates after revision, its questions and trials counted."""
    if Revise.name not in plan.explainers:
        return list(candidates)
    if not simulator_asks(counting.study.ranking):
        return revised(counting.study, plan, candidates, _Guessing(None), ask)[0]
    with counting.simulator(_RANKING, ranking=True) as simulator:
        return revised(counting.study, plan, candidates, _Guessing(simulator), ask)[0]


def estimate_lines(lines: Sequence[EstimateLine], study: Study) -> Iterator[str]:
    """The estimate as an aligned table, and what to know about it."""
    head = ("stage", "model", "requests", "in ledger", "prompt tokens", "answer tokens, at most", "dollars, at most")
    rows = [head, *(_cells(line.stage, line.llm.model, [line]) for line in lines)]
    if lines:
        rows.append(_cells("in all", "", lines))
    yield from aligned(rows, slice(2, None))
    yield ""
    yield "No call was made. Retries and re-asks come on top; most answers are shorter than the most they may be."
    batchable = [line for line in lines if line.stage in BATCHED and line.llm.provider != LOCAL]
    if batchable:
        yield f"With --batch: {_dollars([line.batch_usd for line in lines])}."
    yield from _hours(lines)
    for name in dict.fromkeys(line.name for line in lines if line.rough):
        yield (
            f"Prompt tokens of [llm.{name}] are rough, counted with the subject's tokenizer: set llm.{name}.tokenizer "
            "to a folder or hub id to count them with its own."
        )
    for name in study.judge.methods:
        if not uses_model(name) or reads_in_process(study, name):
            yield f"Judge '{name}' runs in this process and makes no requests."
    if not simulator_asks(study):
        yield f"Simulator '{study.simulate.method}' runs in this process and makes no requests."


def _hours(lines: Sequence[EstimateLine]) -> Iterator[str]:
    """How long each endpoint's requests take, at the speed that `llm check` saw."""
    for name in dict.fromkeys(line.name for line in lines if line.llm.provider != LOCAL):
        of_it = [line for line in lines if line.name == name]
        llm, requests = of_it[0].llm, sum(line.requests - line.known for line in of_it)
        found = known(llm, identity_of(llm))
        if not requests:
            continue
        if found is None or found.latency is None:
            yield f"How long [llm.{name}] takes is not known: 'autointerp llm check {name}' measures an answer."
            continue
        seconds = requests * found.latency / llm.concurrency
        yield (
            f"[llm.{name}]: about {time_text(seconds)} for {requests:,} requests, {llm.concurrency} at a time, if each "
            f"takes the {found.latency:.2f} s of the short answer that 'llm check' saw; long prompts take longer."
        )


def _cells(stage: str, model: str, lines: Sequence[EstimateLine]) -> tuple[str, ...]:
    about = "about " if any(line.rough for line in lines) else ""
    paid = [line.usd for line in lines if line.llm.provider != LOCAL]
    return (
        stage, model, f"{sum(line.requests for line in lines):,}", f"{sum(line.known for line in lines):,}",
        f"{about}{sum(line.tokens.input for line in lines):,}", f"{sum(line.tokens.output for line in lines):,}",
        _dollars(paid) if paid else "none: in this process",
    )  # fmt: skip


def _dollars(parts: Sequence[float | None]) -> str:
    known = [part for part in parts if part is not None]
    return f"${sum(known):,.4f}" if len(known) == len(parts) else "unknown (no price in the study)"
