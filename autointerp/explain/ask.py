"""Ask the language model for the candidates of all units at once."""

from __future__ import annotations

from collections.abc import Sequence

from autointerp.explain.interface import PromptedCandidate, Proposal
from autointerp.llm.client import Asker
from autointerp.llm.questions import read_each
from autointerp.llm.request import Question, key
from autointerp.progress import Bar
from autointerp.records import Candidate, Unscored


def requests_in(proposals: Sequence[Sequence[Proposal]]) -> int:
    """How many requests the proposals hold: the total of the progress bar."""
    return sum(isinstance(p, PromptedCandidate) for unit in proposals for p in unit)


def settle(
    proposals: Sequence[Sequence[Proposal]], asker: Asker | None, progress: Bar
) -> list[list[Candidate | Unscored]]:
    """Turn every unit's proposals into candidates, in their order; requests of all units go out together.

    `asker` may be None when no proposal holds a request (ValueError otherwise).
    """
    prompted = [p for unit in proposals for p in unit if isinstance(p, PromptedCandidate)]
    if prompted and asker is None:
        raise ValueError(f"{len(prompted)} proposals hold a request, and there is no language model to ask")
    written: dict[int, Candidate | Unscored] = {}
    if asker is not None and prompted:
        questions = [Question(p.request, p.read) for p in prompted]
        for place, text in read_each(asker, questions, progress):
            told = prompted[place]
            if isinstance(text, str):
                name = key(told.request, asker.identity)
                written[id(told)] = Candidate(text, told.explainer, told.prompt, name)
            else:
                written[id(told)] = text
    return [[written[id(p)] if isinstance(p, PromptedCandidate) else p for p in unit] for unit in proposals]
