"""Taking parts away: occlusion and LIME against what can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from autointerp.attribution.faithfulness import SHARES, counted, curve, faithfulness, order
from autointerp.attribution.masks import LIME_WIDTH, Masks, lime, lime_masks, occlusion, weighted_ridge

WEIGHTS = np.array([[0.5, 0.0], [0.2, -1.0], [0.0, 0.3], [-0.4, 0.1], [0.1, 0.0]])


def linear(masks: Masks) -> np.ndarray:
    return np.asarray(masks @ WEIGHTS + np.array([0.3, 0.7]))


def test_of_a_linear_model_both_find_the_weights() -> None:
    assert_allclose(occlusion(linear, 5), WEIGHTS, atol=1e-12)
    found = lime(linear, 5, 4000, np.random.default_rng(0), ridge=1e-6)
    assert_allclose(found, WEIGHTS, atol=1e-6)


def test_the_ridge_is_a_plain_least_squares_of_weighted_rows_with_an_unpenalised_intercept() -> None:
    rng = np.random.default_rng(1)
    masks = lime_masks(6, 60, rng)
    scores = rng.normal(size=(60, 3))
    found = weighted_ridge(masks, scores, ridge=2.0)
    rows = np.array([row.sum() / np.sqrt(6 * row.sum()) if row.any() else 0.0 for row in masks])
    weights = np.sqrt(np.exp(-((1 - rows) ** 2) / LIME_WIDTH**2))  # as the authors' package writes it
    design = np.column_stack([np.ones(60), masks]) * np.sqrt(weights)[:, None]
    penalty = np.sqrt(2.0) * np.eye(7)[1:]
    slow, *_ = np.linalg.lstsq(
        np.vstack([design, penalty]), np.vstack([scores * np.sqrt(weights)[:, None], np.zeros((6, 3))]), rcond=None
    )
    assert_allclose(found, slow[1:], atol=1e-10)


def test_draws_take_every_number_of_parts_away_alike_often() -> None:
    masks = lime_masks(4, 4001, np.random.default_rng(2))
    assert masks[0].all()
    taken = np.bincount((~masks[1:]).sum(axis=1), minlength=5)
    assert taken[0] == 0
    assert np.all(np.abs(taken[1:] - 1000) < 120)


def test_faithfulness_is_what_a_loop_finds() -> None:
    rng = np.random.default_rng(3)
    inner = rng.normal(size=(12, 2))

    def score(masks: Masks) -> np.ndarray:
        return np.asarray(1 / (1 + np.exp(-(masks @ inner))))

    importance = rng.normal(size=(12, 2))
    found = faithfulness(score, importance, rng)
    for target, each in enumerate(found):
        ranked = sorted(range(12), key=lambda part, t=target: -importance[part, t])  # type: ignore[misc]

        def of(kept: set[int], t: int = target) -> float:
            return float(score(np.array([[part in kept for part in range(12)]]))[0, t])

        everything = set(range(12))
        tops = [set(ranked[: counted(share, 12)]) for share in SHARES]
        assert each.whole == pytest.approx(of(everything))
        assert each.comprehensiveness == pytest.approx(np.mean([each.whole - of(everything - top) for top in tops]))
        assert each.sufficiency == pytest.approx(np.mean([each.whole - of(top) for top in tops]))
        down = [of(everything - set(ranked[:taken])) for taken in curve(12)]
        up = [of(set(ranked[:taken])) for taken in curve(12)]
        shares = [taken / 12 for taken in curve(12)]
        assert each.deletion == pytest.approx(np.trapezoid(down, shares))
        assert each.insertion == pytest.approx(np.trapezoid(up, shares))
        assert each.flip == next((s for s, value in zip(shares, down, strict=True) if value < 0.5), 1.0)


def test_equal_parts_are_ordered_by_chance_and_all_parts_are_ordered() -> None:
    firsts = {int(order(np.zeros(4), np.random.default_rng(seed))[0]) for seed in range(40)}
    assert firsts == {0, 1, 2, 3}
    assert order(np.array([0.0, 3.0, -1.0, 2.0]), np.random.default_rng(0)).tolist() == [1, 3, 0, 2]
    assert curve(3) == [0, 1, 2, 3]
    assert curve(100) == list(range(0, 101, 10))
