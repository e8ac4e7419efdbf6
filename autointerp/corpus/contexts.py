"""Contexts: windows of tokens, with the text of each token."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise

import numpy as np
from jaxtyping import Int
from transformers import PreTrainedTokenizerBase

from autointerp.artifacts import rng_of
from autointerp.corpus.document import Document, shortened
from autointerp.errors import BadInput


@dataclass(frozen=True)
class Tokenised:
    """A document's tokens."""

    tokens: Int[np.ndarray, " token"]
    """Token ids, without special tokens."""
    ends: Int[np.ndarray, " token"]
    """Up to which character of the document each token spells it; never decreasing."""


@dataclass(frozen=True)
class Window:
    """A run of tokens out of a document."""

    start: int
    """Offset of its first token in the document's tokens."""
    tokens: Int[np.ndarray, " token"]
    pieces: tuple[str, ...]
    """Text of each token; see `records.Context.pieces`."""


def require_offsets(tokenizer: PreTrainedTokenizerBase) -> None:
    """BadInput when the tokenizer can't tell which characters a token is from."""
    if not tokenizer.is_fast:
        raise BadInput(
            f"tokenizer {type(tokenizer).__name__} of '{tokenizer.name_or_path}' gives no character offsets",
            "use a model that has a fast tokenizer (a tokenizer.json file)",
        )


def tokenise(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> Iterator[Tokenised]:
    """Tokenise whole documents.

    No special token is added, and none is read out of a text: "<|endoftext|>" in a document is spelled out.
    """
    encoded = tokenizer(
        list(texts),
        add_special_tokens=False,
        split_special_tokens=True,
        return_offsets_mapping=True,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,
    )
    for ids, offsets in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True):
        spans = np.array(offsets, dtype=np.int64).reshape(-1, 2)
        yield Tokenised(np.array(ids, dtype=np.int32), piece_ends(spans))


CHARACTERS_PER_TOKEN = 32
"""Of a long document no more is used than the head: so many characters for each token that can be taken."""
_TOGETHER = 64


def tokenised_batches(
    documents: Iterable[Document], tokenizer: PreTrainedTokenizerBase, longest: int
) -> Iterator[list[tuple[Document, Tokenised]]]:
    """Documents, shortened to `longest` characters, with their tokens: as many together as are tokenised at once."""
    rest = iter(documents)
    while batch := [shortened(document, longest) for document in islice(rest, _TOGETHER)]:
        found = tokenise(tokenizer, [text for document in batch for text in document.packed or (document.text,)])
        yield [(document, _of_one(document, found, tokenizer)) for document in batch]


def _of_one(document: Document, found: Iterator[Tokenised], tokenizer: PreTrainedTokenizerBase) -> Tokenised:
    """A document's tokens, out of those of its texts, which come next: the end token stands between them."""
    if not document.packed:
        return next(found)
    end = np.array([tokenizer.eos_token_id], dtype=np.int32)
    tokens, ends, place = list[np.ndarray](), list[np.ndarray](), 0
    for number, text in enumerate(document.packed):
        if number:
            place += len(str(tokenizer.eos_token))
            tokens.append(end)
            ends.append(np.array([place], dtype=np.int64))
        part = next(found)
        tokens.append(part.tokens)
        ends.append(part.ends + place)
        place += len(text)
    return Tokenised(np.concatenate(tokens), np.concatenate(ends))


def piece_ends(offsets: Int[np.ndarray, "token 2"]) -> Int[np.ndarray, " token"]:
    """Where each token's piece ends, out of the tokens' (start, end) characters.

    The piece of a token begins where the one before ends, so the pieces of any run of tokens join to the text between.
    Tokens that spell one character together all have that character's offsets: the next token starts before this one
    ends, and the character goes to the last of them.
    """
    starts, ends = offsets[:, 0], offsets[:, 1]
    following = np.append(starts[1:], ends[-1:])
    return np.maximum.accumulate(np.minimum(ends, following))


def window_starts(tokens: int, context: int, most: int, key: Sequence[str | int]) -> list[int]:
    """Starts of up to `most` windows of `context` tokens that don't overlap, at places drawn by `key` in the document.

    None when the document has fewer than `context` tokens.
    """
    n = min(most, tokens // context)
    slack = tokens - n * context
    gaps = np.sort(rng_of("windows", *key).integers(0, slack + 1, size=n))
    return [int(gap) + i * context for i, gap in enumerate(gaps)]


def window(text: str, document: Tokenised, start: int, context: int) -> Window:
    """The window of `context` tokens from token `start`."""
    stop = start + context
    first = int(document.ends[start - 1]) if start else 0
    bounds = [first, *document.ends[start:stop].tolist()]
    pieces = tuple(text[a:b] for a, b in pairwise(bounds))
    return Window(start, document.tokens[start:stop], pieces)
