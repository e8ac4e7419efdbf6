"""How tokens are spelled in what others publish: as text, or as their tokenizer's own marks, which become text here."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from autointerp.quoting import well_formed

Speller = Callable[[Sequence[str]], tuple[str, ...]]
"""From a row's tokens as they are published to pieces: joined they are the row's text; one that only begins a character
is '', the one that ends it carries it."""

_BYTES_SPACE, _PIECES_SPACE = "Ġ", "▁"
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def speller(rows: Iterable[Sequence[str]]) -> Speller:
    """The spelling that most tokens tell of: plain text, or a space told by a mark of GPT-2's or SentencePiece's."""
    begins = dict.fromkeys((" ", _BYTES_SPACE, _PIECES_SPACE), 0)
    for row in rows:
        for token in row:
            if token[:1] in begins:
                begins[token[:1]] += 1
    most = max(begins, key=begins.__getitem__)
    return {_BYTES_SPACE: _from_bytes, _PIECES_SPACE: _from_pieces}.get(most, _as_they_are)


def _as_they_are(tokens: Sequence[str]) -> tuple[str, ...]:
    return tuple(map(well_formed, tokens))


def _byte_of_sign() -> dict[str, int]:
    """Byte-level vocabularies write a printable byte of Latin-1 as itself, and the others as signs from U+0100 on."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = (byte for byte in range(256) if byte not in set(printable))
    return {**{chr(byte): byte for byte in printable}, **{chr(256 + n): byte for n, byte in enumerate(others)}}


_BYTES = _byte_of_sign()


def _from_bytes(tokens: Sequence[str]) -> tuple[str, ...]:
    def parts(token: str) -> Iterator[bytes]:
        for sign in token:
            yield bytes([_BYTES[sign]]) if sign in _BYTES else well_formed(sign).encode()

    return _decoded([b"".join(parts(token)) for token in tokens])


def _from_pieces(tokens: Sequence[str]) -> tuple[str, ...]:
    def part(token: str) -> bytes:
        if match := _BYTE.fullmatch(token):
            return bytes([int(match[1], 16)])
        return well_formed(token.replace(_PIECES_SPACE, " ")).encode()

    return _decoded([part(token) for token in tokens])


def _decoded(parts: Sequence[bytes]) -> tuple[str, ...]:
    """The text that each part completes; what no part completes is told as U+FFFD."""
    decoder = codecs.getincrementaldecoder("utf8")("replace")
    last = len(parts) - 1
    return tuple(decoder.decode(part, final=place == last) for place, part in enumerate(parts))
