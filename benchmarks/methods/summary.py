"""The two-way check as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from common.tables import aligned

from methods.checking import Checked
from methods.outcome import Agreement, Outcome, Preference


def shown(checked: Checked) -> Iterator[str]:
    """Tables and reasons, line by line."""
    yield checked.title
    yield _table(checked.outcomes, checked.preferences)
    for outcome in checked.outcomes:
        for reason, count in sorted(outcome.reasons.items(), key=lambda pair: -pair[1]):
            yield f"  {outcome.scorer}, no score: {reason} ({count})"
    yield ""
    yield _agreement(checked.agreements)
    yield checked.how


def _table(outcomes: Sequence[Outcome], preferences: Sequence[Preference]) -> str:
    head = (
        "", "scored", "hidden failures", "mean score", "own above another's", "n", "0.5 for unscored",
        "requests", "prompt tokens", "answer tokens",
        "tokens/explanation", "s/explanation",
    )  # fmt: skip
    return aligned([head, *map(_row, outcomes, preferences)])


def _row(outcome: Outcome, preference: Preference) -> tuple[str, ...]:
    n, told = len(outcome.pairings), outcome.served
    scores = [one.score for one in outcome.pairings if one.score is not None]
    return (
        outcome.scorer,
        f"{outcome.scored} of {n}",
        str(outcome.hidden),
        f"{sum(scores) / len(scores):.3f}" if scores else "none",
        "none" if preference.auroc is None else f"{preference.auroc:.2f}",
        str(preference.n),
        f"{preference.over_all:.2f}",
        f"{told.requests:,}",
        f"{told.prompt_tokens:,}",
        f"{told.completion_tokens:,}",
        f"{(told.prompt_tokens + told.completion_tokens) / n:,.0f}",
        f"{outcome.seconds / n:.2f}",
    )


def _agreement(pairs: Sequence[Agreement]) -> str:
    head = ("agreement", "both scored", "r of scores", "mean difference", "values", "r of values", "mean difference")
    rows = [
        (
            f"{one.first} : {one.second}",
            str(one.n),
            _number(one.correlation),
            _number(one.difference),
            f"{one.values_n:,}",
            _number(one.values_correlation),
            _number(one.values_difference),
        )
        for one in pairs
    ]
    return aligned([head, *rows])


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4f}"
