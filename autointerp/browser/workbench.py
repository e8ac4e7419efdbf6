"""A finished run that goes on answering: how a typed explanation fits a unit, how a judge finds it, what a text does.

Everything is the run's own: simulator, judges, contexts, metrics, slices, ledger and account. So the run's own
explanation, typed again, gets the run's own score, and costs nothing where the ledger has the answers. What is asked
here is kept in the table `suggested`, and in none of the run's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from autointerp.artifacts import hash_file
from autointerp.browser.lending import (
    STAGE,
    LentResources,
    all_judges,
    check_activations,
    check_explanations,
    check_judge,
    judged_by,
    why_not,
)
from autointerp.browser.reckoning import Cells, RunScores, judged_cells, judged_items, shown_contexts
from autointerp.browser.suggested import Suggested, row_of
from autointerp.browser.typed_text import TypedTexts
from autointerp.contexts.pairing import OWN, Pair, read_sampled
from autointerp.contexts.reading import load_contexts
from autointerp.errors import BadInput
from autointerp.judge.interface import NO_TOKENS
from autointerp.judge.registry import traits_of
from autointerp.judge.stage import judge_one
from autointerp.judge.tokens import PromotedTokensOf
from autointerp.llm.request import Answer
from autointerp.metrics.metrics import any_absolute
from autointerp.progress import Bar
from autointerp.records import Pairing, Simulation, Unit, Unscored
from autointerp.run.resources import note_threads, simulator_asks
from autointerp.simulate.asked import Asking
from autointerp.simulate.interface import Simulator, Task
from autointerp.simulate.literal import Literal
from autointerp.simulate.stage import tried_pairs
from autointerp.simulate.vocabulary import prompt_line
from autointerp.study_file import study_of
from autointerp.suggested_rows import SuggestedRow
from autointerp.tables import read_arrow

Tell = Callable[[int, int | None], None]
"""Hears how many steps of how many are done; None: nobody knows."""
Answered = dict[str, Any]
"""What an answer says, fit for JSON."""


@dataclass
class _Spent:
    """What one job asked."""

    requests: int = 0
    cached: int = 0
    """Of `requests`: answered by the ledger."""
    tokens: int = 0
    """Charged to the run's account."""
    usd: float = 0.0

    @property
    def told(self) -> Answered:
        """For JSON."""
        return dict(vars(self))


@dataclass
class _Opened:
    """What is loaded once and kept: it belongs to the thread that works."""

    stack: ExitStack = field(default_factory=ExitStack)
    simulator: Simulator | None = None


class Workbench:
    """Answers for the units of one run. `explanation`, `text` and `judge` are for one thread at a time."""

    def __init__(self, run: Path, ledger: Path | None = None) -> None:
        """Read the run's tables; no model is loaded. `ledger`: of a run whose answers are not in its folder.

        Raises BadInput for a folder that is no run, or whose run did not get as far as its scores.
        """
        self.run, self.study = run, study_of(run)
        sampled = read_sampled(self.study, run, any_absolute(self.study.score.metrics))
        self._sampled = {each.unit: each for each in sampled}
        contexts = (c for each in sampled for c in (*each.contexts, *each.judged))
        self._contexts = load_contexts(run / "contexts.parquet", contexts)
        self._units = {row["unit"]: Unit(**row) for row in read_arrow(run / "units.parquet").to_pylist()}
        self._scores = RunScores(self.study, run)
        self._cells = Cells(self.study, self._contexts)
        self.suggested = Suggested(run)
        """What was tried so far."""
        self._resources = LentResources(self.study, run, ledger)
        self._recorded = self._resources.ledger_path.is_file()
        self._texts = TypedTexts(self._resources)
        self._opened = _Opened()

    def __contains__(self, unit: object) -> bool:
        """Whether the run drew a unit of that id."""
        return unit in self._sampled

    def told(self) -> Answered:
        """What can be asked here, and why the rest can't: for JSON. No model is loaded, no call is made."""
        study, method = self.study, self.study.simulate.method
        judges = [
            {
                "judge": name,
                "in_run": name in study.judge.methods,
                "needs_explanation": traits_of(name).needs_explanation,
                "why_not": why_not(partial(check_judge, study, self.run, name)),
            }
            for name in all_judges(study)
        ]
        arms = dict.fromkeys(each.arm for each in self._sampled.values())
        simulator = {"name": method, "asks": simulator_asks(study), "why_not": self._why_no_explanations()}
        return {
            "simulator": simulator,
            "judges": judges,
            "texts": {arm: why_not(partial(check_activations, self._resources, arm)) for arm in arms},
            "headline": self._scores.headline,
            "recorded": simulator_asks(self.study) or self._recorded,
            "run": hash_file(self.run / "units.parquet")[:16],
        }

    def _why_no_explanations(self) -> str | None:
        return why_not(partial(check_explanations, self.study))

    def open(self) -> None:
        """Load what predicts from explanations, so that nobody waits for it. BadInput when it can't be had."""
        if self._opened.simulator is None:
            note_threads(self.study.threads)
            self._opened.simulator = self._opened.stack.enter_context(self._resources.simulator(STAGE))

    @property
    def predicts_here(self) -> bool:
        """Whether a model in this process predicts, so that it pays to load it before it is asked."""
        return not simulator_asks(self.study) and self._why_no_explanations() is None

    def close(self) -> None:
        """Close what is open, and write what was spent. Another question opens it again."""
        stack, self._opened = self._opened.stack, _Opened()
        try:
            stack.close()
        finally:
            self._resources.close()
            for name in ("usage", "ledger"):
                self._resources.__dict__.pop(name, None)

    def explanation(self, unit: str, text: str, tell: Tell) -> Answered:
        """Predictions from an explanation on the unit's own held-out contexts, and its scores beside the run's.

        Raises BadInput where the simulator can't be had or the text is empty, BudgetReached at the run's limit.
        """
        sampled = self._sampled[unit]
        pair = Pair(sampled, replace(sampled, explanation=text), OWN)
        if not prompt_line(text) or not sampled.contexts:
            raise BadInput("there is nothing to predict from, or no context to predict on", "type words")
        with self._counted() as (spent, count):
            result = self._simulated(pair, count, tell)
        named = Literal()
        ((_, literal),) = named.simulate([self._task(pair)], Bar())
        cells = list(self._cells.scored(pair, result, literal))
        method = self.study.simulate.method
        rows = [row_of(sampled, text, method, cell) for cell in cells]
        if method != named.name:
            rows += [row_of(sampled, text, named.name, cell, "literal") for cell in cells]
        self._keep(rows, unit)
        return {
            "unit": unit,
            "text": text,
            "simulator": method,
            "scale": None if isinstance(result, Unscored) else str(result.scale),
            "reason": result.reason if isinstance(result, Unscored) else None,
            "scores": [{**cell, **self._scores.beside(unit, cell["metric"], cell["slice"])} for cell in cells],
            "arm": self._scores.of_arm(sampled.arm),
            "contexts": shown_contexts(sampled, self._contexts, result, self._scores.predictions(unit)),
            "spent": spent.told,
        }

    def text(self, unit: str, text: str) -> Answered:
        """The unit's activations on a text. Raises BadInput where it can't be read here, or the text is too long."""
        read = self._texts.read(self._units[unit], text)
        peak = self._units[unit].max_activation
        values = read.activations.tolist()
        return {"unit": unit, "text": text, "pieces": list(read.pieces), "activations": values, "peak": peak}

    def judge(self, unit: str, text: str | None, judge: str, tell: Tell) -> Answered:
        """A judge's verdicts on the unit's contexts, by the run's own explanation (`text` None) or a typed one.

        Raises BadInput where the judge can't be asked here, BudgetReached at the run's limit.
        """
        check_judge(self.study, self.run, judge)
        sampled = self._sampled[unit]
        own = sampled.explanation if text is None else text
        if isinstance(own, Unscored) and traits_of(judge).needs_explanation:
            raise BadInput(own.reason, "type an explanation")
        pair = Pair(sampled, replace(sampled, explanation=own), OWN)
        study, resources = judged_by(self.study, judge), self._resources
        every = list(self._sampled.values())
        promoted = PromotedTokensOf(study, self.run, every) if traits_of(judge).of_tokens else None
        resources.judging = (judge,)
        with self._counted() as (spent, count):

            def told(answer: Answer) -> None:
                count(answer)
                tell(spent.requests, None)

            resources.told = told
            with resources.as_in(study), resources.judges(STAGE) as ((opened,), asker):
                tokens = promoted.of(pair) if promoted is not None else NO_TOKENS
                result = judge_one(study, opened, asker, pair, self._contexts, tokens)
        cells = list(judged_cells(judge, result))
        shown = own if traits_of(judge).needs_explanation and isinstance(own, str) else ""
        self._keep([row_of(sampled, shown, judge, cell) for cell in cells], unit)
        return {
            "unit": unit,
            "text": text,
            "judge": judge,
            "reason": result.reason if isinstance(result, Unscored) else None,
            "scores": [{**cell, **self._scores.beside(unit, cell["metric"], cell["slice"], judge)} for cell in cells],
            "items": judged_items(result, self._contexts),
            "spent": spent.told,
        }

    def _task(self, pair: Pair) -> Task:
        text = pair.explained.explanation
        assert isinstance(text, str)
        return Task(text, tuple(self._contexts[c] for c in pair.unit.contexts))

    def _simulated(self, pair: Pair, count: Callable[[Answer], None], tell: Tell) -> Simulation | Unscored:
        """What the run's simulator predicts. A failure closes it: the next question opens it anew."""
        check_explanations(self.study)
        try:
            self.open()
            simulator = self._opened.simulator
            assert simulator is not None
            tasks = [self._task(pair), *self._same_text(pair)]
            total = len(tasks)
            if isinstance(simulator, Asking):
                total = sum(1 for _ in simulator.requests(tasks))
            asked = 0

            def told(answer: Answer) -> None:
                nonlocal asked
                asked += 1
                count(answer)
                tell(min(asked, total), total if isinstance(simulator, Asking) else None)

            self._resources.told = told
            return dict(simulator.simulate(tasks, Bar()))[0]
        except BaseException:
            self.close()
            raise

    def _same_text(self, pair: Pair) -> Iterator[Task]:
        """What the run itself tried this text on: what a model in this process computed for all of it together is in
        the ledger under a name for all of it together."""
        if simulator_asks(self.study) or not self._recorded:
            return
        text = prompt_line(self._task(pair).explanation)
        for tried in tried_pairs(self.study, self.run, list(self._sampled.values())):
            other = tried.explained.explanation
            if isinstance(other, str) and tried.unit.contexts and prompt_line(other) == text:
                yield self._task(tried)

    @contextmanager
    def _counted(self) -> Iterator[tuple[_Spent, Callable[[Answer], None]]]:
        spent = _Spent()
        before = self._resources.usage.spent()

        def count(answer: Answer) -> None:
            spent.requests += 1
            spent.cached += bool(answer.cached)

        yield spent, count
        tokens, usd = self._resources.usage.spent()
        spent.tokens, spent.usd = tokens - before[0], usd - before[1]

    def _keep(self, rows: list[SuggestedRow], unit: str) -> None:
        """Add to the table, each beside what the run's own explanation scores, and others'."""
        found = []
        for row in rows:
            cell = (unit, row.scorer, row.metric, row.slice)
            own, null = self._scores.by(Pairing.OWN, *cell), self._scores.by(Pairing.SHUFFLED, *cell)
            found.append(replace(row, run_value=own, run_shuffled=null))
        self.suggested.add(found)
