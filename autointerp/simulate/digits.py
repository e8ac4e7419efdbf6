"""`digits`: Bills et al. 2023's simulator, all at once, on a 0-9 scale.

The explanation, then the context's tokens one a line with the value hidden; at each value's place the next-token
distribution over the digits is renormalised and the prediction is its expected value. It needs log-probabilities
inside the prompt: of a local model (`Digits`: all ten digits), or of a server that gives them (`DigitsServed`: vLLM, or
completions with `echo`). There the digits among the likeliest tokens are renormalised, and one that is not among them
counts as impossible.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from autointerp.llm.answers.logprobs import ALTERNATIVES, NO_LIKELY_DIGIT, expected_digits
from autointerp.llm.local.encode import defuse
from autointerp.llm.request import Question, Request, Response
from autointerp.prompting import Prompt
from autointerp.quoting import cell, unmarked
from autointerp.records import Context, Scale, Unscored
from autointerp.simulate.asked import Asked, Row
from autointerp.simulate.computed import Computed, DigitTokens
from autointerp.simulate.interface import Numbers
from autointerp.simulate.vocabulary import prompt_line

NAME = "digits"
HIDDEN = "unknown"
"""Stands where a value is hidden."""


@runtime_checkable
class InPrompt(Protocol):
    """What `digits` needs of a language model: log-probabilities at places inside a prompt."""

    tokenizer: Any
    identity: str

    def logprobs_at(
        self, prompt: Sequence[int], positions: Sequence[int], tokens: Sequence[int]
    ) -> Float[Tensor, "position token"]:
        """Log-probability of each of `tokens` as the token that follows each position of the prompt."""
        ...


class Digits(Computed):
    """Predicts the expected digit at every token, 0 to 9."""

    name = NAME
    scale = Scale.ZERO_TO_NINE

    def __init__(self, model: InPrompt, prompt: Prompt, ledger: Numbers | None = None) -> None:
        """`ledger` keeps what was computed. Raises BadInput when the simulator's tokenizer splits a digit."""
        super().__init__(model.identity, ledger)
        self._model, self._prompt = model, prompt
        self._digits = DigitTokens(model.tokenizer, NAME)
        added = model.tokenizer.added_tokens_decoder.items()
        self._special = frozenset(token for token, added_token in added if added_token.special)
        self._break: list[int] = model.tokenizer("\n", add_special_tokens=False)["input_ids"]
        self._tab, self._hidden = self._encode("\t"), self._encode(f"{HIDDEN}\n")

    def _encode(self, text: str) -> list[int]:
        """Token ids as they are behind a line break: some tokenizers put a space of their own before every text."""
        tokenizer, before = self._model.tokenizer, len(self._break)
        behind: list[int] = tokenizer(f"\n{text}", add_special_tokens=False)["input_ids"]
        if behind[:before] == self._break:
            return behind[before:]
        ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]  # it is one token with the break
        return ids

    def _encode_data(self, text: str) -> list[int]:
        ids = self._encode(text)
        return ids if self._special.isdisjoint(ids) else self._encode(defuse(text, self._model.tokenizer))

    def layout(self, explanation: str, context: Context) -> tuple[list[int], list[int]]:
        """The prompt's token ids, and the position of the tab before each hidden value."""
        ((_, text),) = self._prompt.render(explanation=unmarked(prompt_line(explanation)))
        ids = self._encode_data(text.lstrip("\n"))
        positions = []
        for piece in context.pieces:
            ids = [*ids, *self._encode_data(cell(piece)), *self._tab]
            positions.append(len(ids) - 1)
            ids = [*ids, *self._hidden]
        return ids, positions

    def row(self, explanation: str, context: Context) -> Row | Unscored:
        """The expected digits of one prompt."""
        prompt, positions = self.layout(explanation, context)
        tokens = self._digits.tokens

        def compute() -> Row | Unscored:
            return self._digits.expected(self._model.logprobs_at(prompt, positions, tokens).float().cpu())

        return self.kept([prompt, positions, tokens], compute)


_VALUE = re.compile(rf"\t(?={HIDDEN})")
OTHER_PROMPT = Unscored("the log-probabilities are of another text than the prompt")
UNLIKELY = Unscored(NO_LIKELY_DIGIT)


class DigitsServed(Asked):
    """Predicts the expected digit at every token, 0 to 9."""

    name = NAME

    def question(self, explanation: str, context: Context) -> Question[Row]:
        """One text, whose continuation (a token, since servers want one) is not read."""
        ((role, text),) = self._prompt.render(explanation=unmarked(explanation))
        lines = "".join(f"{cell(piece)}\t{HIDDEN}\n" for piece in context.pieces)
        request = Request(
            messages=((role, text.lstrip("\n") + lines),),
            model=self._model,
            max_tokens=1,
            temperature=0.0,
            seed=self._seed,
            prompt_logprobs=ALTERNATIVES,
        )
        examples = len(_VALUE.findall(text))
        return Question(request, partial(read_hidden, count=len(context.pieces), before=examples))


def read_hidden(response: Response, count: int, before: int = 0) -> Row | Unscored:
    """The expected digit at each of `count` hidden values. What can't be read is final: a prompt stays as it is.

    `before`: values that the prompt's own examples hide, which are not read.

    No text can hold a tab of its own, so the tabs before the hidden word are found whatever the server made of the
    characters between them.
    """
    spelled = "".join(token.text for token in response.prompt_logprobs)
    places = [match.end() for match in _VALUE.finditer(spelled)]
    if len(places) != before + count:
        return OTHER_PROMPT
    digits = expected_digits(response.prompt_logprobs, places[before:])
    return UNLIKELY if digits is None else digits
