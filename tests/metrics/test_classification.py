from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autointerp.errors import BadInput
from autointerp.metrics.classification import ACCURACY, CLASSIFICATIONS, classify
from autointerp.records import Unscored

ITEMS = st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.5, 0.51, 0.9, 1.0])), min_size=2, max_size=12)


def slow(metric: str, items: list[tuple[bool, float]]) -> float:
    """Counting, item by item and pair by pair."""
    tp = sum(t and p > 0.5 for t, p in items)
    fn = sum(t and p <= 0.5 for t, p in items)
    fp = sum(not t and p > 0.5 for t, p in items)
    tn = sum(not t and p <= 0.5 for t, p in items)
    if metric == "balanced_accuracy":
        return (tp / (tp + fn) + tn / (tn + fp)) / 2
    if metric == "f1":
        precision, recall = tp / (tp + fp) if tp + fp else 0.0, tp / (tp + fn)
        return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    pairs = [(p, q) for t, p in items if t for u, q in items if not u]
    return sum((p > q) + 0.5 * (p == q) for p, q in pairs) / len(pairs)


@pytest.mark.parametrize("metric", CLASSIFICATIONS)
@given(items=ITEMS)
def test_scores_equal_counting_by_hand(metric: str, items: list[tuple[bool, float]]) -> None:
    found = classify(metric, np.array([t for t, _ in items]), np.array([p for _, p in items]))
    if len({t for t, _ in items}) < 2:
        assert found == Unscored("the judged items are all of one kind")
    else:
        assert found == pytest.approx(slow(metric, items), abs=1e-12)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_chance_is_what_answers_that_know_nothing_get(share: float) -> None:
    truth = np.arange(1000) < 1000 * share
    yes = np.ones(1000)
    assert classify("f1", truth, yes) == pytest.approx(CLASSIFICATIONS["f1"].chance(share))
    for metric in ("balanced_accuracy", "auroc"):
        assert classify(metric, truth, yes) == CLASSIFICATIONS[metric].chance(share) == 0.5
        guesses = np.random.default_rng(0).random(1000)
        assert classify(metric, truth, guesses) == pytest.approx(0.5, abs=0.1)


def test_an_unknown_metric_is_named() -> None:
    with pytest.raises(BadInput, match="no metric 'f2' of judgements: did you mean 'f1'"):
        classify("f2", np.array([True, False]), np.array([1.0, 0.0]))


def test_accuracy_is_the_share_of_trials_whose_true_item_got_most() -> None:
    """Right; wrong; a tie of two; and one that gives every item the same."""
    truth = np.array([0, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 1], dtype=bool)
    given = np.array([0.1, 0.8, 0.1, 0.6, 0.1, 0.3, 0.5, 0.5, 0.0, 0.3, 0.3, 0.3])
    assert classify("accuracy", truth, given) == pytest.approx((1 + 0 + 1 / 2 + 1 / 3) / 4)
    assert ACCURACY.chance(1 / 3) == pytest.approx(1 / 3)
    guesses = np.random.default_rng(0).random(5000)
    assert classify("accuracy", np.arange(5000) % 5 == 2, guesses) == pytest.approx(0.2, abs=0.05)


@pytest.mark.parametrize("truth", [[1, 0, 1], [1, 1, 0, 0], [1, 0, 0, 1, 0]])
def test_items_that_are_no_trials_have_no_accuracy(truth: list[int]) -> None:
    found = classify("accuracy", np.array(truth, dtype=bool), np.linspace(0, 1, len(truth)))
    assert found == Unscored("the judged items are no trials with one true item each")
