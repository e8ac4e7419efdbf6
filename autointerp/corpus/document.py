"""A document: some text, the source it stands in, its licence."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

BLOCK_CHARACTERS = 2000
"""About how long a document is that is made out of a longer text."""


@dataclass(frozen=True)
class Document:
    """One text that is tokenised as a whole."""

    source: str
    """The file, module, article or data row it is from. A source falls in exactly one split."""
    text: str
    licence: str = ""
    """'' when unknown."""
    packed: tuple[str, ...] = ()
    """The texts that it was joined of, by the text of the end token; none where it is one text."""


def normalised(text: str) -> str:
    """The text with case, compatibility forms and white space levelled: what two copies have in common."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def text_hash(text: str) -> str:
    """SHA-256 (hex) of the normalised text."""
    return hashlib.sha256(normalised(text).encode()).hexdigest()


def shortened(document: Document, characters: int) -> Document:
    """The document, cut at the last white space before `characters` when it is longer."""
    if len(document.text) <= characters:
        return document
    head = document.text[:characters]
    whole_words = head.rsplit(None, 1)
    return replace(document, text=whole_words[0] if len(whole_words) == 2 else head, packed=())


def blocks(lines: Iterable[str], characters: int = BLOCK_CHARACTERS) -> Iterator[str]:
    """Paragraphs (parted by blank lines) merged while they stay within `characters`.

    A paragraph that is longer by itself is parted at the end of the line that reaches the limit, so that no more
    than one block is held in memory. White space around a paragraph is dropped.
    """
    block = ""
    for paragraph in _paragraphs(lines, characters):
        if block and len(block) + len(paragraph) + 2 > characters:
            yield block
            block = ""
        block = f"{block}\n\n{paragraph}" if block else paragraph
    if block:
        yield block


def _paragraphs(lines: Iterable[str], characters: int) -> Iterator[str]:
    held, size = list[str](), 0
    for line in lines:
        blank = not line.strip()
        if not blank:
            held.append(line.rstrip("\n"))
            size += len(line)
        if held and (blank or size >= characters):
            yield "\n".join(held).strip()
            held, size = [], 0
    if held:
        yield "\n".join(held).strip()
