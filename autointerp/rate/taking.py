"""Answers into `RUN/ratings.parquet`: nothing that was there is lost, and what changed is counted."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from autointerp.artifacts import write_bytes
from autointerp.errors import BadInput
from autointerp.rate.handing_out import KEY, read_key
from autointerp.rate.received import ReceivedFile, read_file
from autointerp.rating_rows import MODEL, RatingRow
from autointerp.records import Status
from autointerp.tables import read_arrow, write_table

RATINGS = "ratings.parquet"
RECEIVED = "ratings_received"
"""Folder of every file that was taken, as it came."""


@dataclass(frozen=True)
class TakenFile:
    """What became of one file."""

    path: Path
    rater: str
    added: int
    known: int
    """Were there already, the same."""
    changed: int
    """Took the place of an earlier answer of the same rater."""
    older: int
    """Were there already, answered later: not taken."""
    skipped: int
    """Of all in the file: passed over by the rater."""
    still_open: int
    """Items of the page without an answer."""


def read_ratings(run: Path) -> list[RatingRow]:
    """All ratings of a run; none where it was never rated. BadInput for a table that can't be read."""
    path = run / RATINGS
    if not path.is_file():
        return []
    return [RatingRow(**{**row, "status": Status(row["status"])}) for row in read_arrow(path).to_pylist()]


def take(run: Path, paths: Sequence[Path], rename: str | None = None) -> list[TakenFile]:
    """Read files of answers and put them beside those that are there: all of them, or, with an error, none.

    Of two answers of one rater to one item the later counts. Raises BadInput as `read_file` does, and where two people
    go by one name: answers of one name come from one browser, or from a file that was gone on from.
    """
    sheets = read_key(run)
    if not sheets:
        raise BadInput(f"{run} has no key of rating pages ({KEY})", f"make the page first: autointerp rate {run}")
    files = [(path, read_file(path, sheets, rename)) for path in paths]
    rows = {_place(row): row for row in read_ratings(run)}
    taken = [_put(rows, path, file) for path, file in files]
    for path, _ in files:
        data = path.read_bytes()
        write_bytes(run / RECEIVED / f"{hashlib.sha256(data).hexdigest()[:16]}.json", data)
    write_ratings(run, rows.values())
    return taken


def write_ratings(run: Path, rows: Iterable[RatingRow]) -> None:
    """Write the whole table, in an order of its own: people, then models, by name, page and item."""
    ordered = sorted(rows, key=lambda row: (row.rater_kind == MODEL, row.rater, row.sheet, row.item))
    write_table("ratings", run / RATINGS, ordered)


def _place(row: RatingRow) -> tuple[str, str, str, str]:
    return row.rater_kind, row.rater, row.sheet, row.item


def _put(rows: dict[tuple[str, str, str, str], RatingRow], path: Path, file: ReceivedFile) -> TakenFile:
    counts = dict.fromkeys(("added", "known", "changed", "older"), 0)
    sessions = {row.session for row in rows.values() if (row.rater, row.sheet) == (file.rater, file.sheet.sheet)}
    for row in file.rows:
        if sessions - {row.session}:
            raise BadInput(
                f"{path}: there are answers by another person named '{file.rater}'", "give a name with --rater NAME"
            )
        before = rows.get(_place(row))
        fate = (
            "added" if before is None else "known" if before == row else "older" if _later(before, row) else "changed"
        )
        counts[fate] += 1
        if fate in ("added", "changed"):
            rows[_place(row)] = row
    skipped = sum(row.status != Status.OK for row in file.rows)
    return TakenFile(path, file.rater, **counts, skipped=skipped, still_open=file.still_open)


def _later(before: RatingRow, row: RatingRow) -> bool:
    return (before.at or 0) > (row.at or 0)
