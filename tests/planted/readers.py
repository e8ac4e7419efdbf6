"""Two readers behind every interface: one that knows what the explanations of `made` mean, one that guesses.

A reader is asked for the value of a word under an explanation; how a method asks for it, and what an answer looks like,
is the same for both.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import numpy as np
import torch

from autointerp.artifacts import rng_of
from autointerp.contexts.naming import parted
from autointerp.explain.highlight import CLOSE, OPEN
from autointerp.llm.request import Request, Response
from autointerp.simulate.vocabulary import canonical_tokens
from tests.planted.made import TOPICS, WORDS, meanings, topic, word_tokenizer
from tests.simulate.contexts import as_digits, as_json, listed, spoken


class Reader(Protocol):
    """What is behind the interfaces."""

    def value(self, explanation: str, word: str) -> float:
        """How active a unit of that explanation is on a word, 0 to 9."""
        ...

    def theme(self, excerpts: Sequence[str]) -> int:
        """Which excerpt does not belong."""
        ...

    def vector(self, text: str) -> np.ndarray:
        """What a sentence model makes of a text."""
        ...


class Knowing:
    """Knows which words each explanation means."""

    def value(self, explanation: str, word: str) -> float:
        return 9.0 * (word.strip() in meanings().get(explanation, frozenset()))

    def theme(self, excerpts: Sequence[str]) -> int:
        has = np.array([[bool(set(topic(n)) & set(e.split())) for n in range(TOPICS)] for e in excerpts])
        alone = [n for n in range(TOPICS) if has[:, n].sum() == len(excerpts) - 1]
        lacking = [int(np.argmin(has[:, n])) for n in alone]
        return max(lacking, key=lacking.count) if lacking else 0

    def vector(self, text: str) -> np.ndarray:
        named = meanings().get(text) or [word.strip(",") for word in text.split()]
        bag = np.array([1.0 + sum(word == w for w in named) * 100 for word in WORDS])
        return _unit(bag)


class Guessing:
    """Answers by nothing but the texts that it is asked about."""

    def value(self, explanation: str, word: str) -> float:
        return _drawn(explanation, word)

    def theme(self, excerpts: Sequence[str]) -> int:
        return int(rng_of("theme", *excerpts).integers(len(excerpts)))

    def vector(self, text: str) -> np.ndarray:
        return _unit(rng_of("vector", text).standard_normal(32))


def _unit(vector: np.ndarray) -> np.ndarray:
    scaled: np.ndarray = vector / np.linalg.norm(vector)
    return scaled


@cache
def _drawn(explanation: str, word: str) -> float:
    return float(rng_of("value", explanation, word).random() * 9)


_DESCRIPTION = re.compile(r"^Description: (\".*\")$", re.MULTILINE)
_EXCERPT = re.compile(r"^Excerpt \d+: (\".*\")$", re.MULTILINE)
_TEXT = re.compile(r"^Text: (\".*\")$", re.MULTILINE)
_LINE = re.compile(r"^(\d+): (\[.*\])$", re.MULTILINE)
_FITS = 8.0
"""Of 9: what a word must reach, for who guesses too, in about half of the excerpts."""


@dataclass(frozen=True)
class Answers:
    """What a language model would write that reads as `reader` does."""

    reader: Reader

    def _described(self, request: Request) -> Callable[[str], float]:
        (text,) = _DESCRIPTION.findall(request.messages[-1][1])
        explanation: str = json.loads(text)
        return lambda word: self.reader.value(explanation, word)

    def digits(self, request: Request) -> Response:
        value = self._described(request)
        return as_digits([value(piece) for piece in listed(request)])

    def sparse(self, request: Request) -> Response:
        value = self._described(request)
        return as_json([value(piece) for piece in listed(request)])

    def words(self, request: Request) -> Response:
        value = self._described(request)
        (text,) = _TEXT.findall(request.messages[-1][1])
        values = {word: round(value(word)) for word in parted(json.loads(text))}
        return spoken(json.dumps({word: active for word, active in values.items() if active}))

    def one(self, request: Request) -> Response:
        value = self._described(request)
        (word,) = re.findall(r'^Last token: (".*")$', request.messages[-1][1], re.MULTILINE)
        return _digit(value(json.loads(word)))

    def lines(self, request: Request) -> Response:
        value = self._described(request)
        rows = _LINE.findall(request.messages[-1][1])
        return spoken(json.dumps({n: [round(value(w)) for w in json.loads(words)] for n, words in rows}))

    def _excerpts(self, request: Request) -> list[str]:
        return [json.loads(text) for text in _EXCERPT.findall(request.messages[-1][1])]

    def detection(self, request: Request) -> Response:
        value = self._described(request)
        return _yes_no([np.mean([value(word) for word in e.split()]) * 2 for e in self._excerpts(request)])

    def fuzzing(self, request: Request) -> Response:
        value = self._described(request)
        marked = re.compile(f"{OPEN}([^{CLOSE}]*){CLOSE}")
        found = [" ".join(marked.findall(e)).split() for e in self._excerpts(request)]
        return _yes_no([np.mean([value(word) for word in words]) for words in found])

    def numbers(self, request: Request) -> Response:
        value = self._described(request)
        shown = enumerate(self._excerpts(request), 1)
        fit = [str(n) for n, e in shown if max(value(word) for word in e.split()) > _FITS]
        return spoken(", ".join(fit) or "none")

    def intruder(self, request: Request) -> Response:
        return spoken(json.dumps({"intruder": self.reader.theme(self._excerpts(request)) + 1}))


def _digit(value: float) -> Response:
    """One digit; between two, the expected value is the value."""
    low, share = int(value), value - int(value)
    pairs = [(str(low), float(np.log1p(-share))), *([(str(low + 1), float(np.log(share)))] if share else [])]
    return spoken(str(low), {0: pairs})


def _yes_no(values: Sequence[Any]) -> Response:
    """{"answers": [...]}, with the probability of "1" at each value as its share of 9."""
    text = '{"answers": ['
    top: dict[int, list[tuple[str, float]]] = {}
    for place, value in enumerate(values):
        share = float(np.clip(value / 9, 1e-6, 1 - 1e-6))
        text += ", " if place else ""
        top[len(text)] = [("1", float(np.log(share))), ("0", float(np.log1p(-share)))]
        text += str(int(share > 0.5))
    return spoken(text + "]}", top)


class Model:
    """A language model in the process that reads as `reader` does: `value` is what it says of a word."""

    identity = "reader"

    def __init__(self, reader: Reader) -> None:
        self.tokenizer = word_tokenizer()
        self._reader = reader
        self._texts = self.tokenizer.batch_decode([[i] for i in range(len(self.tokenizer))])
        self._words = [self._texts[i].strip() for i in canonical_tokens(self.tokenizer)]

    def _log_words(self, explanation: str | None) -> torch.Tensor:
        """Of the next token: the more likely, the more active."""
        known = explanation is not None
        raised = [self._reader.value(str(explanation), w) if known and w in WORDS else 0.0 for w in self._words]
        return torch.log_softmax(torch.tensor(raised, dtype=torch.float32), dim=0)

    @staticmethod
    def _explanation(text: str) -> str | None:
        """The known explanation that stands last in a text, the longest of those that end together."""
        found = [(text.rfind(known) + len(known), len(known), known) for known in meanings() if known in text]
        return max(found)[2] if found else None

    def next_token_logprobs(self, texts: Sequence[str]) -> Iterable[torch.Tensor]:
        for text in texts:
            yield self._log_words(self._explanation(text))[None]

    def logprobs_at(self, prompt: Sequence[int], positions: Sequence[int], tokens: Sequence[int]) -> torch.Tensor:
        read = self.tokenizer.decode(list(prompt[: max(positions) + 1]))
        explanation = self._explanation(read)
        if all(self._texts[t].strip().isdigit() for t in tokens):
            return torch.stack([self._digit(str(explanation), prompt[: p + 1], tokens) for p in positions])
        return self._log_words(explanation)[list(tokens)].expand(len(positions), -1)

    def _digit(self, explanation: str, prompt: Sequence[int], tokens: Sequence[int]) -> torch.Tensor:
        line = self.tokenizer.decode(list(prompt[-8:])).rpartition("\n")[2]
        value = self._reader.value(explanation, line.rstrip("\t"))
        return torch.log_softmax(torch.tensor([-4.0 * abs(int(self._texts[t]) - value) for t in tokens]), dim=0)


@dataclass
class Sentences:
    """A sentence model that reads as `reader` does."""

    reader: Reader
    identity: str = "reader"

    def vectors(self, texts: Sequence[str]) -> np.ndarray:
        return np.stack([self.reader.vector(text) for text in texts]).astype(np.float32)
