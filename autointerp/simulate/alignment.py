"""Values per token of one tokenizer, carried over to the tokens of another by character offsets."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
from jaxtyping import Float, Int


def overlaps(
    pieces: Sequence[str], offsets: Sequence[tuple[int, int]]
) -> tuple[Int[np.ndarray, " pair"], Int[np.ndarray, " pair"], Float[np.ndarray, " pair"]]:
    """Pairs (piece, token) that share characters, each with its share of the piece's covered characters.

    `pieces` concatenate to the text; `offsets` are the (start, end) characters of the other tokenizer's tokens in
    that text. A piece without characters (part of a character) gets the token that covers the place where it
    stands. A piece that no token covers has no pair. The shares of a piece sum to 1.
    """
    ends = list(accumulate(len(p) for p in pieces))
    rows: list[int] = []
    columns: list[int] = []
    weights: list[float] = []
    first = 0
    for row, (piece, end) in enumerate(zip(pieces, ends, strict=True)):
        start = end - len(piece)
        low, high = (start, end) if piece else (start, start + 1)
        while first < len(offsets) and offsets[first][1] <= low:
            first += 1
        shared: list[tuple[int, int]] = []
        place = first
        while place < len(offsets) and offsets[place][0] < high:
            common = min(high, offsets[place][1]) - max(low, offsets[place][0])
            if common > 0:
                shared.append((place, common))
            place += 1
        total = sum(c for _, c in shared)
        for column, common in shared:
            rows.append(row)
            columns.append(column)
            weights.append(common / total)
    return np.array(rows, dtype=np.int64), np.array(columns, dtype=np.int64), np.array(weights, dtype=np.float32)


def carry_over(
    values: Float[np.ndarray, "*batch token"], pieces: Sequence[str], offsets: Sequence[tuple[int, int]]
) -> Float[np.ndarray, "*batch piece"]:
    """The overlap-weighted mean of the tokens' values on each piece; 0 where no token covers a piece."""
    rows, columns, weights = overlaps(pieces, offsets)
    spread = np.zeros((len(offsets), len(pieces)), dtype=np.float32)
    spread[columns, rows] = weights
    return np.asarray(values @ spread, dtype=np.float32)
