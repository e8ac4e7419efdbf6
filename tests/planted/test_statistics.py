"""The numbers of the benchmark, each beside a slow twin, on scores that are made up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy.stats import somersd

from autointerp.benchmark_rows import BenchmarkRow, PlantedScore
from autointerp.metrics.differences import superiority
from autointerp.metrics.intervals import Resampling
from autointerp.metrics.metrics import CONSTANT_PREDICTION
from autointerp.planted.meanings import (
    DESCRIPTION,
    FORMS,
    KINDS,
    NEAR_MISS,
    NOISE,
    OTHER,
    TOO_BROAD,
    TOO_NARROW,
    TRUE,
    WORD_LIST,
    WRONG,
)
from autointerp.planted.pairings import EXPLANATIONS, NONE
from autointerp.planted.sight import Sight, sight
from autointerp.planted.statistics import (
    AGAINST_NOISE,
    BLIND,
    BOTH,
    DEVELOPMENT,
    RANKS,
    SEEN,
    TEST,
    Cost,
    Scores,
    above_chance_of,
    calibration_of,
    rows_of,
    somers_d,
    with_unscored_at_chance,
)

PLAN, COST = Resampling(1000, 0.95), Cost(12.0, None)


def score(
    unit: str, sort: str, value: float | None, reason: str = "", test: bool = True, foil: str = "", method: str = "lift"
) -> PlantedScore:
    """Of `KIND/MEANING/FORM`."""
    kind = unit.split("/")[0]
    status = "ok" if value is not None else "unscored"
    form, half = "" if sort == NONE else DESCRIPTION, TEST if test else DEVELOPMENT
    return PlantedScore(method, f"planted/{unit}", kind, half, False, 0.01, sort, form, foil, "", value, status, reason)


def scored(unit: str, values: Sequence[float | None], test: bool = True) -> list[PlantedScore]:
    """In the order of EXPLANATIONS; None: the answer could not be read."""
    found = zip(EXPLANATIONS, values, strict=True)
    return [score(unit, sort, value, "" if value is not None else "no JSON", test) for sort, value in found]


@cache
def made() -> tuple[PlantedScore, ...]:
    rng = np.random.default_rng(0)
    kinds = [kind for kind in KINDS if kind != NOISE]
    found: list[PlantedScore] = []
    for n in range(88):
        unit, test = f"{kinds[n % 11]}/x{n}/binary", n // 11 % 2 == 0
        values = [round(float(v), 1) if v > 0.07 else None for v in rng.random(5)]
        found += scored(unit, values, test)
        more = [round(float(v), 1) if v > 0.07 else None for v in rng.random(n % 5)]
        found += [score(unit, OTHER, v, "" if v is not None else "no JSON", test, f"f{i}") for i, v in enumerate(more)]
    noise = [score(f"noise/n{n}/binary", OTHER, float(rng.random()), test=n % 2 == 0) for n in range(6)]
    return tuple(found + noise)


@cache
def rows(scores: tuple[PlantedScore, ...]) -> tuple[BenchmarkRow, ...]:
    return tuple(rows_of(Scores(scores), COST, PLAN, 0))


def row_of(scores: Sequence[PlantedScore], wrong: str, kind: str = SEEN, half: str = TEST) -> BenchmarkRow:
    (found,) = (r for r in rows(tuple(scores)) if (r.wrong, r.kind, r.half) == (wrong, kind, half))
    return found


@pytest.mark.parametrize("kind", [SEEN, BLIND, "form"])
@pytest.mark.parametrize("half", [TEST, DEVELOPMENT, BOTH])
@pytest.mark.parametrize("wrong", WRONG)
def test_auroc_null_and_coverage_are_those_of_a_loop(wrong: str, half: str, kind: str) -> None:
    scores = made()
    row = row_of(scores, wrong, kind, half)
    aurocs, nulls, asked, counted = [], [], [], 0
    for s in scores:
        blind = s.kind in ("position", "after", "before")
        if s.explanation != TRUE or half not in (s.half, BOTH) or kind not in (s.kind, BLIND if blind else SEEN):
            continue
        wrongs = [o.value for o in scores if (o.unit, o.explanation) == (s.unit, wrong)]
        others = [o.value for o in scores if (o.unit, o.explanation) == (s.unit, OTHER) and o.value is not None]
        true = s.value
        asked.append(len(wrongs))
        wins = [1 if true > v else 0.5 if true == v else 0 for v in wrongs if v is not None and true is not None]
        counted += len(wins)
        aurocs += [np.mean(wins)] if wins else []
        nulls += [np.mean(others)] if others else []
    assert row.auroc == pytest.approx(np.mean(aurocs))
    assert row.null_mean == pytest.approx(np.mean(nulls))
    assert (row.n, row.coverage, row.foils) == (len(aurocs), counted / sum(asked), sum(asked) / len(asked))
    assert (row.foils == 1) == (wrong != OTHER)
    assert row.low is not None
    assert row.high is not None
    assert row.low <= np.mean(aurocs) <= row.high
    assert (row.tokens_per_unit, row.seconds_per_unit) == (12.0, None)


def test_a_method_is_never_pooled_over_what_it_sees_and_what_it_does_not() -> None:
    for method in ("lift", "lift-next", "detection", "lookup"):
        for form in FORMS:
            kinds = {kind: sight(method, kind, form) for kind in KINDS if kind != NOISE}
            scores = Scores([replace(s, method=method, form=form) for s in made()])
            for pool in (SEEN, BLIND):
                found = {told[TRUE][0].kind for told in scores.units(BOTH, pool, form)}
                assert found == {kind for kind, seen in kinds.items() if seen == pool}
    assert {sight("detection", kind) for kind in KINDS} == {Sight.SEEN}
    assert sight("lift", "after") is sight("literal", "position") is Sight.BLIND
    assert sight("lift", "after", WORD_LIST) is Sight.PARTLY, "its words are said"
    assert sight("reader", "after") is Sight.PARTLY, "it sees whether the token before is named"
    assert [kind for kind in KINDS if kind != NOISE and sight("lift-next", kind) is Sight.SEEN] == ["before"]


def test_a_tie_counts_half() -> None:
    assert [above_chance_of(0.2, 0.1), above_chance_of(0.1, 0.1), above_chance_of(0.1, 0.2)] == [1.0, 0.5, 0.0]


def test_a_meaning_in_two_forms_counts_once() -> None:
    right, wrong = [1.0, 0.0, 0.0, 0.0, 0.0], [0.0, 1.0, 1.0, 1.0, 1.0]
    scores = [*scored("form/a/binary", right), *scored("form/a/graded", wrong), *scored("form/b/binary", right)]
    row = row_of(scores, NEAR_MISS)
    assert row.auroc == pytest.approx((0.5 + 1) / 2)
    assert row.n == 2, "meanings, not their forms"


def test_noise_has_a_null_and_nothing_else() -> None:
    row = row_of(made(), OTHER, NOISE)
    assert (row.auroc, row.low, row.high, row.n, row.coverage) == (None, None, None, 3, 1.0)
    assert row.null_mean is not None
    assert not [r for r in rows(made()) if r.kind == NOISE and r.wrong != OTHER]


def test_noise_is_no_part_of_the_pooled_kinds() -> None:
    scores = made()
    without = tuple(s for s in scores if s.kind != NOISE)
    for kind in (SEEN, BLIND):
        assert row_of(scores, OTHER, kind) == row_of(without, OTHER, kind)


def test_a_constant_prediction_is_compared_as_knowing_nothing_and_another_failure_is_left_out() -> None:
    scores = [
        *scored("form/a/binary", [0.3, 0.0, 0.0, 0.0, 0.0])[:4],
        score("form/a/binary", OTHER, None, CONSTANT_PREDICTION.reason),
        *scored("form/b/binary", [-0.1, 0.0, 0.0, 0.0, 0.0])[:4],
        score("form/b/binary", OTHER, None, CONSTANT_PREDICTION.reason),
        *scored("form/c/binary", [0.3, None, 0.0, 0.0, None]),
    ]
    row = row_of(scores, OTHER)
    assert (row.auroc, row.n, row.null_mean) == (0.5, 2, 0.0)
    assert row.coverage == pytest.approx(2 / 3)
    assert Scores(scores).reasons == {CONSTANT_PREDICTION.reason: 2, "no JSON": 2}
    assert with_unscored_at_chance(Scores(scores), TEST, SEEN, DESCRIPTION, NEAR_MISS) == pytest.approx(
        (1 + 0 + 0.5) / 3
    )
    assert row_of(scores, NEAR_MISS).auroc == pytest.approx((1 + 0) / 2)


def test_a_method_that_reads_no_explanation_is_held_against_noise() -> None:
    rng = np.random.default_rng(1)
    meaning, noise = rng.normal(0.5, 1, 20).round(1), rng.normal(0, 1, 8).round(1)
    scores = [score(f"form/x{n}/binary", NONE, float(v)) for n, v in enumerate(meaning)]
    scores += [score(f"noise/n{n}/binary", NONE, float(v)) for n, v in enumerate(noise)]
    assert {(r.kind, r.wrong, r.half) for r in rows(tuple(scores))} == {
        (kind, AGAINST_NOISE, half) for kind in (SEEN, "form") for half in (TEST, BOTH)
    }
    row = row_of(scores, AGAINST_NOISE)
    assert row.auroc == pytest.approx(superiority(meaning, noise))
    assert row.null_mean == pytest.approx(noise.mean())
    assert row.low is not None
    assert row.high is not None
    drawn = np.random.default_rng(2)
    slow = [superiority(drawn.choice(meaning, 20), drawn.choice(noise, 8)) for _ in range(3000)]
    np.testing.assert_allclose([row.low, row.high], np.quantile(slow, [0.025, 0.975]), atol=0.03)


def test_order_is_somers_d() -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        values = rng.integers(0, 4, size=5).astype(float).tolist()
        expected = somersd([RANKS[sort] for sort in EXPLANATIONS], values).statistic
        assert somers_d({sort: [v] for sort, v in zip(EXPLANATIONS, values, strict=True)}) == pytest.approx(expected)
    assert somers_d({TRUE: [3.0], TOO_BROAD: [2.0], TOO_NARROW: [1.0], NEAR_MISS: [0.0], OTHER: [0.5]}) == 1
    assert somers_d({sort: [0.5] for sort in EXPLANATIONS}) == 0
    assert somers_d({TRUE: [1.0], OTHER: [0.0, 2.0]}) == 0, "of two foils one is above"


def test_calibration_is_of_the_frozen_half_and_of_units_without_a_gap() -> None:
    scores = [
        *scored("form/a/binary", [0.9, 0.1, 0.5, 0.4, 0.0]),
        *scored("form/b/binary", [0.1, 0.9, 0.5, 0.4, 1.0]),
        *scored("form/c/binary", [0.8, None, 0.5, 0.4, 0.0]),
        *scored("form/d/binary", [0.0] * 5, test=False),
    ]
    found = calibration_of(Scores(scores), DESCRIPTION, PLAN, 0)
    assert found.n == 2
    assert found.order.value == pytest.approx((1 - 1) / 2)
    assert found.means[TRUE].value == pytest.approx((0.9 + 0.1 + 0.8) / 3)


def test_the_same_scores_give_the_same_rows() -> None:
    assert tuple(rows_of(Scores(made()), COST, PLAN, 0)) == rows(made())
