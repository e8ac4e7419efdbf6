"""The judge stage: every judge on each unit's held-out contexts, with its own explanation and with other units'."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autointerp.artifacts import rng_of
from autointerp.collect.reading import load_contexts
from autointerp.judge.ask import Judgement, judge_each
from autointerp.judge.base import Batch, Case, HeldOut, Judge
from autointerp.judge.registry import open_judges
from autointerp.llm.capabilities import Capabilities
from autointerp.llm.client import Asker
from autointerp.progress import bar
from autointerp.records import Context, Status, Unscored
from autointerp.run.pairing import Pair, Sampled, own_pairs, read_sampled, shuffled_pairs
from autointerp.score.slices import CALIBRATION, RANDOM_ONLY
from autointerp.study import Study
from autointerp.tables import table_writer


@dataclass(frozen=True)
class _Task:
    judge: Judge
    pair: Pair


def judge(study: Study, asker: Asker, capabilities: Capabilities | None, run: Path) -> None:
    """Write `judgements.parquet`: a row per item, in the order shown; or one per pairing that could not be judged.

    `asker` asks the model `judge.llm`, of which `capabilities` are known (None: nothing is). The questions of all
    judges and units go out in one stream. Raises BadInput when a table is missing.
    """
    units = read_sampled(study, run)
    contexts = load_contexts(run / "contexts.parquet", (c for u in units for c in u.contexts))
    pairs = [*own_pairs(units), *shuffled_pairs(units, study.judge.derangements, study.seed)]
    tasks = [_Task(judge, pair) for judge in open_judges(study, capabilities) for pair in pairs]
    cases = (_batches(study, task, contexts) for task in tasks)
    done: dict[int, list[Judgement] | Unscored] = {}
    written = 0
    with (
        table_writer("judgements", run / "judgements.parquet") as table,
        bar("judge", len(tasks), "pairings") as progress,
    ):
        for place, result in judge_each(cases, asker, progress):
            done[place] = result
            while written in done:  # rows in the order of the tasks, whatever order the answers come in
                for row in _rows(tasks[written], done.pop(written)):
                    table.add(row)
                written += 1


def _held(unit: Sampled, contexts: Mapping[int, Context]) -> tuple[HeldOut, ...]:
    """The unit's held-out contexts of all slices, each once."""
    blindly = unit.slices.get(RANDOM_ONLY)
    random = set() if blindly is None else {int(c) for c in blindly.contexts}
    found: dict[int, HeldOut] = {}
    for name, held in unit.slices.items():
        if name == CALIBRATION:
            continue
        for context, truth in zip(held.contexts, held.truth, strict=True):
            number = int(context)
            found[number] = HeldOut(contexts[number], truth, number in random)
    return tuple(found.values())


def _batches(study: Study, task: _Task, contexts: Mapping[int, Context]) -> Sequence[Batch] | Unscored:
    unit, text = task.pair.unit, task.pair.explained.explanation
    if isinstance(text, Unscored):
        return text
    # Drawn by unit: whoever's explanation it is, the items are the same.
    rng = rng_of(study.seed, "judge", task.judge.name, unit.unit)
    return task.judge.batches(Case(text, _held(unit, contexts)), rng)


def _rows(task: _Task, result: list[Judgement] | Unscored) -> Iterator[dict[str, Any]]:
    shared = {
        "unit": task.pair.unit.unit,
        "explanation_of": task.pair.explained.unit,
        "derangement": task.pair.derangement,
        "judge": task.judge.name,
        "prompt": task.judge.prompt,
        "replicate": 0,
    }
    if isinstance(result, Unscored):
        nothing = {"context": None, "shown": None, "truth": None, "probability": None}
        yield {**shared, **nothing, "status": str(Status.UNSCORED), "reason": result.reason}
        return
    for judgement in result:
        item, answer = judgement.item, judgement.probability
        failed = isinstance(answer, Unscored)
        yield {
            **shared,
            "context": item.context,
            "shown": item.shown,
            "truth": item.truth,
            "probability": None if isinstance(answer, Unscored) else answer,
            "status": str(Status.UNSCORED if failed else Status.OK),
            "reason": answer.reason if isinstance(answer, Unscored) else "",
        }
