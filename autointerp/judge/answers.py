"""Put the batches of all cases to the language model in one stream, and gather the answers case by case."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from autointerp.judge.interface import Item, Items, Judgement
from autointerp.llm.client import Asker
from autointerp.llm.questions import read_each
from autointerp.llm.request import Question
from autointerp.progress import Bar
from autointerp.records import Unscored


@dataclass
class _Open:
    """A case with batches that are still to be answered."""

    items: list[tuple[Item, ...]] = field(default_factory=list)
    answers: dict[int, tuple[float, ...] | Unscored] = field(default_factory=dict)
    asked: bool = False
    """Whether all its batches have been handed out."""

    @property
    def settled(self) -> bool:
        return self.asked and len(self.answers) == len(self.items)

    def judgements(self) -> list[Judgement]:
        return [
            Judgement(item, answer if isinstance(answer, Unscored) else answer[place])
            for batch, items in enumerate(self.items)
            for answer in (self.answers[batch],)
            for place, item in enumerate(items)
        ]


def judge_each(
    cases: Iterable[Sequence[Items] | Unscored], asker: Asker, progress: Bar
) -> Iterator[tuple[int, list[Judgement] | Unscored]]:
    """Yield (position of the case, its judgements in the order shown) for every case, as answers come in.

    A case that could not be put together keeps its reason; a batch without a readable answer leaves its items
    Unscored. Cases are taken as they are needed, and forgotten once settled. `progress` advances by one per case.
    """
    unsettled: dict[int, _Open] = {}
    owners: dict[int, tuple[int, int]] = {}
    failed: list[tuple[int, Unscored]] = []

    def questions() -> Iterator[Question[tuple[float, ...]]]:
        number = 0
        for place, batches in enumerate(cases):
            if isinstance(batches, Unscored):
                failed.append((place, batches))
                continue
            case = unsettled.setdefault(place, _Open())
            for batch in batches:
                owners[number] = place, len(case.items)
                case.items.append(batch.items)
                case.asked = len(case.items) == len(batches)
                number += 1
                yield batch.question

    for number, answer in read_each(asker, questions(), Bar()):
        place, batch = owners.pop(number)
        case = unsettled[place]
        case.answers[batch] = answer
        if case.settled:
            del unsettled[place]
            progress.advance()
            yield place, case.judgements()
        while failed:
            progress.advance()
            yield failed.pop()
    while failed:
        progress.advance()
        yield failed.pop()
