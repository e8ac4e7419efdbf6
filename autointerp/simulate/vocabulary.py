"""A simulator's vocabulary: canonical words, digit tokens, and contexts in its own tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from autointerp.corpus.contexts import require_offsets
from autointerp.records import Context, Unscored
from autointerp.simulate.alignment import carry_over
from autointerp.simulate.interface import Task

_COLON = ":"
"""What the prompts whose next word is read end in."""
_TAB = "\t"
"""What stands before a value in the prompts that hold values."""


def following(tokenizer: Any, before: str, texts: Sequence[str]) -> list[list[int]]:
    """The token ids of each text where it follows `before`; none where the tokenizer joins the two.

    Tokenizers that put a space before every text of their own (Llama 2's) spell a word alone in another way than
    inside a text, so no text is looked at alone.
    """
    first, *encoded = tokenizer(
        [before, *(before + text for text in texts)], add_special_tokens=False, split_special_tokens=True
    )["input_ids"]
    return [ids[len(first) :] if ids[: len(first)] == first else [] for ids in encoded]


def canonical_tokens(tokenizer: Any) -> Int[np.ndarray, " vocabulary"]:
    """For every token id, the id of the same word with a leading space where that is one token, else itself.

    After a prompt that ends in a colon the next word comes with a space, so `list`, ` list` and `list` inside a
    longer word all take the value of ` list`.
    """
    size = len(tokenizer)
    texts: list[str] = tokenizer.batch_decode([[i] for i in range(size)], clean_up_tokenization_spaces=False)
    words = [f" {t.strip()}" if t.strip() and "\ufffd" not in t else "" for t in texts]
    pairs = enumerate(zip(words, following(tokenizer, _COLON, words), strict=True))
    return np.array([ids[0] if word and len(ids) == 1 else i for i, (word, ids) in pairs], dtype=np.int64)


def same_vocabulary(first: Any, second: Any) -> bool:
    """Whether two tokenizers give a text the same token ids, as far as their vocabularies tell."""
    return first is second or first.get_vocab() == second.get_vocab()


def digit_tokens(tokenizer: Any) -> list[list[int]] | Unscored:
    """The token ids of each digit 0-9 after a tab, with and without a leading space.

    Unscored when a digit without a space is several tokens, or the token of another digit too (an unknown word's).
    """
    spelled = following(tokenizer, _TAB, [f"{space}{digit}" for digit in range(10) for space in ("", " ")])
    bare = spelled[::2]
    single = [{ids[0] for ids in pair if len(ids) == 1} for pair in zip(bare, spelled[1::2], strict=True)]
    uses = Counter(token for tokens in single for token in tokens)
    if any(len(ids) != 1 or uses[ids[0]] > 1 for ids in bare):
        return Unscored("a digit is not one token for the simulator's tokenizer")
    return [sorted(token for token in tokens if uses[token] == 1) for tokens in single]


class ContextReader:
    """Values per simulator token, laid over the subject's tokens."""

    def __init__(self, tokenizer: Any, same: bool) -> None:
        """`same`: both have one vocabulary. Raises BadInput when they have not, and offsets can't be had."""
        if not same:
            require_offsets(tokenizer)
        self._tokenizer, self._same = tokenizer, same
        self._known: dict[int, tuple[Int[np.ndarray, " token"], list[tuple[int, int]]]] = {}

    def tokens(self, contexts: Sequence[Context]) -> Int[np.ndarray, " token"]:
        """The simulator's tokens that occur in some contexts, each once, ascending."""
        return np.unique(np.concatenate([self.encoded(context) for context in contexts]))

    def encoded(self, context: Context) -> Int[np.ndarray, " token"]:
        """A context in the simulator's tokens. No special token is read out of its text."""
        return self._encoded(context)[0]

    def lay(
        self, values: Float[np.ndarray, "*batch vocabulary"], context: Context
    ) -> Float[np.ndarray, "*batch token"]:
        """The value of each token of the context, given a value for every simulator token."""
        return self.spread(values[..., self.encoded(context)], context)

    def spread(self, values: Float[np.ndarray, "*batch own"], context: Context) -> Float[np.ndarray, "*batch token"]:
        """The value of each token of the context, given one for each of `encoded`."""
        return values if self._same else carry_over(values, context.pieces, self._encoded(context)[1])

    def _encoded(self, context: Context) -> tuple[Int[np.ndarray, " token"], list[tuple[int, int]]]:
        if self._same:
            return context.tokens, []
        if context.context not in self._known:
            encoded = self._tokenizer(
                context.text, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True
            )
            ids = np.array(encoded["input_ids"], dtype=np.int64)
            self._known[context.context] = (ids, [tuple(o) for o in encoded["offset_mapping"]])
        return self._known[context.context]


def prompt_line(text: str, limit: int = 400) -> str:
    """An explanation as one line of printable characters, cut at `limit`: it is data in a prompt."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:limit].strip(" .:")


def by_explanation(tasks: Sequence[Task]) -> tuple[dict[str, list[int]], dict[int, Unscored]]:
    """The tasks that share each explanation (on one line), and those that nothing can be predicted for."""
    by_text: dict[str, list[int]] = {}
    hopeless: dict[int, Unscored] = {}
    for position, task in enumerate(tasks):
        text = prompt_line(task.explanation)
        if text and task.contexts:
            by_text.setdefault(text, []).append(position)
        else:
            hopeless[position] = Unscored("no context to predict" if text else "empty explanation")
    return by_text, hopeless


def chunks(count: int, size: int) -> Sequence[slice]:
    """Slices that cut `count` things into batches of `size`."""
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]
