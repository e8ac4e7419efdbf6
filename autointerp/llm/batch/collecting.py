"""From a batch that has ended to answers in the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from autointerp.errors import BadInput
from autointerp.llm.batch.interface import BatchApi, Outcome, State, Unanswered
from autointerp.llm.batch.steps import Steps
from autointerp.llm.batch.store import BatchStore, HeldRequest, Submission
from autointerp.llm.batch.wire import json_lines
from autointerp.llm.budget.purse import Purse
from autointerp.llm.ledger.ledger import Ledger
from autointerp.llm.request import Request

_CROWDED = Unanswered("the endpoint had too much under way to start the batch", again=True, billed=False)
_BROKEN_OFF = Unanswered("the batch ended before the request was done", again=True, billed=False)
_LEFT_OUT = Unanswered("the batch's results leave the request out", again=True, billed=True)


class Collector:
    """Reads results. Doing it twice changes nothing, so that a death in the middle of it does no harm."""

    def __init__(self, api: BatchApi, store: BatchStore, ledger: Ledger, purse: Purse, steps: Steps) -> None:
        self._api, self._store, self._ledger, self._purse, self._steps = api, store, ledger, purse, steps

    def collect(self, submission: Submission, state: State) -> Iterator[tuple[str, Outcome]]:
        """Yield (name, outcome) for every request of the batch, each answer once it is in the ledger.

        Raises BadInput for a batch that the endpoint did not start at all.
        """
        left: dict[str, HeldRequest] = dict(self._store.items(submission.uuid))
        if state.refusal and not state.crowded:
            for held in left.values():
                self._purse.release(held.ticket)
            self._store.forget(submission.uuid)
            raise BadInput(
                f"{self._api.identity} refuses the batch ({state.refusal})", "check base_url and model, or run without "
                "--batch",
            )  # fmt: skip
        taken, refused = set[Request](), dict[str, tuple[HeldRequest, Unanswered]]()
        for path in state.results:
            for line in json_lines(self._steps(partial(self._api.download, path))):
                name = line.get("custom_id")
                if isinstance(name, str) and name in left:  # else it was not asked for, or is told twice
                    held = left.pop(name)
                    outcome = self._api.read(line, held.request)
                    if isinstance(outcome, Unanswered) and outcome.prompt is not None:
                        refused[name] = held, outcome  # whether for its prompt or its form, the others tell
                        continue
                    if not isinstance(outcome, Unanswered):
                        taken.add(_form(held.request))
                    yield name, self._paid(name, held, outcome)
        for name, (held, told) in refused.items():
            of_prompt = told.prompt if _form(held.request) in taken else None
            yield name, self._paid(name, held, told if of_prompt is None else of_prompt, billed=False)
        why = _CROWDED if state.crowded else _BROKEN_OFF if state.broken_off else _LEFT_OUT
        for name, held in left.items():
            yield name, self._paid(name, held, why)
        self._store.forget(submission.uuid)

    def close_books(self, submission: Submission) -> None:
        """Pay for a batch whose answers are all in the ledger already: who collected it died before the end."""
        items = self._store.items(submission.uuid)
        stored = {name: answer for name in items if (answer := self._ledger.find(name)) is not None}
        if len(stored) == len(items):
            for name, held in items.items():
                self._purse.settle(held.ticket, stored[name])
            self._store.forget(submission.uuid)

    def _paid(self, name: str, held: HeldRequest, outcome: Outcome, *, billed: bool = True) -> Outcome:
        """Store an answer, pay for it; what counts is the first answer that was ever stored."""
        if isinstance(outcome, Unanswered):
            if not outcome.billed:
                self._purse.release(held.ticket)
            return outcome
        stored = self._ledger.keep(name, held.request, self._api.identity, outcome)
        if billed:
            self._purse.settle(held.ticket, outcome)
        else:
            self._purse.release(held.ticket)
        return stored


def _form(request: Request) -> Request:
    """The request but for its words and its draw."""
    roles = tuple((role, "") for role, _ in request.messages)
    return replace(request, messages=roles, seed=0, sample=0, reask=0)
