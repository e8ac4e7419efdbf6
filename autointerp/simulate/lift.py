"""`lift`: the contrastive log-likelihood simulator, out of context; and `lift-next`, which is one token ahead.

One forward pass of `Here is a list of examples of {explanation}:` gives, for every word of the vocabulary, its
log-probability as the next word. Minus its mean over a bank of unrelated explanations (seeded random word lists,
the same for every unit), clipped at 0, that is the predicted activation of the word wherever it occurs. It sees
the current token and nothing else. Here with a model in this process; `lift_served` asks a server.

`lift-next`: the prediction at a token is the lift of the token after it, for units that predict what comes next. What
comes after a context's last token is not in the context. There the prediction is the mean of the context's other
predictions: a zero would say that the unit is silent, and nothing is known that says so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from autointerp.artifacts import hash_value
from autointerp.contexts.naming import LIST
from autointerp.progress import Bar
from autointerp.prompting import Prompt
from autointerp.records import Context, Scale, Simulation, Unscored
from autointerp.simulate.interface import Numbers, Simulator, Task
from autointerp.simulate.vocabulary import ContextReader, by_explanation, canonical_tokens, chunks, prompt_line

NAME = "lift"


@runtime_checkable
class NextWord(Protocol):
    """What `lift` needs of a language model: full next-token log-probabilities."""

    tokenizer: Any
    identity: str

    def next_token_logprobs(self, texts: Sequence[str]) -> Iterator[Float[Tensor, "prompt vocabulary"]]:
        """Log-probabilities of the token after each text, in batches, in order."""
        ...


class Lift:
    """Predicts `max(0, log P(word | explanation) - mean over the bank of log P(word | unrelated))`, in nats."""

    name = NAME
    scale = Scale.NATS

    def __init__(
        self,
        model: NextWord,
        prompt: Prompt,
        bank: Sequence[str],
        batch: int,
        same: bool,
        ledger: Numbers | None = None,
    ) -> None:
        """`bank` holds the unrelated explanations; `same`: subject and simulator share a vocabulary.

        `ledger` keeps what was computed, of the tokens that are used alone.
        """
        self._model, self._prompt, self._batch = model, prompt, batch
        self._canonical = torch.from_numpy(canonical_tokens(model.tokenizer))
        self._reader = ContextReader(model.tokenizer, same)
        self._neutral: Tensor | None = None
        self._bank, self._ledger = list(bank), ledger

    def _words(self, explanations: Sequence[str]) -> Float[Tensor, "explanation vocabulary"]:
        texts = [prefix(self._prompt, e) for e in explanations]
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
        by_text, hopeless = by_explanation(tasks)
        for place, why in hopeless.items():
            progress.advance()
            yield place, why
        texts = sorted(by_text)  # those that begin alike are read together
        for part in chunks(len(texts), self._batch):
            chosen = texts[part]
            used = [self._reader.tokens([c for place in by_text[t] for c in tasks[place].contexts]) for t in chosen]
            for text, ids, values in zip(chosen, used, self._values(chosen, used), strict=True):
                row = np.zeros(len(self._canonical), dtype=np.float32)
                row[ids] = values
                for place in by_text[text]:
                    predicted = np.stack([self._reader.lay(row, c) for c in tasks[place].contexts])
                    yield place, Simulation(predicted, self.scale)
                    progress.advance()

    def _values(self, texts: Sequence[str], used: Sequence[Int[np.ndarray, " _"]]) -> list[Float[np.ndarray, " _"]]:
        """The lift of the tokens that are used, per explanation of one batch: as many values as `used` has tokens.

        What the ledger holds whole is served; any other batch runs whole, so that no sum depends on what an
        interrupted run had left to do.
        """
        if self._ledger is None:
            return [row[ids] for row, ids in zip(self.lift(texts), used, strict=True)]
        names = [self._name(text, ids) for text, ids in zip(texts, used, strict=True)]
        held = [self._ledger.numbers(name) for name in names]
        found = [values for values in held if values is not None]
        if len(found) == len(texts):
            return found
        rows = [row[ids] for row, ids in zip(self.lift(texts), used, strict=True)]
        for name, row in zip(names, rows, strict=True):
            self._ledger.keep_numbers(name, self._model.identity, row)
        return rows

    def _name(self, text: str, ids: Int[np.ndarray, " token"]) -> str:
        digest = hashlib.sha256(ids.astype("<i8").tobytes()).hexdigest()
        return hash_value([NAME, self._model.identity, self._prompt.identity, self._bank, text, digest])


def prefix(prompt: Prompt, explanation: str) -> str:
    """The text whose next word is read."""
    ((_, text),) = prompt.render(explanation=prompt_line(explanation))
    return text.strip()


def random_word_lists(contexts: Sequence[Context], count: int, rng: np.random.Generator) -> list[str]:
    """`count` explanations that name random words of the given (evidence) contexts: the bank."""
    words = [word for c in contexts for piece in c.pieces if (word := piece.strip()) and word.isprintable()]
    lists = []
    for place in range(count):
        size = (3, 6, 12)[place % 3]
        lists.append(LIST + ", ".join(words[int(i)] for i in rng.integers(len(words), size=size)))
    return lists


class LiftNext:
    """Moves what `lift` predicts, of a model in the process or through a server, by one token."""

    name = "lift-next"

    def __init__(self, current: Simulator) -> None:
        """`current` predicts from the current token."""
        self.scale = current.scale
        self._current = current

    def simulate(self, tasks: Sequence[Task], progress: Bar) -> Iterator[tuple[int, Simulation | Unscored]]:
        """As `current` yields; a context of one token, which has no next one, leaves its task Unscored."""
        for place, result in self._current.simulate(tasks, progress):
            yield place, result if isinstance(result, Unscored) else from_next(result)


def from_next(current: Simulation) -> Simulation | Unscored:
    """Each token's prediction, from the one of the token after it."""
    known = current.predicted[:, 1:]
    if not known.shape[1]:
        return Unscored("a context of one token has no next token")
    last = known.mean(axis=1, keepdims=True)
    return Simulation(np.concatenate([known, last], axis=1), current.scale)
