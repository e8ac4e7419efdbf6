from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autointerp.judge.fuzzing import exchange


def drawn(seed: int, contexts: int, tokens: int, density: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    marked = rng.random((contexts, tokens)) < density
    marked[marked.sum(axis=1) == 0, 0] = True
    return marked, ~marked & (rng.random((contexts, tokens)) < 0.9)


def fits(marked: np.ndarray, free: np.ndarray, one: int, other: int) -> bool:
    """Token by token."""
    places = range(marked.shape[1])
    mine, yours = ([p for p in places if marked[c, p]] for c in (one, other))
    return all(free[other, p] for p in mine) and all(free[one, p] for p in yours)


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(1, 9), st.integers(1, 9), st.sampled_from([0.1, 0.3, 0.6]))
def test_marks_go_round_among_contexts_that_can_take_them(seed: int, contexts: int, most: int, density: float) -> None:
    marked, free = drawn(seed, contexts, 8, density)
    pairs = exchange(marked, free, most, np.random.default_rng(seed))
    takers, givers = [taker for taker, _ in pairs], [giver for _, giver in pairs]
    assert len(pairs) <= most
    assert len(set(takers)) == len(takers)
    assert sorted(takers) == sorted(givers)
    for taker, giver in pairs:
        assert taker != giver
        assert fits(marked, free, taker, giver)


@pytest.mark.parametrize("seed", range(25))
def test_as_many_exchange_as_can(seed: int) -> None:
    marked, free = drawn(seed, 5, 6, 0.3)
    rounds = (
        [(taker, giver) for taker, giver in enumerate(order) if taker != giver] for order in permutations(range(5))
    )
    possible = max(len(r) for r in rounds if all(fits(marked, free, *pair) for pair in r))
    assert len(exchange(marked, free, 5, np.random.default_rng(seed))) == possible


def test_who_can_not_exchange_gives_way_to_those_who_wait() -> None:
    """Five contexts with marks in one place, and two with marks in others, of seven."""
    marked = np.zeros((7, 4), dtype=bool)
    marked[:5, 0], marked[5, 1], marked[6, 2] = True, True, True
    for seed in range(20):
        pairs = exchange(marked, ~marked, 3, np.random.default_rng(seed))
        assert len(pairs) == 3
        assert {5, 6} <= {taker for taker, _ in pairs}


def test_every_exchange_is_drawn_in_the_long_run() -> None:
    marked = np.eye(4, dtype=bool)
    seen = {tuple(sorted(exchange(marked, ~marked, 4, np.random.default_rng(seed)))) for seed in range(400)}
    assert len(seen) == 9, "four things have nine derangements"
