"""`digits`: Bills et al. 2023's simulator, all at once, on a 0-9 scale.

The explanation, then the context's tokens one a line with the value hidden; at each value's place the next-token
distribution over the digits is renormalised and the prediction is its expected value. It needs log-probabilities
inside the prompt: of a local model (all ten digits, here), or of a server that gives them (the likeliest tokens at each
place, in `digits_served`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from autointerp.artifacts import hash_value
from autointerp.errors import BadInput
from autointerp.llm.encode import defuse
from autointerp.progress import Bar
from autointerp.prompting import Prompt
from autointerp.quoting import cell, unmarked
from autointerp.records import Context, Scale, Simulation, Unscored
from autointerp.simulate.base import Numbers, Task
from autointerp.simulate.vocabulary import digit_tokens, one_line

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


class Digits:
    """Predicts the expected digit at every token, 0 to 9."""

    name = NAME
    scale = Scale.ZERO_TO_NINE

    def __init__(self, model: InPrompt, prompt: Prompt, ledger: Numbers | None = None) -> None:
        """`ledger` keeps what was computed. Raises BadInput when the simulator's tokenizer splits a digit."""
        self._model, self._prompt, self._ledger = model, prompt, ledger
        variants = digit_tokens(model.tokenizer)
        if isinstance(variants, Unscored):
            raise BadInput(f"simulator 'digits': {variants.reason}", "use simulate.method = 'lift' or another model")
        self._variants = variants
        added = model.tokenizer.added_tokens_decoder.items()
        self._special = frozenset(token for token, added_token in added if added_token.special)
        self._tab, self._hidden = self._encode("\t"), self._encode(f"{HIDDEN}\n")

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self._model.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def _encode_data(self, text: str) -> list[int]:
        ids = self._encode(text)
        return ids if self._special.isdisjoint(ids) else self._encode(defuse(text, self._model.tokenizer))

    def layout(self, explanation: str, context: Context) -> tuple[list[int], list[int]]:
        """The prompt's token ids, and the position of the tab before each hidden value."""
        ((_, text),) = self._prompt.render(explanation=unmarked(one_line(explanation)))
        ids = self._encode_data(text.lstrip("\n"))
        positions = []
        for piece in context.pieces:
            ids = [*ids, *self._encode_data(cell(piece)), *self._tab]
            positions.append(len(ids) - 1)
            ids = [*ids, *self._hidden]
        return ids, positions

    def expected(self, logprobs: Float[Tensor, "position variant"]) -> Float[np.ndarray, " position"] | Unscored:
        """Expected digit from the log-probabilities of all digit variants, renormalised over them."""
        if not bool(torch.isfinite(logprobs).any(dim=1).all()):
            return Unscored("no digit has any probability at some token")
        digits = torch.tensor([d for d, ids in enumerate(self._variants) for _ in ids], dtype=logprobs.dtype)
        means: Float[np.ndarray, " position"] = (torch.softmax(logprobs, dim=1) @ digits).numpy()
        return means

    def simulate(self, tasks: Sequence[Task], progress: Bar) -> Iterator[tuple[int, Simulation | Unscored]]:
        """One prompt per explanation and context."""
        tokens = [i for ids in self._variants for i in ids]
        for place, task in enumerate(tasks):
            progress.advance()
            if not one_line(task.explanation):
                yield place, Unscored("empty explanation")
                continue
            rows: list[Float[np.ndarray, " token"]] = []
            failure: Unscored | None = None
            for context in task.contexts:
                row = self._row(*self.layout(task.explanation, context), tokens)
                if isinstance(row, Unscored):
                    failure = row
                    break
                rows.append(row)
            yield place, failure if failure is not None else Simulation(np.stack(rows), self.scale)

    def _row(
        self, prompt: Sequence[int], positions: Sequence[int], tokens: Sequence[int]
    ) -> Float[np.ndarray, " position"] | Unscored:
        """Expected digits of one prompt, from the ledger if it holds them."""
        name = hash_value([NAME, self._model.identity, list(prompt), list(positions), list(tokens)])
        held = None if self._ledger is None else self._ledger.numbers(name)
        if held is not None:
            return held
        row = self.expected(self._model.logprobs_at(prompt, positions, tokens).float().cpu())
        if self._ledger is not None and not isinstance(row, Unscored):
            self._ledger.keep_numbers(name, self._model.identity, row)
        return row
