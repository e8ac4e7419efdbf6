"""`digits`: Bills et al. 2023's simulator, all at once, on a 0-9 scale.

The explanation, then the context's tokens one a line with the value hidden; at each value's place the next-token
distribution over the digits is renormalised and the prediction is its expected value. It needs log-probabilities
inside the prompt, so a local model or a server that returns them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from autointerp.errors import BadInput
from autointerp.progress import Bar
from autointerp.prompting import Prompt
from autointerp.records import Context, Scale, Simulation, Unscored
from autointerp.simulate.base import Task
from autointerp.simulate.vocabulary import digit_tokens, one_line

NAME = "digits"
HIDDEN = "unknown"
"""Stands where a value is hidden."""


@runtime_checkable
class InPrompt(Protocol):
    """What `digits` needs of a language model: log-probabilities at places inside a prompt."""

    tokenizer: Any

    def logprobs_at(
        self, prompt: Sequence[int], positions: Sequence[int], tokens: Sequence[int]
    ) -> Float[Tensor, "position token"]:
        """Log-probability of each of `tokens` as the token that follows each position of the prompt."""
        ...


class Digits:
    """Predicts the expected digit at every token, 0 to 9."""

    name = NAME
    scale = Scale.ZERO_TO_NINE

    def __init__(self, model: InPrompt, prompt: Prompt) -> None:
        """Raises BadInput when the simulator's tokenizer splits a digit."""
        self._model, self._prompt = model, prompt
        variants = digit_tokens(model.tokenizer)
        if isinstance(variants, Unscored):
            raise BadInput(f"simulator 'digits': {variants.reason}", "use simulate.method = 'lift' or another model")
        self._variants = variants
        self._tab, self._hidden = self._encode("\t"), self._encode(f"{HIDDEN}\n")

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self._model.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def layout(self, explanation: str, context: Context) -> tuple[list[int], list[int]]:
        """The prompt's token ids, and the position of the tab before each hidden value."""
        ((_, text),) = self._prompt.render(explanation=one_line(explanation))
        ids = self._encode(text.lstrip("\n"))
        positions = []
        for piece in context.pieces:
            shown = piece.replace("\n", "\\n").replace("\t", "\\t")
            ids = [*ids, *self._encode(shown), *self._tab]
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
                prompt, positions = self.layout(task.explanation, context)
                row = self.expected(self._model.logprobs_at(prompt, positions, tokens).float().cpu())
                if isinstance(row, Unscored):
                    failure = row
                    break
                rows.append(row)
            yield place, failure if failure is not None else Simulation(np.stack(rows), self.scale)
