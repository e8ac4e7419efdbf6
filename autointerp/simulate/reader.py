"""`reader`: a small trained reader of two things, what `lift` says of a token and whether the explanation names it.

Literal reading is a part of it: the run's own `literal` stands beside it as the floor. `lift` is asked with a prompt of
its own (`prompts/reader`). Per token some signals are made of both (SIGNALS); a network of a few hundred weights, the
same for every unit, turns them into one number; minus the mean of what it reads in a bank of unrelated explanations at
the same token, clipped at 0, that is the prediction. So what predicts without any explanation, such as a word's
frequency, predicts nothing.

The weights are in `reader.json`, with what they were trained on; `benchmarks/train_reader.py` makes them, and
`docs/simulators.md` has what was tried and what was measured. Ours; that a simulator may be trained is from Choi et
al. 2024 (Transluce), who tune a model of 8B.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from autointerp.artifacts import hash_value
from autointerp.contexts.naming import LIST, Named, is_list, named_words, word_of
from autointerp.errors import CheckFailed
from autointerp.progress import Bar
from autointerp.records import Context, Scale, Simulation, Unscored
from autointerp.simulate.interface import Simulator, Task

NAME = "reader"
WEIGHTS = Path(__file__).with_suffix(".json")
"""The frozen weights, and where they come from."""
NO_BANK = Unscored("nothing could be read of the unrelated explanations")
_NATS, _MOST = 4.0, 2.5
"""What nats are divided by, and the most that a ratio counts: so that all signals are of size 1."""
_LEAST_NOISE = 0.2
"""Nats."""

SIGNALS = (
    "lift", "lift squared", "lift against noise", "lift of a description", "named", "named in any case", "word named",
    "place in the list", "named of many", "token before named", "space before named",
)  # fmt: skip
"""What the network reads of a token, in this order. All are 0 where `lift` is 0 and nothing is named."""


@dataclass(frozen=True)
class ReaderWeights:
    """A network with one hidden layer: `softplus(tanh(signals @ first + bias) @ second + last)`."""

    first: Float[np.ndarray, "signal hidden"]
    bias: Float[np.ndarray, " hidden"]
    second: Float[np.ndarray, " hidden"]
    last: float

    def read(self, signals: Float[np.ndarray, "*batch signal"]) -> Float[np.ndarray, "*batch"]:
        """One number per token, above 0, in no unit."""
        raw = np.tanh(signals @ self.first + self.bias) @ self.second + self.last
        return np.asarray(np.logaddexp(0, raw), dtype=np.float32)

    @property
    def content(self) -> dict[str, object]:
        """As it is written down."""
        return {
            "first": self.first.tolist(), "bias": self.bias.tolist(), "second": self.second.tolist(), "last": self.last,
        }  # fmt: skip


@cache
def frozen(path: Path = WEIGHTS) -> ReaderWeights:
    """The weights in a file; CheckFailed when they are not those that its hash is of, or of other signals."""
    kept = json.loads(path.read_text("utf8"))
    weights = kept["weights"]
    if tuple(kept["signals"]) != SIGNALS or kept["hash"] != hash_value(weights):
        raise CheckFailed(f"the weights in {path} were changed, or are of other signals")
    first, bias, second = (np.array(weights[name], dtype=np.float32) for name in ("first", "bias", "second"))
    return ReaderWeights(first, bias, second, float(weights["last"]))


class Signals:
    """What the network reads, of one explanation on some contexts."""

    def __init__(self) -> None:
        self._exact, self._whole, self._pieces = Named(), Named(whole=True), _Pieces()

    def of(
        self,
        explanation: str,
        contexts: Sequence[Context],
        lift: Float[np.ndarray, "context token"],
        noise: Float[np.ndarray, "context token"],
    ) -> Float[np.ndarray, "context token signal"]:
        """`lift` is of the explanation, `noise` its mean over unrelated ones; both in nats, never below 0."""
        listed = is_list(explanation)
        words = explanation.removeprefix(LIST).split(", ") if listed else sorted(named_words(explanation))
        rows = self._pieces.rows(contexts)
        named = self._exact.tokens(explanation, contexts).astype(np.float32)
        before = np.zeros_like(named)
        before[:, 1:] = named[:, :-1]
        size = lift / _NATS
        signals = (
            size, size**2, np.minimum(lift / (noise + _LEAST_NOISE) / 8, _MOST), 0 * size if listed else size, named,
            self._pieces.folded(words)[rows], self._whole.tokens(explanation, contexts),
            self._pieces.places(words if listed else [])[rows], named * (np.log(len(words) + 1) / _MOST), before,
            named * self._pieces.spaced()[rows],
        )  # fmt: skip
        return np.stack(signals, axis=-1).astype(np.float32)


class _Pieces:
    """Distinct texts of tokens, by number."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._of_word: dict[str, list[int]] = {}
        self._of_folded: dict[str, list[int]] = {}
        self._rows: dict[tuple[str, ...], Int[np.ndarray, " token"]] = {}
        self._spaced = np.empty(0, dtype=np.float32)

    def rows(self, contexts: Sequence[Context]) -> Int[np.ndarray, "context token"]:
        """The numbers of the contexts' tokens. All have as many."""
        return np.stack([self._row(context.pieces) for context in contexts])

    def _row(self, pieces: tuple[str, ...]) -> Int[np.ndarray, " token"]:
        if pieces not in self._rows:
            self._rows[pieces] = np.array([self._number(piece) for piece in pieces], dtype=np.int64)
        return self._rows[pieces]

    def _number(self, piece: str) -> int:
        if piece not in self._numbers:
            self._numbers[piece] = number = len(self._numbers)
            if word := word_of(piece):
                self._of_word.setdefault(word, []).append(number)
                self._of_folded.setdefault(word.casefold(), []).append(number)
        return self._numbers[piece]

    def folded(self, words: Sequence[str]) -> Float[np.ndarray, " piece"]:
        """1 where a piece is one of the words, whatever its case."""
        values = np.zeros(len(self._numbers), dtype=np.float32)
        values[[n for word in words for n in self._of_folded.get(word.casefold(), ())]] = 1
        return values

    def places(self, words: Sequence[str]) -> Float[np.ndarray, " piece"]:
        """1 for the first of the words, 1/2 for the second, and so on; 0 for any other piece."""
        values = np.zeros(len(self._numbers), dtype=np.float32)
        for place, word in reversed(list(enumerate(words, 1))):
            values[self._of_word.get(word, [])] = 1 / place
        return values

    def spaced(self) -> Float[np.ndarray, " piece"]:
        """1 for a piece that begins with a space."""
        if len(self._spaced) < len(self._numbers):
            self._spaced = np.array([float(piece[:1] == " ") for piece in self._numbers], dtype=np.float32)
        return self._spaced


class TrainedReader:
    """Predicts what the network reads in an explanation, less its mean over the bank, clipped at 0."""

    name = NAME
    scale = Scale.READ

    def __init__(self, lift: Simulator, bank: Sequence[str], weights: ReaderWeights | None = None) -> None:
        """`bank` holds the unrelated explanations, at least one; `weights`: none means the frozen ones."""
        self.lift, self.bank = lift, tuple(bank)
        """Gives nats, with the reader's prompt; and what it is held against."""
        self._weights, self._signals = weights, Signals()

    def simulate(self, tasks: Sequence[Task], progress: Bar) -> Iterator[tuple[int, Simulation | Unscored]]:
        """As `lift` yields: a task that it can't predict is Unscored here too."""
        weights = self._weights or frozen()
        contexts = [c for task in tasks for c in task.contexts]
        beside = {
            width: Unrelated(self.lift, self.bank, [c for c in contexts if len(c.pieces) == width])
            for width in sorted({len(c.pieces) for c in contexts})
        }
        nothing = {width: unrelated.mean(weights, self._signals) for width, unrelated in beside.items()}
        for place, told in self.lift.simulate(tasks, progress):
            if isinstance(told, Unscored):
                yield place, told
                continue
            task, width = tasks[place], told.predicted.shape[1]
            unrelated, less = beside[width], nothing[width]
            if isinstance(less, Unscored):
                yield place, less
                continue
            rows = unrelated.rows(task.contexts)
            signals = self._signals.of(task.explanation, task.contexts, told.predicted, unrelated.noise[rows])
            yield place, Simulation(np.maximum(weights.read(signals) - less[rows], 0), self.scale)


class Unrelated:
    """What is read in unrelated explanations, on all contexts that some tasks are tried on."""

    def __init__(self, lift: Simulator, bank: Sequence[str], contexts: Iterable[Context]) -> None:
        """All contexts have as many tokens. An explanation of the bank that `lift` can't predict is left out."""
        self.contexts = list({c.context: c for c in contexts}.values())
        self._rows = {c.context: row for row, c in enumerate(self.contexts)}
        tasks = [Task(text, tuple(self.contexts)) for text in bank] if self.contexts else []
        told = dict(lift.simulate(tasks, Bar()))
        self.lifts = {
            bank[place]: result.predicted for place, result in sorted(told.items()) if isinstance(result, Simulation)
        }
        """By explanation of the bank: nats, [context token]."""
        lifts = np.stack(list(self.lifts.values())) if self.lifts else np.empty((1, 0, 0), dtype=np.float32)
        self.noise: Float[np.ndarray, "context token"] = np.asarray(lifts.mean(axis=0), dtype=np.float32)
        """Mean lift over the bank: nats, [context token]."""

    def rows(self, contexts: Sequence[Context]) -> list[int]:
        """Where some contexts stand."""
        return [self._rows[c.context] for c in contexts]

    def mean(self, weights: ReaderWeights, signals: Signals) -> Float[np.ndarray, "context token"] | Unscored:
        """What the network reads on the mean, without a related explanation; Unscored where there is none to read."""
        if not self.lifts:
            return NO_BANK
        total = np.zeros(self.noise.shape, dtype=np.float64)
        for text, lift in self.lifts.items():
            total += weights.read(signals.of(text, self.contexts, lift, self.noise))
        return (total / len(self.lifts)).astype(np.float32)
