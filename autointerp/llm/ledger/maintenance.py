"""A ledger's contents: counted, exported, pruned. It works on the file alone; no study is needed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from autointerp.errors import BadInput
from autointerp.llm.ledger.database import reading
from autointerp.llm.ledger.ledger import FILE_NAME, WHOLE, open_ledger
from autointerp.progress import aligned

_SUMMARY = """
SELECT endpoint, model, count(*), sum(finish != ?), sum(input_tokens), sum(output_tokens), min(created), max(created)
FROM answers GROUP BY endpoint, model ORDER BY endpoint, model
"""
_REASONS = "SELECT reason, count(*) FROM answers WHERE finish != ? GROUP BY reason ORDER BY count(*) DESC, reason"
_NUMBERS = "SELECT endpoint, count(*), sum(length(data)) FROM numbers GROUP BY endpoint ORDER BY endpoint"


def ledger_file(place: Path) -> Path:
    """The ledger of a run folder, or the file itself; BadInput when there is none."""
    path = place / FILE_NAME if place.is_dir() else place
    if not path.is_file():
        raise BadInput(f"no ledger {path}", "give a run folder that asked a language model, or a ledger's file")
    with open_ledger(path):  # says so when it is no ledger, and brings an old one up to date
        return path


def summary(path: Path) -> Iterator[str]:
    """Lines of an aligned table, then the reasons of failures, and the numbers of local models."""
    with reading(path) as base:
        groups = base.execute(_SUMMARY, (WHOLE,)).fetchall()
        reasons = base.execute(_REASONS, (WHOLE,)).fetchall()
        numbers = base.execute(_NUMBERS).fetchall()
    head = ("endpoint", "model", "answers", "failures", "prompt tokens", "answer tokens", "first", "last")
    yield from aligned([head, *([_cell(value) for value in group] for group in groups)], slice(2, 6))
    for reason, count in reasons:
        yield f"{count:,} x {_shown(reason)}"
    for endpoint, count, size in numbers:
        yield f"{count:,} rows of numbers by {_shown(endpoint)}, {size / 1e6:.1f} MB"


def _cell(value: Any) -> str:
    if value is None:
        return "unknown"
    return f"{value:,}" if isinstance(value, int) else _shown(str(value))


def _shown(text: str) -> str:
    """Text for a terminal: nothing in it moves the cursor."""
    return "".join(c if c.isprintable() else " " for c in text)


def export_lines(path: Path) -> Iterator[str]:
    """One JSON object per answer, in the order in which they were stored: the request as asked, and what came back."""
    columns = ("key", "endpoint", "created", "finish", "reason", "text", "input_tokens", "output_tokens")
    with reading(path) as base:
        for *plain, request, more in base.execute(
            f"SELECT {', '.join(columns)}, request, more FROM answers ORDER BY rowid"
        ):
            row = {**dict(zip(columns, plain, strict=True)), "request": json.loads(request)}
            yield json.dumps({**row, **(json.loads(more) if more else {})})


@dataclass(frozen=True)
class Chosen:
    """Which answers; every condition that is given must hold."""

    failures: bool = False
    before: datetime | None = None
    model: str | None = None
    endpoint: str | None = None
    everything: bool = False


def remove(path: Path, chosen: Chosen, *, really: bool) -> int:
    """How many answers the conditions choose; with `really` they are gone. BadInput without a condition."""
    conditions: list[tuple[str, tuple[str, ...]]] = []
    if chosen.failures:
        conditions.append(("finish != ?", (WHOLE,)))
    if chosen.before is not None:
        moment = chosen.before.astimezone(UTC).isoformat(timespec="seconds")
        conditions.append(("created < ?", (moment,)))
    if chosen.model is not None:
        conditions.append(("model = ?", (chosen.model,)))
    if chosen.endpoint is not None:
        conditions.append(("endpoint = ?", (chosen.endpoint,)))
    if not conditions and not chosen.everything:
        raise BadInput("prune needs to know what", "give --failures, --before, --model, --endpoint or --all")
    where = " AND ".join(text for text, _ in conditions) or "1"
    values = [value for _, given in conditions for value in given]
    with reading(path) as base:
        if not really:
            return int(base.execute(f"SELECT count(*) FROM answers WHERE {where}", values).fetchone()[0])
        count = base.execute(f"DELETE FROM answers WHERE {where}", values).rowcount
        if chosen.everything and not conditions:
            base.execute("DELETE FROM numbers")
        base.execute("VACUUM")
        return count
