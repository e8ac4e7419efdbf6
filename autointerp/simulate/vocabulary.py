"""A simulator's vocabulary: canonical words, digit tokens, and contexts in its own tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from autointerp.records import Context, Unscored
from autointerp.simulate.align import carry_over


def canonical_tokens(tokenizer: Any) -> Int[np.ndarray, " vocabulary"]:
    """For every token id, the id of the same word with a leading space where that is one token, else itself.

    After a prompt that ends in a colon the next word comes with a space, so `list`, ` list` and `list` inside a
    longer word all take the value of ` list`.
    """
    size = len(tokenizer)
    texts: list[str] = tokenizer.batch_decode([[i] for i in range(size)], clean_up_tokenization_spaces=False)
    words = [f" {t.strip()}" if t.strip() and "\ufffd" not in t else "" for t in texts]
    encoded: list[list[int]] = tokenizer(words, add_special_tokens=False)["input_ids"]
    pairs = enumerate(zip(words, encoded, strict=True))
    return np.array([ids[0] if word and len(ids) == 1 else i for i, (word, ids) in pairs], dtype=np.int64)


def same_vocabulary(first: Any, second: Any) -> bool:
    """Whether two tokenizers give a text the same token ids, as far as their vocabularies tell."""
    return first is second or first.get_vocab() == second.get_vocab()


def digit_tokens(tokenizer: Any) -> list[list[int]] | Unscored:
    """The token ids of each digit 0-9, with and without a leading space; Unscored when a digit is several tokens."""
    result: list[list[int]] = []
    for digit in range(10):
        bare, spaced = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in (str(digit), f" {digit}"))
        variants = {ids[0] for ids in (bare, spaced) if len(ids) == 1}
        if len(bare) != 1:
            return Unscored("a digit is not one token for the simulator's tokenizer")
        result.append(sorted(variants))
    return result


class ContextReader:
    """Values per simulator token, laid over the subject's tokens."""

    def __init__(self, tokenizer: Any, same: bool) -> None:
        self._tokenizer, self._same = tokenizer, same
        self._known: dict[int, tuple[Int[np.ndarray, " token"], list[tuple[int, int]]]] = {}

    def tokens(self, contexts: Sequence[Context]) -> Int[np.ndarray, " token"]:
        """The simulator's tokens that occur in some contexts, each once, ascending."""
        return np.unique(np.concatenate([self._encoded(context)[0] for context in contexts]))

    def lay(
        self, values: Float[np.ndarray, "*batch vocabulary"], context: Context
    ) -> Float[np.ndarray, "*batch token"]:
        """The value of each token of the context, given a value for every simulator token."""
        ids, offsets = self._encoded(context)
        return values[..., ids] if self._same else carry_over(values[..., ids], context.pieces, offsets)

    def _encoded(self, context: Context) -> tuple[Int[np.ndarray, " token"], list[tuple[int, int]]]:
        if self._same:
            return context.tokens, []
        if context.context not in self._known:
            encoded = self._tokenizer(context.text, add_special_tokens=False, return_offsets_mapping=True)
            ids = np.array(encoded["input_ids"], dtype=np.int64)
            self._known[context.context] = (ids, [tuple(o) for o in encoded["offset_mapping"]])
        return self._known[context.context]


def one_line(text: str, limit: int = 400) -> str:
    """An explanation as one line of printable characters, cut at `limit`: it is data in a prompt."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:limit].strip(" .:")


def chunks(count: int, size: int) -> Sequence[slice]:
    """Slices that cut `count` things into batches of `size`."""
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]
