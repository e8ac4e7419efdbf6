"""`one-by-one`: Bills et al. 2023's first simulator, one question per token (prompt and code are our own).

The explanation, the text up to and including a token, and the token itself; no earlier value is shown. The next-token
distribution over the digits is renormalised, and the prediction is its expected value. Beside `digits` it costs a
prompt per token, and the model reads the text as text and not cut into lines. In this process (`OneByOne`) all ten
digits are read; through an endpoint (`OneByOneServed`) those among the likeliest tokens at the answer's first
character, and one that is not among them counts as impossible.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from torch import Tensor

from autointerp.llm.answers.logprobs import ALTERNATIVES, OTHER_TEXT, expected_digit, holders
from autointerp.llm.local.encode import encode
from autointerp.llm.request import Question, Request, Response, Unreadable
from autointerp.prompting import Prompt
from autointerp.quoting import quoted
from autointerp.records import Context, Scale, Unscored
from autointerp.simulate.asked import Asking, Group, Row
from autointerp.simulate.computed import Computed, DigitTokens
from autointerp.simulate.digits_output import UNLIKELY
from autointerp.simulate.interface import Numbers

NAME = "one-by-one"
Messages = tuple[tuple[str, str], ...]


@runtime_checkable
class AfterPrompts(Protocol):
    """What `one-by-one` needs of a language model: log-probabilities of what follows many prompts."""

    tokenizer: Any
    identity: str

    def logprobs_after(self, prompts: Sequence[Sequence[int]], tokens: Sequence[int]) -> Float[Tensor, "prompt token"]:
        """Log-probability of each of `tokens` as the one that follows each prompt (token ids)."""
        ...


class OneByOne(Computed):
    """Predicts the expected digit at every token, 0 to 9."""

    name = NAME
    scale = Scale.ZERO_TO_NINE

    def __init__(self, model: AfterPrompts, prompt: Prompt, called: str, ledger: Numbers | None = None) -> None:
        """`called`: the study's name of the model. Raises BadInput when its tokenizer splits a digit."""
        super().__init__(model.identity, ledger)
        self._model, self._prompt, self._called = model, prompt, called
        self._digits = DigitTokens(model.tokenizer, NAME)

    def row(self, explanation: str, context: Context) -> Row | Unscored:
        """The expected digit after each token's prompt. What the prompts share runs once.

        Raises BadInput for a chat where the model has no chat template.
        """

        def compute() -> Row | Unscored:
            prompts = [
                encode(Request(messages, self._called, 1, 0.0, 0), self._model.tokenizer)
                for messages in by_token(self._prompt, explanation, context)
            ]
            return self._digits.expected(self._model.logprobs_after(prompts, self._digits.tokens).float().cpu())

        return self.kept([self._prompt.identity, explanation, list(context.pieces), self._digits.tokens], compute)


def by_token(prompt: Prompt, explanation: str, context: Context) -> Iterator[Messages]:
    """The prompt for each token of a context, with the explanation, the text so far and the token as quoted data."""
    described = quoted(explanation)
    for piece, text in zip(context.pieces, accumulate(context.pieces), strict=True):
        yield prompt.render(explanation=described, text=quoted(text), token=quoted(piece))


_ROOM = 8
"""Tokens for blanks and a digit; what a chatty model writes after them is not read."""
EMPTY = Unreadable("an empty answer")


class OneByOneServed(Asking):
    """Predicts the expected digit at every token, 0 to 9."""

    name = NAME

    def questions(self, explanation: str, group: Group) -> Sequence[Question[Row]]:
        """One for each token of each context: those of one context begin alike, and follow one another."""
        return [
            Question(
                Request(
                    messages=messages,
                    model=self._model,
                    max_tokens=_ROOM,
                    temperature=0.0,
                    seed=self._seed,
                    stop=("\n",),
                    top_logprobs=ALTERNATIVES,
                    beginning=True,
                ),
                read_digit,
            )
            for context in group
            for messages in by_token(self._prompt, explanation, context)
        ]


def read_digit(response: Response) -> Row | Unreadable:
    """The expected digit, as one value, at the answer's first character that is not blank; whatever was written there.

    Unreadable where no digit is among the alternatives.
    """
    answer = response.text.strip()
    if not answer:
        return EMPTY
    place = "".join(token.text for token in response.logprobs).find(answer)
    if place < 0:
        return OTHER_TEXT
    ((token, inside),) = holders(response.logprobs, [place])
    blank = not token.text[:inside].strip(" ")  # a digit may come with or without the space before it
    value = expected_digit(token, 0 if blank else inside)
    return UNLIKELY if value is None else np.array([value], dtype=np.float32)
