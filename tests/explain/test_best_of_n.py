from __future__ import annotations

import math
from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autointerp.errors import BadInput
from autointerp.explain.best_of_n import Choice, choose, plan
from autointerp.records import Candidate, Unscored

DEFAULT = {"exemplars": False, "phrase": True}


def candidate(text: str) -> Candidate:
    return Candidate(text, "exemplars")


def test_the_default_plan() -> None:
    shares = plan(DEFAULT, 12, 1 / 3, signed=True)
    assert shares.counts(1) == {"exemplars": 8, "phrase": 4}
    assert shares.counts(2) == {"exemplars": 4, "phrase": 2}


@given(
    candidates=st.integers(1, 60),
    share=st.floats(0, 1),
    signed=st.booleans(),
    kinds=st.lists(st.booleans(), min_size=1, max_size=4),
)
def test_every_unit_gets_the_same_number_of_the_same_composition(
    candidates: int, share: float, signed: bool, kinds: list[bool]
) -> None:
    """Or is refused: where two orientations can't share equally, or an explainer whose kind has a share gets none."""
    methods = {f"m{i}": asks for i, asks in enumerate(kinds)}
    rounds, rest = divmod(candidates, 2 if signed else 1)
    of_kind = {asks: kinds.count(asks) for asks in set(kinds)}
    written_rounds = floor(rounds * share + 0.5) if len(of_kind) == 2 else rounds * kinds[0]
    dealt = {True: written_rounds, False: rounds - written_rounds}
    wanted = {True: share, False: 1 - share} if len(of_kind) == 2 else {kinds[0]: 1.0}
    if rest or rounds == 0 or any(dealt[asks] < number and wanted[asks] > 0 for asks, number in of_kind.items()):
        with pytest.raises(BadInput):
            plan(methods, candidates, share, signed)
        return
    made = plan(methods, candidates, share, signed)
    one = made.counts(1)
    assert sum(one.values()) == candidates
    assert all(one.values())
    if signed:
        assert {name: 2 * count for name, count in made.counts(2).items()} == one
    written = sum(count for name, count in one.items() if methods[name])
    if len(set(kinds)) == 2:
        assert abs(written - share * candidates) <= (1 if signed else 0.5) + 1e-9
    for asks in (True, False):
        counts = [one.get(name, 0) for name in methods if methods[name] == asks]
        assert max(counts, default=0) - min(counts, default=0) <= (2 if signed else 1)


def test_a_share_of_none_leaves_that_kind_out() -> None:
    assert plan(DEFAULT, 6, 0.0, signed=True).counts(1) == {"exemplars": 6}
    assert plan(DEFAULT, 6, 1.0, signed=True).counts(1) == {"phrase": 6}
    assert plan({"phrase": True}, 6, 0.1, signed=True).counts(1) == {"phrase": 6}


@pytest.mark.parametrize(("candidates", "signed", "says"), [
    (7, True, "candidates = 7 can't be shared equally"), (1, True, "candidates = 1 can't be shared equally"),
    (2, True, "leaves none for 'phrase'"), (1, False, "leaves none for 'phrase'"),
])  # fmt: skip
def test_what_can_t_be_shared_fairly_is_refused(candidates: int, signed: bool, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        plan(DEFAULT, candidates, 1 / 3, signed)


def test_a_plan_without_signed_units_can_t_be_halved() -> None:
    with pytest.raises(ValueError, match="can't be shared equally by 2 orientations"):
        plan(DEFAULT, 9, 1 / 3, signed=False).counts(2)


def test_the_highest_finite_score_wins_and_the_first_of_equals() -> None:
    names = [candidate(t) for t in "abcdef"]
    scores: list[float | Unscored] = [0.1, math.nan, Unscored("constant prediction"), 0.5, 0.5, math.inf]
    assert choose(names, scores) == Choice(3, names[3], 0.5)
    assert choose([candidate("a")], [-0.5]) == Choice(0, candidate("a"), -0.5)


def test_a_failed_candidate_never_wins() -> None:
    assert choose([Unscored("empty answer"), candidate("b")], [0.9, 0.1]) == Choice(1, candidate("b"), 0.1)


def test_when_all_fail_the_most_common_reason_is_kept() -> None:
    failed: list[Candidate | Unscored] = [Unscored("empty answer"), candidate("a"), candidate("b")]
    flat = Unscored("constant prediction")
    assert choose(failed, [flat, flat, flat]) == Unscored("no candidate could be ranked: constant prediction")
    assert choose([candidate("a")], [math.nan]) == Unscored(
        "no candidate could be ranked: the score on evidence is not finite"
    )
    assert choose([], []) == Unscored("no candidate was proposed")
    with pytest.raises(ValueError):
        choose([candidate("a")], [])
