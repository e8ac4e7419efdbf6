"""A review in its words and marks: what an account gives numbers to, and what is taken away."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from jaxtyping import Bool
from numpy import ndarray

_PART = re.compile(r"\s*(\w+(?:['\u2019-]\w+)*|[^\w\s])")


def words_of(text: str) -> tuple[str, ...]:
    """The words and marks of a text, in order: `don't` and `well-made` are one word, each mark is one part."""
    return tuple(match[1] for match in _PART.finditer(text))


@dataclass(frozen=True)
class ReviewWords:
    """A review that can be asked about without some of its words."""

    text: str

    @cached_property
    def words(self) -> tuple[str, ...]:
        """Its words and marks."""
        return words_of(self.text)

    @cached_property
    def _pieces(self) -> tuple[str, ...]:
        """The same, each with the blanks before it."""
        return tuple(match[0] for match in _PART.finditer(self.text))

    def kept(self, mask: Bool[ndarray, " word"]) -> str:
        """What is left of the text where the other words are taken out, with the blanks before them; no mark stands in
        their place."""
        return "".join(piece for piece, keep in zip(self._pieces, mask, strict=True) if keep).strip()
