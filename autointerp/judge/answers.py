"""Put the questions of all cases to the language model in one stream, and gather the judgements case by case."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from autointerp.judge.interface import Items, Judgement
from autointerp.llm.client import Asker
from autointerp.llm.questions import gather
from autointerp.progress import Bar
from autointerp.records import Unscored


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
            yield position, list(_judgements(case, answers))


def _judgements(parts: Sequence[Items], answers: Sequence[tuple[float, ...] | Unscored]) -> Iterator[Judgement]:
    for part, answer in zip(parts, answers, strict=True):
        for position, item in enumerate(part.items):
            yield Judgement(item, answer if isinstance(answer, Unscored) else answer[position])
