from collections import Counter
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from autointerp.contexts.pairing import OTHER_KIND, OWN, Pair, Sampled, derangements
from autointerp.errors import BadInput
from autointerp.records import Unscored


def test_every_row_is_a_permutation_without_a_fixed_point() -> None:
    drawn = derangements(17, 40, np.random.default_rng(0))
    assert drawn.shape == (40, 17)
    assert (np.sort(drawn, axis=1) == np.arange(17)).all()
    assert not (drawn == np.arange(17)).any()


def test_all_derangements_are_equally_likely() -> None:
    possible = [p for p in permutations(range(4)) if all(i != v for i, v in enumerate(p))]
    counts = Counter(tuple(int(v) for v in row) for row in derangements(4, 9000, np.random.default_rng(0)))
    assert set(counts) == set(possible)
    expected = 9000 / len(possible)
    assert sum((counts[p] - expected) ** 2 / expected for p in possible) < 26  # chi-square, 8 degrees, p > 0.001


def test_the_seed_decides() -> None:
    first, again, other = (derangements(9, 16, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert (first == again).all()
    assert (first != other).any()


def test_two_units_can_only_swap() -> None:
    assert derangements(2, 3, np.random.default_rng(0)).tolist() == [[1, 0]] * 3


def test_none_asked_for_gives_none() -> None:
    assert derangements(3, 0, np.random.default_rng(0)).shape == (0, 3)


@pytest.mark.parametrize("n", [0, 1])
def test_a_lonely_unit_has_no_derangement(n: int) -> None:
    with pytest.raises(BadInput, match="no other unit in the arm"):
        derangements(n, 16, np.random.default_rng(0))


def test_whose_words_are_listed() -> None:
    """Beside another unit's explanation the unit's own words are left out too: so both are scored on like tokens."""
    one, other = Sampled("a", "feature", "about a", {}), Sampled("b", "feature", "about b", {})
    nothing = Sampled("c", "feature", Unscored("failed"), {})
    assert Pair(one, one, OWN).texts == ("about a",)
    assert Pair(one, other, 0).texts == ("about a", "about b")
    assert Pair(nothing, other, 3).texts == ("about b",)
    assert Pair(one, nothing, 3).texts == ("about a",)
    assert Pair(one, replace(one, explanation="words such as a"), OTHER_KIND).texts == ("words such as a",)
