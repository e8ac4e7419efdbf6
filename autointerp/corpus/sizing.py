"""Documents of a size that contexts can be cut out of: long ones in pieces, short ones in packs; by choice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from autointerp.corpus.document import Document, blocks

_CHARACTERS_PER_TOKEN = 8
"""A pack is closed once it has so many characters for each token of a context: it then holds one in nearly any text."""


def in_pieces(documents: Iterable[Document], characters: int) -> Iterator[Document]:
    """Documents of more than so many characters in pieces of about as many, cut at blank lines or line ends.

    Each piece is a document and a source of its own, so that pieces of one text may fall in different splits: text that
    repeats itself is then on both sides. 0: nothing is cut.
    """
    for document in documents:
        if not characters or len(document.text) <= characters:
            yield document
            continue
        lines = (part for line in document.text.splitlines(keepends=True) for part in _parts(line, characters))
        for number, text in enumerate(blocks(lines, characters)):
            yield replace(document, source=f"{document.source}#{number}", text=text)


def _parts(line: str, characters: int) -> Iterator[str]:
    """A line, or its parts of at most so many characters, between words where there are any."""
    rest = line
    while len(rest) > characters:
        cut = rest.rfind(" ", characters // 2, characters) + 1 or characters
        yield rest[:cut] + "\n"
        rest = rest[cut:]
    yield rest


def in_packs(documents: Iterable[Document], context: int, end: str) -> Iterator[Document]:
    """Short documents that follow each other, joined by the text of the end token until a context fits in.

    A pack's source is that of its documents where they share one; else it is one of its own, named after the first, and
    no other document may have any of theirs: so only documents whose source is theirs alone should be packed across
    sources. What the model reads is one text: attention goes across the joints.
    """
    wanted = _CHARACTERS_PER_TOKEN * context
    held: list[Document] = []
    for document in documents:
        if len(document.text) >= wanted:
            yield document
            continue
        held.append(document)
        if sum(len(one.text) + len(end) for one in held) >= wanted:
            yield _joined(held, end)
            held = []
    if held:
        yield _joined(held, end)


def _joined(held: list[Document], end: str) -> Document:
    if len(held) == 1:
        return held[0]
    first = held[0]
    sources = {document.source for document in held}
    source = first.source if len(sources) == 1 else f"{first.source} and {len(held) - 1} more"
    return Document(source, end.join(document.text for document in held), first.licence, tuple(d.text for d in held))
