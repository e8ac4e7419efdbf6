"""Which published contexts may score: never those that count as seen, nor what shares text with one of them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from autointerp.exchange.arriving import context_length
from autointerp.exchange.held_apart import COVERED, PlacedRow, WindowRow, held_apart
from autointerp.exchange.outgoing import Interval
from autointerp.exchange.spelling import speller
from autointerp.records import Kind, Split


def window(
    name: str, peak: float, interval: Interval | None = None, pieces: tuple[str, ...] | None = None
) -> WindowRow:
    """20 tokens of its own, and one activation."""
    values = np.zeros(20, dtype=np.float32)
    values[3] = peak
    return WindowRow(name, pieces or tuple(f"{name}.{n}" for n in range(20)), values, interval)


def drawn(shares: tuple[float, ...], each: int) -> list[WindowRow]:
    return [
        window(f"{band}-{n}", band + n / 100, (float(band), band + 1.0, share))
        for band, share in enumerate(shares)
        for n in range(each)
    ]


def of(placed: list[PlacedRow], split: Split, kind: str) -> list[PlacedRow]:
    return [one for one in placed if (one.split, one.kind) == (split, kind)]


def test_the_largest_maxima_are_seen_whatever_they_were_drawn_for() -> None:
    rows = [window("weak", 1.0), *drawn((0.5, 0.5), 2), window("strong", 9.0)]
    placed = held_apart(rows, 2, 9, False, Counter())
    assert [rows[one.row].id for one in of(placed, Split.EVIDENCE, Kind.TOP)] == ["strong", "1-1"]
    held = of(placed, Split.HELD_OUT, Kind.TOP)
    assert [rows[one.row].id for one in held] == ["weak", "1-0", "0-1", "0-0"]


def test_random_ones_are_as_many_of_each_interval_as_its_share_of_the_tokens_says() -> None:
    rows = drawn((0.6, 0.3, 0.1), 12)
    placed = of(held_apart(rows, 0, 3, False, Counter()), Split.HELD_OUT, Kind.RANDOM)
    assert Counter(rows[one.row].id[0] for one in placed) == {"0": 12, "1": 6, "2": 2}
    assert sum(one.share or 0 for one in placed) == pytest.approx(1)


def test_where_intervals_leave_out_the_silent_text_nothing_stands_for_ordinary_text() -> None:
    """And with bands wanted, each row stands for its part of the interval's share."""
    low = COVERED - 0.1
    placed = held_apart(drawn((low - 0.2, 0.2), 4), 0, 3, True, Counter())
    assert of(placed, Split.HELD_OUT, Kind.RANDOM) == []
    assert [one.share for one in of(placed, Split.HELD_OUT, "quantile-1")] == [0.05] * 4
    assert [one.kind for one in placed] == ["top"] * 3 + ["quantile-0"] * 4 + ["quantile-1"] * 4


def test_a_run_of_16_tokens_in_common_with_a_seen_one_is_not_held_out_and_padding_does_not_count() -> None:
    seen = window("seen", 9.0)
    shifted = window("shifted", 2.0, pieces=(*seen.pieces[4:], "a", "b", "c", "d"))
    near = window("near", 1.0, pieces=(*seen.pieces[5:], "a", "b", "c", "d", "e"))
    padded = [window(f"p{n}", 0.5 - n / 10, pieces=("<pad>",) * 17 + (f"{n}", "x", "y")) for n in range(2)]
    left_out = Counter[str]()
    rows = [seen, shifted, near, *padded]
    placed = held_apart(rows, 1, 9, False, left_out)
    assert [rows[one.row].id for one in of(placed, Split.HELD_OUT, Kind.TOP)] == ["near", "p0", "p1"]
    assert sum(left_out.values()) == 1


def test_the_length_of_contexts_keeps_most_tokens() -> None:
    assert context_length([128] * 9 + [5]) == 128
    assert context_length([128] * 9 + [100]) == 128
    assert context_length([128] * 9 + [120]) == 120
    assert context_length([10, 11, 300]) == 300
    assert context_length([]) == 0


def test_tokens_are_spelled_as_text_whatever_marks_they_carry() -> None:
    assert speller([[" a", "b"], ["Ġodd", " c"]])(["Ġodd", " c"]) == ("Ġodd", " c")
    byte_level = [["ĠcafÃ", "©", "Ċ", "Ġnext"], ["Ġx"]]
    assert speller(byte_level)(byte_level[0]) == (" caf", "é", "\n", " next")
    assert speller(byte_level)(["Ã", "Ġx", "Ã"]) == ("", "\ufffd x", "\ufffd")
    pieces = [["▁the", "<0xC3>", "<0xA9>", "▁▁end"], ["▁x"]]
    assert speller(pieces)(pieces[0]) == (" the", "", "é", "  end")
    assert speller([["\ud800x"]])(["\ud800x"]) == ("?x",)
