"""Log-probabilities in the bodies that OpenAI-compatible servers send: three layouts, none of them to be trusted."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from autointerp.llm.request import TokenLogprob
from autointerp.quoting import well_formed

_NOT_ASCII = bytes(range(128, 256))
_ESCAPED = re.compile(r"bytes:(\\x[0-9a-fA-F]{2})+")


@dataclass(frozen=True)
class Piece:
    """One token, and the bytes that it adds to the text."""

    raw: bytes
    token: TokenLogprob


def read_pieces(logprobs: object) -> list[Piece] | None:
    """Tokens of a choice's `logprobs`: a chat's `content` list, or a completion's parallel lists.

    None when they are not there, or not of one length.
    """
    if not isinstance(logprobs, dict):
        return None
    content = logprobs.get("content")
    if isinstance(content, list):
        pieces = [_chat_piece(entry) for entry in content]
        return None if any(piece is None for piece in pieces) else [piece for piece in pieces if piece is not None]
    return _completion_pieces(logprobs.get("tokens"), logprobs.get("token_logprobs"), logprobs.get("top_logprobs"))


def _chat_piece(entry: object) -> Piece | None:
    if not isinstance(entry, dict) or not isinstance(entry.get("token"), str):
        return None
    logprob = _number(entry.get("logprob"))
    if logprob is None:
        return None
    others = entry.get("top_logprobs")
    alternatives = [o for o in others if isinstance(o, dict)] if isinstance(others, list) else []
    pairs = [(o.get("token"), o.get("logprob")) for o in alternatives]
    given = entry.get("bytes")
    if isinstance(given, list) and all(isinstance(b, int) and 0 <= b < 256 for b in given):
        raw = bytes(given)
    else:
        raw = _raw(entry["token"])
    return Piece(raw, TokenLogprob(well_formed(entry["token"]), logprob, _top(pairs)))


def _completion_pieces(tokens: object, logprobs: object, top: object) -> list[Piece] | None:
    if not isinstance(tokens, list) or not isinstance(logprobs, list) or len(tokens) != len(logprobs):
        return None
    others = top if isinstance(top, list) else [None] * len(tokens)
    if len(others) != len(tokens) or not all(isinstance(token, str) for token in tokens):
        return None
    return [
        Piece(
            _raw(token),
            TokenLogprob(well_formed(token), _number(logprob), _top(top.items() if isinstance(top, dict) else ())),
        )
        for token, logprob, top in zip(tokens, logprobs, others, strict=True)
    ]


def read_prompt_field(field: object, prompt: str) -> list[TokenLogprob] | None:
    """vLLM's `prompt_logprobs`: per token of the prompt {id: {logprob, rank, decoded_token}}, the token itself first,
    and null for the prompt's first token. None when it is something else.
    """
    if not isinstance(field, list) or not field or field[0] is not None:
        return None
    tokens: list[TokenLogprob] = []
    for entry in field[1:]:
        pairs = [
            (o.get("decoded_token") or "", o.get("logprob"))
            for o in (entry.values() if isinstance(entry, dict) else ())
            if isinstance(o, dict)
        ]
        own = pairs[0] if pairs else ("", None)
        logprob = _number(own[1])
        if logprob is None or not isinstance(own[0], str):
            return None
        tokens.append(TokenLogprob(well_formed(own[0]), logprob, _top(pairs)))
    rest = "".join(token.text for token in tokens)
    first = prompt[: len(prompt) - len(rest)] if prompt.endswith(rest) else ""
    return [TokenLogprob(first, None), *tokens]


def covering(pieces: Sequence[Piece], text: str, kept: int) -> list[TokenLogprob] | None:
    """The tokens of the first `kept` characters of `text`; None when `pieces` do not hold it.

    Servers list more tokens than they show as text: those of a chain of thought before it, of a code fence that they
    took off, of the stop text and the end token after it.
    """
    if not text:
        return []
    exact = _covering(pieces, text, kept, b"")
    return exact if exact is not None else _covering(pieces, text, kept, _NOT_ASCII)


def _covering(pieces: Sequence[Piece], text: str, kept: int, ignored: bytes) -> list[TokenLogprob] | None:
    """`ignored`: bytes to leave out of the comparison, since servers garble characters that tokens share."""
    raws = [piece.raw.translate(None, ignored) for piece in pieces]
    wanted = text.encode().translate(None, ignored)
    start = b"".join(raws).rfind(wanted)  # the last place: a chain of thought may hold the answer's words, too
    if start < 0 or not wanted:
        return None
    end = start + len(text[:kept].encode().translate(None, ignored))
    tokens, place = [], 0
    for piece, raw in zip(pieces, raws, strict=True):
        if place < end and place + len(raw) > start:
            tokens.append(piece.token)
        place += len(raw)
    return tokens


def _raw(token: str) -> bytes:
    return b"" if _ESCAPED.fullmatch(token) else token.encode("utf8", "replace")


def _top(pairs: Iterable[tuple[object, object]]) -> tuple[tuple[str, float], ...]:
    read = [(well_formed(text), value) for text, given in pairs
            if isinstance(text, str) and (value := _number(given)) is not None]  # fmt: skip
    return tuple(sorted(read, key=lambda pair: -pair[1]))


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None
