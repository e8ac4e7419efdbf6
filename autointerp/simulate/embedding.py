"""`embedding`: how near each word is to the explanation, by a sentence model. No language model is asked.

A token is predicted by the word that it is part of: cosine of the word's vector with the explanation's, minus the
word's mean cosine with a bank of unrelated explanations, clipped at 0. The word, and not the token, since a fragment
means nothing alone; and not a window of tokens, since a window would lift the neighbours of what fits as much as the
thing itself, and correlations are taken token by token. So it sees what the current word is, as `lift` does, and
nothing of its context. A token of blanks alone has no word, and is predicted silent.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from jaxtyping import Float, Int

from autointerp.progress import Bar
from autointerp.records import Context, Scale, Simulation, Unscored
from autointerp.simulate.alignment import overlaps
from autointerp.simulate.interface import Task, Vectors
from autointerp.simulate.vocabulary import by_explanation

NAME = "embedding"
Span = tuple[int, int]
"""First character, and the one behind the last."""


@dataclass(frozen=True)
class _Spread:
    """How the values of words are laid over a context's tokens."""

    tokens: Int[np.ndarray, " pair"]
    words: Int[np.ndarray, " pair"]
    """Numbers of distinct words, in the order in which they were first met."""
    shares: Float[np.ndarray, " pair"]
    """Of the token's characters that are part of words; a token's shares sum to 1."""
    width: int
    """Tokens of the context."""

    def lay(self, values: Float[np.ndarray, " word"]) -> Float[np.ndarray, " token"]:
        """The overlap-weighted mean of the words' values on each token; 0 where no word is."""
        laid = np.bincount(self.tokens, weights=self.shares * values[self.words], minlength=self.width)
        return np.asarray(laid, dtype=np.float32)


class EmbeddingSimulator:
    """Predicts `max(0, cos(word, explanation) - mean over the bank of cos(word, unrelated))`, at most 2."""

    name = NAME
    scale = Scale.COSINE

    def __init__(self, model: Vectors, bank: Sequence[str]) -> None:
        """`bank` holds the unrelated explanations, at least one."""
        self._model, self._bank = model, list(bank)

    def simulate(self, tasks: Sequence[Task], progress: Bar) -> Iterator[tuple[int, Simulation | Unscored]]:
        """Each distinct word and explanation of all tasks is embedded once."""
        by_text, hopeless = by_explanation(tasks)
        for position, why in hopeless.items():
            progress.advance()
            yield position, why
        if not by_text:
            return
        words, spreads = _read(
            [c for positions in by_text.values() for position in positions for c in tasks[position].contexts]
        )
        vectors = self._model.vectors(words)
        unrelated = self._model.vectors(self._bank).mean(axis=0)
        for text, vector in zip(by_text, self._model.vectors(list(by_text)), strict=True):
            values = np.maximum(vectors @ (vector - unrelated), 0)
            for position in by_text[text]:
                laid = np.stack([spreads[c.context].lay(values) for c in tasks[position].contexts])
                progress.advance()
                yield position, Simulation(laid, self.scale)


def _read(contexts: Sequence[Context]) -> tuple[list[str], dict[int, _Spread]]:
    """The distinct words of some contexts, and how they lie over the tokens of each, by its id."""
    numbers: dict[str, int] = {}
    spreads: dict[int, _Spread] = {}
    for context in contexts:
        if context.context in spreads:
            continue
        text, spans = context.text, word_spans(context.text)
        tokens, columns, shares = overlaps(context.pieces, spans)
        named = np.array([numbers.setdefault(text[a:b], len(numbers)) for a, b in spans], dtype=np.int64)
        spreads[context.context] = _Spread(tokens, named[columns], shares, len(context.pieces))
    return list(numbers), spreads


def word_spans(text: str) -> list[Span]:
    """Where the words of a text stand, ascending: runs of letters, marks and digits, and every other visible character
    alone.
    """
    spans: list[Span] = []
    start = 0
    for kind, run in groupby(text, key=_kind):
        end = start + sum(1 for _ in run)
        if kind == "word":
            spans.append((start, end))
        elif kind == "sign":
            spans += [(place, place + 1) for place in range(start, end)]
        start = end
    return spans


def _kind(character: str) -> str:
    category = unicodedata.category(character)[0]  # Letter, Mark, Number; Punctuation, Symbol; Separator, Control
    return "word" if category in "LMN" else "sign" if category in "PS" else "blank"
