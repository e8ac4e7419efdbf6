from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from autointerp.judge.interface import Case, HeldOut
from autointerp.judge.items import TOO_FEW_ACTIVE, TOO_FEW_HARD, TOO_FEW_INACTIVE, draw_contexts
from autointerp.records import Unscored
from tests.judge.doubles import held_out, mixed


def contexts(active: int, silent: int, hard: int) -> tuple[HeldOut, ...]:
    """Ids from 0 are active, from 100 silent and random, from 300 hard negatives; 200 was not drawn blindly."""
    resembling = (replace(held_out(300 + i, 0.0, random=False), hard=True) for i in range(hard))
    return (*mixed(active, silent), held_out(200, 0.0, random=False), *resembling)


def sizes(active: int, silent: int, hard: int, negatives: str, each: int = 5) -> tuple[int, int, int]:
    """Active, random and hard contexts in one draw."""
    drawn = draw_contexts(Case("e", contexts(active, silent, hard)), each, negatives, np.random.default_rng(0))
    assert not isinstance(drawn, Unscored)
    ids = [c.context.context for part in drawn for c in part]
    assert len(set(ids)) == len(ids)
    assert 200 not in ids
    assert all(c.peak > 0 for c in drawn[0])
    assert all(c.peak == 0 for c in drawn[1])
    return len(drawn[0]), sum(not c.hard for c in drawn[1]), sum(c.hard for c in drawn[1])


@pytest.mark.parametrize(
    ("there", "negatives", "found"),
    [
        ((9, 9, 9), "random", (5, 5, 0)),
        ((9, 9, 9), "hard", (5, 0, 5)),
        ((9, 9, 9), "mixed", (5, 3, 2)),
        ((9, 9, 1), "mixed", (3, 2, 1)),
        ((9, 1, 9), "mixed", (2, 1, 1)),
        ((9, 2, 9), "mixed", (4, 2, 2)),
        ((4, 9, 9), "mixed", (4, 2, 2)),
        ((9, 9, 3), "hard", (3, 0, 3)),
        ((9, 9, 0), "random", (5, 5, 0)),
    ],
)
def test_as_many_active_as_inactive_in_the_proportions_that_were_asked_for(
    there: tuple[int, int, int], negatives: str, found: tuple[int, int, int]
) -> None:
    assert sizes(*there, negatives) == found


@pytest.mark.parametrize(
    ("there", "negatives", "reason"),
    [
        ((1, 9, 9), "mixed", TOO_FEW_ACTIVE),
        ((9, 0, 9), "mixed", TOO_FEW_INACTIVE),
        ((9, 9, 0), "mixed", TOO_FEW_HARD),
        ((9, 9, 1), "hard", TOO_FEW_HARD),
        ((9, 0, 0), "hard", TOO_FEW_HARD),
        ((9, 1, 9), "random", TOO_FEW_INACTIVE),
    ],
)
def test_what_is_missing_is_named(there: tuple[int, int, int], negatives: str, reason: Unscored) -> None:
    assert draw_contexts(Case("e", contexts(*there)), 5, negatives, np.random.default_rng(0)) == reason


def test_every_context_of_a_sort_is_drawn_in_the_long_run_and_the_explanation_says_nothing() -> None:
    seen: set[int] = set()
    for seed in range(60):
        pair = [draw_contexts(Case(e, contexts(8, 8, 8)), 5, "mixed", np.random.default_rng(seed)) for e in ("a", "bb")]
        ids = [[c.context.context for part in drawn for c in part] for drawn in pair if not isinstance(drawn, Unscored)]
        assert ids[0] == ids[1]
        seen |= set(ids[0])
    assert seen == {*range(8), *range(100, 108), *range(300, 308)}


def test_hard_negatives_that_are_not_asked_for_change_no_draw() -> None:
    with_hard, without = (
        draw_contexts(Case("e", contexts(8, 8, hard)), 5, "random", np.random.default_rng(4)) for hard in (9, 0)
    )
    assert not isinstance(with_hard, Unscored)
    assert not isinstance(without, Unscored)
    assert [[c.context.context for c in part] for part in with_hard] == [
        [c.context.context for c in part] for part in without
    ]
