"""Simulators that compute with a model in this process, one explanation and context after the other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from autointerp.artifacts import hash_value
from autointerp.errors import BadInput
from autointerp.progress import Bar
from autointerp.records import Context, Scale, Simulation, Unscored
from autointerp.simulate.asked import Row
from autointerp.simulate.interface import Numbers, Task
from autointerp.simulate.vocabulary import digit_tokens, prompt_line


class Computed(ABC):
    """Predicts a value at every token. A simulator says how one context's values are computed."""

    name: str
    scale: Scale

    def __init__(self, identity: str, ledger: Numbers | None) -> None:
        """`identity` names the model; `ledger` keeps what was computed."""
        self._identity, self._ledger = identity, ledger

    @abstractmethod
    def row(self, explanation: str, context: Context) -> Row | Unscored:
        """One value per token, given an explanation on one line, or why there are none."""

    def simulate(self, tasks: Sequence[Task], progress: Bar) -> Iterator[tuple[int, Simulation | Unscored]]:
        """Tasks in their order. One is Unscored with the reason of its first context that has no values."""
        for position, task in enumerate(tasks):
            progress.advance()
            yield position, self._simulated(prompt_line(task.explanation), task.contexts)

    def _simulated(self, explanation: str, contexts: Sequence[Context]) -> Simulation | Unscored:
        if not explanation or not contexts:
            return Unscored("no context to predict" if explanation else "empty explanation")
        rows: list[Row] = []
        for context in contexts:
            row = self.row(explanation, context)
            if isinstance(row, Unscored):
                return row
            rows.append(row)
        return Simulation(np.stack(rows), self.scale)

    def kept(self, of: Sequence[Any], compute: Callable[[], Row | Unscored]) -> Row | Unscored:
        """What `compute` gives, from the ledger if it holds it; `of` (JSON-like) names all that it depends on."""
        if self._ledger is None:
            return compute()
        name = hash_value([self.name, self._identity, *of])
        held = self._ledger.numbers(name)
        if held is not None:
            return held
        row = compute()
        if not isinstance(row, Unscored):
            self._ledger.keep_numbers(name, self._identity, row)
        return row


NO_DIGIT = Unscored("no digit has any probability at some token")


class DigitTokens:
    """The ten digits in one tokenizer's vocabulary, each with and without a leading space."""

    def __init__(self, tokenizer: Any, simulator: str) -> None:
        """Raises BadInput, in the name of `simulator`, when the tokenizer splits a digit."""
        variants = digit_tokens(tokenizer)
        if isinstance(variants, Unscored):
            raise BadInput(
                f"simulator '{simulator}': {variants.reason}", "use simulate.method = 'lift' or another model"
            )
        self.tokens = [token for ids in variants for token in ids]
        """Ids of all variants: 0's, then 1's, up to 9's."""
        self._digits = [float(digit) for digit, ids in enumerate(variants) for _ in ids]

    def expected(self, logprobs: Float[Tensor, "place variant"]) -> Float[np.ndarray, " place"] | Unscored:
        """The expected digit at each place, 0 to 9, renormalised over `tokens`, whose log-probabilities these are."""
        if not bool(torch.isfinite(logprobs).any(dim=1).all()):
            return NO_DIGIT
        digits = torch.tensor(self._digits, dtype=logprobs.dtype)
        means: Float[np.ndarray, " place"] = (torch.softmax(logprobs, dim=1) @ digits).numpy()
        return means
