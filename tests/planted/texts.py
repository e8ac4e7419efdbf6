"""Texts in which every family of planted units finds what its explanations differ in, cut without a tokenizer."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from autointerp.artifacts import rng_of
from autointerp.planted.meanings import families
from autointerp.planted.rules import Words
from autointerp.records import Context, Split

TOKENS = 48


def pieces_of(text: str) -> tuple[str, ...]:
    """Words with the blank before them, long ones in two pieces, and single marks."""
    whole = re.findall(r" ?\w+|\s|[^\w\s]", text)
    return tuple(part for w in whole for part in ((w[:6], w[6:]) if len(w) > 9 else (w,)))


def context(text: str | Sequence[str], number: int = 0, split: Split = Split.HELD_OUT) -> Context:
    """A context of a text, or of its pieces."""
    pieces = pieces_of(text) if isinstance(text, str) else tuple(text)
    tokens = np.array([zlib.crc32(piece.encode()) % 50_000 for piece in pieces], dtype=np.int32)
    return Context(number, split, number, f"s{number}", 0, tokens, pieces)


def gallery() -> list[str]:
    """Lines that were written for the families, and all words that any explanation lists."""
    written, block = (Path(__file__).parent / "gallery.txt").read_text("utf8").split("%%\n")
    listed = {
        word
        for family in families()
        for meaning in family.meanings.values()
        for spans, _ in meaning.graded_rule.levels
        if isinstance(spans, Words)
        for word in spans.words
    }
    return [*written.splitlines(), block, " ".join(sorted(listed, key=lambda word: zlib.crc32(word.encode())))]


def contexts(split: Split, count: int, seed: int) -> list[Context]:
    """Windows of TOKENS tokens over the gallery in random order."""
    lines, found = gallery(), list[Context]()
    rng = rng_of(seed, split)
    while len(found) < count:
        pieces = [piece for line in rng.permutation(np.array(lines)) for piece in pieces_of(f"{line}\n")]
        starts = range(0, len(pieces) - TOKENS, TOKENS)
        found += [
            context(pieces[start : start + TOKENS], 10_000 * seed + len(found) + i, split)
            for i, start in enumerate(starts)
        ]
    return found[:count]
