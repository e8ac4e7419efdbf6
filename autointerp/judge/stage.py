"""The judge stage: every judge on each unit's held-out contexts, with its own explanation and with other units'."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from autointerp.artifacts import rng_of
from autointerp.contexts.pairing import Pair, Sampled, own_pairs, read_sampled, shuffled_pairs
from autointerp.contexts.reading import load_contexts
from autointerp.contexts.slices import CALIBRATION, HARD_NEGATIVES, RANDOM_ONLY
from autointerp.judge.interface import (
    NO_CONTEXT,
    NO_TOKENS,
    AnyJudge,
    Case,
    ComputedJudge,
    HeldOut,
    Items,
    Judge,
    Judgement,
    Promoted,
)
from autointerp.judge.registry import traits_of
from autointerp.judge.tokens import PromotedTokensOf
from autointerp.llm.client import Asker
from autointerp.llm.questions import gather
from autointerp.metrics.metrics import any_absolute
from autointerp.progress import Bar, bar, say
from autointerp.records import Context, Unscored
from autointerp.rows import JudgementRow, answer_of, state_of
from autointerp.study import Study
from autointerp.tables import table_writer


@dataclass(frozen=True)
class _Trial:
    judge: AnyJudge
    pair: Pair
    explanation: str | Unscored
    """'' for a judge that needs none."""
    promoted: Promoted | Unscored


_Result = list[Judgement] | Unscored


def judge(study: Study, judges: Sequence[AnyJudge], asker: Asker | None, run: Path) -> None:
    """Write `judgements.parquet`: a row per item, in the order shown; or one per pairing that could not be judged.

    `asker` asks the model `judge.llm`; None where none of `judges` asks. Judges that ask come first, and the questions
    of all of them and of all units go out in one stream. A judge that needs no explanation judges each unit once, also
    one without explanation. Raises BadInput when a table is missing.
    """
    units = read_sampled(study, run, any_absolute(study.score.metrics))
    contexts = load_contexts(run / "contexts.parquet", (c for u in units for c in u.judged))
    own, shuffled = own_pairs(units), shuffled_pairs(units, study.judge.derangements, study.seed_for("simulate"))
    promoted = PromotedTokensOf(study, run, units) if any(traits_of(judge.name).of_tokens for judge in judges) else None
    tasks: list[_Trial] = []
    for judge in sorted(judges, key=lambda judge: not isinstance(judge, Judge)):
        explained = traits_of(judge.name).needs_explanation
        tokens = promoted if traits_of(judge.name).of_tokens else None
        tasks += [
            _Trial(
                judge, pair, pair.explained.explanation if explained else "", tokens.of(pair) if tokens else NO_TOKENS
            )
            for pair in ((*own, *shuffled) if explained else own)
        ]
    for line in _announced(study, tasks, contexts):
        say(line)
    done: dict[int, _Result] = {}
    written = 0
    with (
        table_writer("judgements", run / "judgements.parquet") as table,
        bar("judge", len(tasks), "pairings") as progress,
    ):
        for place, result in _results(study, tasks, contexts, asker, progress):
            done[place] = result
            while written in done:  # rows in the order of the tasks, whatever order the answers come in
                for row in _rows(tasks[written], done.pop(written)):
                    table.add(row)
                written += 1


def judge_one(
    study: Study,
    judge: AnyJudge,
    asker: Asker | None,
    pair: Pair,
    contexts: Mapping[int, Context],
    promoted: Promoted | Unscored = NO_TOKENS,
) -> list[Judgement] | Unscored:
    """One pairing, judged on the items that the stage draws for its unit; in the order shown.

    `contexts`: at least those that the unit is judged on, by id. `asker`: for a judge that asks.
    """
    explained = traits_of(judge.name).needs_explanation
    trial = _Trial(judge, pair, pair.explained.explanation if explained else "", promoted)
    ((_, result),) = _results(study, [trial], contexts, asker, Bar())
    return result


def _announced(study: Study, tasks: Sequence[_Trial], contexts: Mapping[int, Context]) -> Iterator[str]:
    """Before anything is paid: of how many units each judge that asks can't judge the own explanation, and why not."""
    lacking: dict[str, Counter[str]] = {}
    for task in tasks:
        if isinstance(task.judge, Judge) and task.pair.derangement < 0:
            found = _batches(study, task, contexts)
            lacking.setdefault(task.judge.name, Counter()).update([found.reason] if isinstance(found, Unscored) else [])
    for name, reasons in lacking.items():
        if reasons:
            told = "; ".join(f"{count:,} for {reason}" for reason, count in reasons.most_common())
            yield f"  judge {name}: {reasons.total():,} units can't be judged: {told}"


def _results(
    study: Study, tasks: Sequence[_Trial], contexts: Mapping[int, Context], asker: Asker | None, progress: Bar
) -> Iterator[tuple[int, _Result]]:
    """(Position of the task, its judgements) of those that ask, as answers come in, and then of the others."""
    asking = [task for task in tasks if isinstance(task.judge, Judge)]
    if asking:
        if asker is None:
            raise ValueError("judges that ask, and nobody to ask")
        yield from judge_each((_batches(study, task, contexts) for task in asking), asker, progress)
    for place in range(len(asking), len(tasks)):
        judge, case = tasks[place].judge, _case(study, tasks[place], contexts)
        assert isinstance(judge, ComputedJudge)
        yield place, case if isinstance(case, Unscored) else judge.judge(*case)
        progress.advance()


def _held(unit: Sampled, contexts: Mapping[int, Context]) -> tuple[HeldOut, ...]:
    """The unit's held-out contexts of all slices and its hard negatives, each once."""
    blindly = unit.slices.get(RANDOM_ONLY)
    random = set() if blindly is None else {int(c) for c in blindly.contexts}
    found: dict[int, HeldOut] = {}
    for name, held in unit.slices.items():
        if name == CALIBRATION:
            continue
        for context, truth in zip(held.contexts, held.truth, strict=True):
            number = int(context)
            found[number] = HeldOut(contexts[number], truth, number in random, name == HARD_NEGATIVES)
    return tuple(found.values())


def _case(study: Study, task: _Trial, contexts: Mapping[int, Context]) -> tuple[Case, np.random.Generator] | Unscored:
    """What the judge gets; Unscored for a unit without the explanation that it needs."""
    if isinstance(task.explanation, Unscored):
        return task.explanation
    # Drawn by unit: whoever's explanation it is, the items are the same; and all judges of tokens have the same tokens.
    of_tokens = traits_of(task.judge.name).of_tokens
    drawn_for = "tokens" if of_tokens else task.judge.name
    rng = rng_of(study.seed_for("simulate"), "judge", drawn_for, task.pair.unit.unit)
    return Case(task.explanation, () if of_tokens else _held(task.pair.unit, contexts), task.promoted), rng


def _batches(study: Study, task: _Trial, contexts: Mapping[int, Context]) -> Sequence[Items] | Unscored:
    case = _case(study, task, contexts)
    assert isinstance(task.judge, Judge)
    return case if isinstance(case, Unscored) else task.judge.batches(*case)


def _rows(task: _Trial, result: _Result) -> Iterator[JudgementRow]:
    row = JudgementRow(
        unit=task.pair.unit.unit,
        explanation_of=task.pair.explained.unit,
        derangement=task.pair.derangement,
        judge=task.judge.name,
        prompt=task.judge.prompt,
        replicate=0,
        context=None,
        shown=None,
        truth=None,
        probability=None,
        status=state_of(result)[0],
        reason=state_of(result)[1],
        answer=answer_of(result),
    )
    if isinstance(result, Unscored):
        yield row
        return
    for judgement in result:
        item, answer = judgement.item, judgement.probability
        status, reason = state_of(answer)
        yield replace(
            row,
            context=None if item.context == NO_CONTEXT else item.context,
            shown=item.shown,
            truth=item.truth,
            token=item.token,
            probability=None if isinstance(answer, Unscored) else answer,
            status=status,
            reason=reason,
            answer=answer_of(answer),
        )


def judge_each(
    cases: Iterable[Sequence[Items] | Unscored], asker: Asker, progress: Bar
) -> Iterator[tuple[int, list[Judgement] | Unscored]]:
    """Yield (position of the case, its judgements in the order shown) for every case, as answers come in.

    A case that could not be put together keeps its reason; items of a request without a readable answer are Unscored.
    Cases are taken as they are needed, and forgotten once yielded. `progress` advances by one per case.
    """
    groups = (
        ((position, case), case if isinstance(case, Unscored) else [part.question for part in case])
        for position, case in enumerate(cases)
    )
    for (position, case), answers in gather(asker, groups, progress):
        if isinstance(case, Unscored) or isinstance(answers, Unscored):
            yield position, answers if isinstance(answers, Unscored) else Unscored("no question")
        else:
            judged = [
                Judgement(item, answer if isinstance(answer, Unscored) else answer[place])
                for part, answer in zip(case, answers, strict=True)
                for place, item in enumerate(part.items)
            ]
            yield position, judged
