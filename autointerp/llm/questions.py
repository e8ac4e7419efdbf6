"""From questions to what their answers say: unreadable ones are asked again, what stays unreadable is unscored.

Many questions for many owners go out in one stream (`gather`), in an order that batches well (`InOrder`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from autointerp.llm.answers.thoughts import after_thoughts
from autointerp.llm.client import Asker
from autointerp.llm.request import Answer, Failure, Question, Request, Unreadable
from autointerp.progress import Bar
from autointerp.quoting import well_formed
from autointerp.records import Unscored

T = TypeVar("T")
G = TypeVar("G")
_RECORDED = 2000
"""Characters of an unusable answer that are kept beside the reason."""
_AGAIN = frozenset({"length", "no-logprobs", "unreadable", "no-text"})
"""Failures that another draw may mend. A refusal is final, and so is a prompt that does not fit."""


def ask_all(asker: Asker, requests: Sequence[Request], progress: Bar) -> list[Answer]:
    """Raw answers, in the order of the requests; `progress` advances by one per request."""
    answers: dict[int, Answer] = {}
    for place, answer in asker.stream(requests):
        answers[place] = answer
        progress.advance(free=answer.cached)
    return [answers[place] for place in range(len(requests))]


def read_each(asker: Asker, questions: Iterable[Question[T]], progress: Bar) -> Iterator[tuple[int, T | Unscored]]:
    """Yield (position of the question, what its answer says) for every question, as answers come in.

    Answers that can't be read are asked for again, in rounds: first every question, then all that were unreadable,
    at most `asker.reasks` times. After that they are Unscored with the reason. Questions are taken as they are
    needed, and forgotten once yielded. `progress` advances by one per question.
    """
    waiting: dict[int, Question[T]] = {}

    def first() -> Iterator[Request]:
        for position, question in enumerate(questions):
            waiting[position] = question
            yield question.request

    again: list[int] = []
    for draw in range(asker.reasks + 1):
        asked, again = sorted(again), []
        for position in asked:
            waiting[position] = replace(waiting[position], request=waiting[position].request.again())
        requests = [waiting[position].request for position in asked] if draw else first()
        for number, answer in asker.stream(requests):
            position = asked[number] if draw else number
            said = _read(waiting[position], answer)
            if isinstance(said, Unreadable) and draw < asker.reasks:
                again.append(position)
            else:
                del waiting[position]
                progress.advance(free=answer.cached)
                yield position, _final(said, answer)


@dataclass
class _Group(Generic[G, T]):
    """Questions that belong together, and the answers that are there."""

    owner: G
    asked: int
    answers: dict[int, T | Unscored] = field(default_factory=dict)
    free: bool = True
    """Whether all of these were there already."""


def gather(
    asker: Asker, groups: Iterable[tuple[G, Sequence[Question[T]] | Unscored]], progress: Bar
) -> Iterator[tuple[G, list[T | Unscored] | Unscored]]:
    """Yield (owner, what its questions' answers say, in their order) for every group, once all of them are there.

    The questions of all groups go out in one stream, and groups come back in any order. One that is Unscored instead
    of questions is handed on; one without a question gets an empty list. Groups are taken as they are needed, and
    forgotten once yielded. `progress` advances by one per group.
    """
    members: dict[int, tuple[_Group[G, T], int]] = {}
    without: list[tuple[G, list[T | Unscored] | Unscored]] = []

    def questions() -> Iterator[Question[T]]:
        number = 0
        for owner, asked in groups:
            if isinstance(asked, Unscored) or not asked:
                without.append((owner, asked if isinstance(asked, Unscored) else []))
                continue
            group: _Group[G, T] = _Group(owner, len(asked))
            for position, question in enumerate(asked):
                members[number] = group, position
                number += 1
                yield question

    told = _Told()
    for number, answer in read_each(asker, questions(), told):
        group, position = members.pop(number)
        group.answers[position] = answer
        group.free &= told.free
        if len(group.answers) == group.asked:
            progress.advance(free=group.free)
            yield group.owner, [group.answers[n] for n in range(group.asked)]
        while without:
            progress.advance(free=True)
            yield without.pop()
    while without:
        progress.advance(free=True)
        yield without.pop()


class _Told(Bar):
    """Keeps whether what was done last was free."""

    free = False

    def advance(self, n: int = 1, *, free: bool = False) -> None:
        self.free = free


def _read(question: Question[T], answer: Answer) -> T | Unscored | Unreadable:
    if isinstance(answer, Failure):
        return Unreadable(answer.reason) if answer.finish in _AGAIN else Unscored(answer.reason)
    return question.read(answer if question.request.is_completion else after_thoughts(answer))


def _final(said: T | Unscored | Unreadable, answer: Answer) -> T | Unscored:
    """What counts; of a failure with the beginning of what came back."""
    if not isinstance(said, Unreadable | Unscored):
        return said
    text = answer.partial if isinstance(answer, Failure) else answer.text
    return Unscored(said.reason, well_formed(text[:_RECORDED]))


class InOrder:
    """An Asker that asks equal requests once, shortest first, so that the prompts of a batch need little padding.

    The order depends on the requests alone, so an interrupted run forms the same batches again. It reads all requests
    before it asks the first.
    """

    def __init__(self, inner: Asker) -> None:
        self.identity = inner.identity
        """The inner asker's."""
        self.reasks = inner.reasks
        """The inner asker's."""
        self._inner = inner

    def stream(self, requests: Iterable[Request]) -> Iterator[tuple[int, Answer]]:
        """Yield (position, answer); equal requests are answered together."""
        positions: dict[Request, list[int]] = {}
        for position, request in enumerate(requests):
            positions.setdefault(request, []).append(position)
        distinct = sorted(positions, key=_size)
        for number, answer in self._inner.stream(distinct):
            for position in positions[distinct[number]]:
                yield position, answer


def _size(request: Request) -> tuple[int, str, int, int, int]:
    text = request.messages[-1][1]
    return len(text), text, request.sample, request.seed, request.reask
