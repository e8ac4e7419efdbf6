from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autointerp.simulate.alignment import carry_over, overlaps

TEXTS = ["The naïve café", "日本語のテキスト", "x = f(a)\n\treturn 3", "👩‍👩‍👧 smile 🙂", ""]


def _by_characters(values: np.ndarray, pieces: list[str], offsets: list[tuple[int, int]]) -> np.ndarray:
    """The slow twin: give every character its token's value, then average each piece's covered characters."""
    owner = {c: t for t, (start, end) in enumerate(offsets) for c in range(start, end)}
    result, start = [], 0
    for piece in pieces:
        span = range(start, start + max(len(piece), 1))
        covered = [values[owner[c]] for c in span if c in owner]
        result.append(np.mean(covered) if covered else 0.0)
        start += len(piece)
    return np.array(result, dtype=np.float32)


@st.composite
def _cut_twice(draw: st.DrawFn) -> tuple[list[str], list[tuple[int, int]]]:
    text = draw(st.text(min_size=1, max_size=30))

    def cut() -> list[int]:
        inner = draw(st.lists(st.integers(0, len(text)), max_size=8))
        return [0, *sorted(inner), len(text)]

    a, b = cut(), cut()
    offsets = [(s, e) for s, e in pairwise(b) if e > s and draw(st.booleans())]
    return [text[s:e] for s, e in pairwise(a)], offsets


@given(_cut_twice(), st.integers(0, 99))
def test_carry_over_equals_the_mean_over_characters(case: tuple[list[str], list[tuple[int, int]]], seed: int) -> None:
    pieces, offsets = case
    values = np.random.default_rng(seed).normal(size=len(offsets)).astype(np.float32)
    np.testing.assert_allclose(carry_over(values, pieces, offsets), _by_characters(values, pieces, offsets), atol=1e-5)


@pytest.mark.parametrize("text", TEXTS)
def test_equal_cuts_carry_over_unchanged(text: str) -> None:
    offsets = [(i, i + 1) for i in range(len(text))]
    values = np.arange(len(text), dtype=np.float32)
    np.testing.assert_array_equal(carry_over(values, list(text), offsets), values)


def test_a_piece_of_a_character_takes_the_value_of_its_character() -> None:
    pieces, offsets = ["a", "", "", "🙂", "b"], [(0, 1), (1, 2), (2, 3)]
    np.testing.assert_array_equal(
        carry_over(np.array([1, 5, 9], dtype=np.float32), pieces, offsets), np.array([1, 5, 5, 5, 9])
    )


def test_shares_of_a_piece_sum_to_one() -> None:
    rows, columns, weights = overlaps(["hello", " world"], [(0, 3), (3, 7), (7, 11)])
    assert rows.tolist() == [0, 0, 1, 1]
    assert columns.tolist() == [0, 1, 1, 2]
    np.testing.assert_allclose(weights, [3 / 5, 2 / 5, 2 / 6, 4 / 6])
