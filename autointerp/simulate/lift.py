"""`lift`: the contrastive log-likelihood simulator, out of context.

One forward pass of `Here is a list of examples of {explanation}:` gives, for every word of the vocabulary, its
log-probability as the next word. Minus its mean over a bank of unrelated explanations (seeded random word lists,
the same for every unit), clipped at 0, that is the predicted activation of the word wherever it occurs. It sees
the current token and nothing else. Source: methods.md, section 5.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from autointerp.progress import Bar
from autointerp.prompting import Prompt
from autointerp.records import Context, Scale, Simulation, Unscored
from autointerp.simulate.base import Task
from autointerp.simulate.vocabulary import ContextReader, canonical_tokens, chunks, one_line

NAME = "lift"


@runtime_checkable
class NextWord(Protocol):
    """What `lift` needs of a language model: full next-token log-probabilities."""

    tokenizer: Any

    def next_token_logprobs(self, texts: Sequence[str]) -> Iterator[Float[Tensor, "prompt vocabulary"]]:
        """Log-probabilities of the token after each text, in batches, in order."""
        ...


class Lift:
    """Predicts `max(0, log P(word | explanation) - mean over the bank of log P(word | unrelated))`, in nats."""

    name = NAME
    scale = Scale.NATS

    def __init__(self, model: NextWord, prompt: Prompt, bank: Sequence[str], batch: int, same: bool) -> None:
        """`bank` holds the unrelated explanations; `same`: subject and simulator share a vocabulary."""
        self._model, self._prompt, self._batch = model, prompt, batch
        self._canonical = torch.from_numpy(canonical_tokens(model.tokenizer))
        self._reader = ContextReader(model.tokenizer, same)
        self._neutral: Tensor | None = None
        self._bank = list(bank)

    def _prefix(self, explanation: str) -> str:
        ((_, text),) = self._prompt.render(explanation=one_line(explanation))
        return text.strip()

    def _words(self, explanations: Sequence[str]) -> Float[Tensor, "explanation vocabulary"]:
        texts = [self._prefix(e) for e in explanations]
        rows = torch.cat([r.cpu() for r in self._model.next_token_logprobs(texts)])
        return rows[:, self._canonical]

    def lift(self, explanations: Sequence[str]) -> Float[np.ndarray, "explanation vocabulary"]:
        """Predicted activation of every token of the simulator's vocabulary, for one batch of explanations."""
        if self._neutral is None:
            parts = [self._words(self._bank[part]).double() for part in chunks(len(self._bank), self._batch)]
            self._neutral = torch.cat(parts).mean(dim=0).float()
        return (self._words(explanations) - self._neutral).clamp_min_(0).numpy()

    def simulate(self, tasks: Sequence[Task], progress: Bar) -> Iterator[tuple[int, Simulation | Unscored]]:
        """Each distinct explanation is asked once, however many tasks share it."""
        by_text: dict[str, list[int]] = {}
        for place, task in enumerate(tasks):
            text = one_line(task.explanation)
            if not text:
                progress.advance()
                yield place, Unscored("empty explanation")
                continue
            by_text.setdefault(text, []).append(place)
        texts = sorted(by_text, key=lambda t: (len(t), t))
        for part in chunks(len(texts), self._batch):
            values = self.lift(texts[part])
            for text, row in zip(texts[part], values, strict=True):
                for place in by_text[text]:
                    predicted = np.stack([self._reader.lay(row, c) for c in tasks[place].contexts])
                    yield place, Simulation(predicted, self.scale)
                    progress.advance()


def random_word_lists(contexts: Sequence[Context], count: int, rng: np.random.Generator) -> list[str]:
    """`count` explanations that name random words of the given (evidence) contexts: the bank."""
    words = [word for c in contexts for piece in c.pieces if (word := piece.strip()) and word.isprintable()]
    lists = []
    for place in range(count):
        size = (3, 6, 12)[place % 3]
        lists.append("words such as " + ", ".join(words[int(i)] for i in rng.integers(len(words), size=size)))
    return lists
