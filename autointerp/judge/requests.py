"""What the requests of the judges that ask have in common."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import ceil
from typing import Any

import numpy as np

from autointerp.judge.interface import Item, Items, JudgeSettings
from autointerp.judge.verdicts import ANSWERS, read_yes_no
from autointerp.llm.answers.json import YES_NO, answer_object, listed
from autointerp.llm.request import Question, Request
from autointerp.prompting import load_prompt
from autointerp.quoting import quoted

ITEMS_PER_REQUEST = 5
"""Contexts per request at most."""
TOP_LOGPROBS = 5
"""Alternatives per answer token: "0", "1" and their spellings with a space are among them."""


class Requests:
    """Makes the requests of one judge: its prompt, and the settings that all of them share."""

    def __init__(self, settings: JudgeSettings, prompt: str, top_logprobs: int = TOP_LOGPROBS) -> None:
        """`prompt`: the judge's own, where the study names no other. Raises BadInput when it can't be loaded."""
        self._prompt = load_prompt(settings.prompt or prompt, settings.prompts_folder)
        self.prompt = self._prompt.identity
        """`name@hash`."""
        self._model, self._seed = settings.llm.model, settings.seed
        offered = settings.capabilities.top_logprobs if settings.capabilities is not None else 0
        self._top_logprobs = min(top_logprobs, offered)

    def request(self, max_tokens: int, schema: str, **values: Any) -> Request:
        """The prompt with its values, answered with a JSON object; log-probabilities where the endpoint has them.

        `schema`: the object's JSON schema.
        """
        return Request(
            messages=self._prompt.render(**values),
            model=self._model,
            max_tokens=max_tokens,
            temperature=0.0,
            seed=self._seed,
            top_logprobs=self._top_logprobs,
            json_object=True,
            schema=schema,
        )

    def yes_no(self, explanation: str, excerpts: Sequence[str], items: Sequence[Item]) -> Items:
        """Asks for a 0 or a 1 for each of some excerpts, which are quoted, or marked, already."""
        request = self.request(
            answer_tokens(len(excerpts)),
            answer_object({ANSWERS: listed(YES_NO, len(excerpts))}),
            explanation=quoted(explanation),
            excerpts=list(excerpts),
        )
        return Items(tuple(items), Question(request, partial(read_yes_no, count=len(items))))


def in_batches(count: int) -> list[list[int]]:
    """The numbers below `count`, in as few even batches as there can be."""
    return [part.tolist() for part in np.array_split(np.arange(count), ceil(count / ITEMS_PER_REQUEST))]


def answer_tokens(count: int) -> int:
    """Tokens that an answer of `count` values may take: laid out over lines, and inside a code fence."""
    return 32 + 6 * count
