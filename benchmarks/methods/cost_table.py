"""The cost table as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from common.tables import aligned

from methods.counting import Row
from methods.rival_costs import PUBLISHED, RivalRow

_HEAD = ("", "", "", "requests", "prompt", "in the prefix", "right answers", "at most", "prompt + right", "goal")


def shown(ours: Sequence[Row], rivals: Sequence[RivalRow], units: int) -> Iterator[str]:
    """Table and goals, line by line."""
    yield f"tokens per unit, mean over {units} planted units; what several units share is counted once"
    yield aligned([_HEAD, *map(_ours, ours)], left=3)
    yield ""
    yield aligned([("the field", "requests", "prompt", "in the prefix"), *map(_rival, rivals)])
    yield ""
    yield aligned([("as measured in our design notes", "tokens"), *((r.method, f"{r.tokens:,.0f}") for r in PUBLISHED)])
    yield ""
    for row in ours:
        if row.goal is not None:
            verdict = "MISSED" if row.missed else "met"
            yield f"{row.method}, {row.where}: goal of {row.goal:,} {verdict} ({row.prompt + row.right:,.0f})"


def _ours(row: Row) -> tuple[str, ...]:
    return (
        row.form,
        row.method,
        row.where,
        f"{row.requests:.1f}",
        f"{row.prompt:,.0f}",
        _share(row.shared),
        f"{row.right:,.0f}",
        f"{row.most:,.0f}",
        f"{row.prompt + row.right:,.0f}",
        "" if row.goal is None else f"{row.goal:,}",
    )


def _rival(row: RivalRow) -> tuple[str, ...]:
    requests = "?" if row.requests is None else f"{row.requests:.1f}"
    return row.method, requests, f"{row.tokens:,.0f}", _share(row.shared)


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"
