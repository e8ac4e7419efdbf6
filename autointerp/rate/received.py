"""The files that raters send back, read as what strangers wrote: each is whole and of this run, or refused."""

from __future__ import annotations

import json
import re
import unicodedata
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autointerp.errors import BadInput
from autointerp.rate.handing_out import Sheet
from autointerp.rating_rows import HUMAN, LOGITS, POINTS, RatingRow
from autointerp.records import Status, Unscored

_WHAT, _VERSION = "autointerp ratings", 1
_FIELDS = frozenset({"what", "version", "sheet", "rater", "session", "answers", "sum"})
_OF_ANSWER = frozenset({"item", "status", "ms", "at", *POINTS})
_SESSION = re.compile(r"[0-9a-f]{16}")
_LONGEST_NAME = 40
_LARGEST_FILE = 20_000_000
_LATEST = 2**33
"""Seconds since 1970, and a bound for milliseconds: far off, but no table overflows."""
SKIPPED = Unscored("passed over by the rater")
_AGAIN = "ask the rater for the file as the page saved it"


@dataclass(frozen=True)
class ReceivedFile:
    """What one file holds."""

    rater: str
    sheet: Sheet
    rows: tuple[RatingRow, ...]
    """One per answered item, passed over ones included."""

    @property
    def still_open(self) -> int:
        """Items of the page that it has no answer to."""
        return len(self.sheet.items) - len(self.rows)


def read_file(path: Path, sheets: Mapping[str, Sheet], rename: str | None = None) -> ReceivedFile:
    """Read a rater's file. `rename`: the name under which it is taken.

    Raises BadInput, in one line, for what is no such file, is of a page that this run did not hand out, was changed
    since it was saved (by its checksum: whoever means to forge one can), or has an item twice, an unknown item, or a
    value out of range. Half an answer is out of range; a file with half of the items is not.
    """
    raw = _json(path)
    if not isinstance(raw, dict) or raw.get("what") != _WHAT:
        raise BadInput(f"{path} holds no ratings", _AGAIN)
    if raw.get("version") != _VERSION or isinstance(raw.get("version"), bool):
        raise BadInput(f"{path} is of version {_told(raw.get('version'))}", "make page and answers by one version")
    if set(raw) != _FIELDS or not isinstance(raw["answers"], list):
        raise BadInput(f"{path} is not laid out as the page saves it", _AGAIN)
    sheet = sheets.get(raw["sheet"]) if isinstance(raw["sheet"], str) else None
    if sheet is None:
        raise BadInput(f"{path} is of page {_told(raw['sheet'])}, which this run has not handed out",
                       "name the run folder that it was made from")  # fmt: skip
    rater = _name(raw["rater"] if rename is None else rename, path)
    if not isinstance(raw["session"], str) or not _SESSION.fullmatch(raw["session"]):
        raise BadInput(f"{path} has a session {_told(raw['session'])}", _AGAIN)
    rows = []
    seen: set[str] = set()
    for answer in raw["answers"]:
        row = _row(answer, sheet, rater, raw["session"], path)
        if row.item in seen:
            raise BadInput(f"{path} has item {row.item} twice", _AGAIN)
        seen.add(row.item)
        rows.append(row)
    if raw["sum"] != _checksum(raw):
        raise BadInput(f"{path} was changed since it was saved (its checksum is not {_told(raw['sum'])})", _AGAIN)
    return ReceivedFile(rater, sheet, tuple(rows))


def _json(path: Path) -> Any:
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise BadInput(f"{path} has {path.stat().st_size:,} bytes", "no page saves as much: " + _AGAIN)
        return json.loads(path.read_text("utf8"), object_pairs_hook=_once, parse_constant=_no_number)
    except FileNotFoundError as error:
        raise BadInput(f"no file {path}", "name a file that a rating page saved") from error
    except OSError as error:
        raise BadInput(f"{path} can't be read ({error.strerror})", "name a file that a rating page saved") from error
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path} is not JSON ({type(error).__name__})", _AGAIN) from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a key twice")
    return members


def _no_number(name: str) -> Any:
    raise ValueError(name)


def _name(value: Any, path: Path) -> str:
    name = " ".join(value.split()) if isinstance(value, str) else ""
    hidden = any(unicodedata.category(c)[0] == "C" for c in name)
    if not name or len(name) > _LONGEST_NAME or hidden:
        raise BadInput(f"{path} is by a rater named {_told(value)}", "give a name of 1 to 40 letters with --rater")
    return name


def _told(value: Any) -> str:
    """A stranger's value, short and on one line."""
    return json.dumps(value, ensure_ascii=True, default=str)[:40]


def _row(answer: Any, sheet: Sheet, rater: str, session: str, path: Path) -> RatingRow:
    if not isinstance(answer, dict) or set(answer) != _OF_ANSWER:
        raise BadInput(f"{path} has an answer that is not laid out as the page saves it: {_told(answer)}", _AGAIN)
    name = answer["item"]
    item = sheet.items.get(name) if isinstance(name, str) else None
    if item is None:
        raise BadInput(f"{path} has an item {_told(name)}, which its page does not show", _AGAIN)
    if answer["status"] not in ("ok", "skipped"):
        raise BadInput(f"{path}: item {name} has status {_told(answer['status'])}", _AGAIN)
    skipped = answer["status"] == "skipped"
    asked = {part: most for part, most in POINTS.items() if part != LOGITS or sheet.points == sum(POINTS.values())}
    for part in POINTS:
        most = None if skipped else asked.get(part)
        right = answer[part] is None if most is None else _whole(answer[part], most)
        if not right:
            wanted = "nothing" if most is None else f"0 to {most}"
            raise BadInput(f"{path}: item {name} has {part} {_told(answer[part])}, not {wanted}", _AGAIN)
    for field in ("ms", "at"):
        if not _whole(answer[field], _LATEST):
            raise BadInput(f"{path}: item {name} has {field} {_told(answer[field])}", _AGAIN)
    return rating(
        sheet, name, {part: answer[part] for part in POINTS}, SKIPPED if skipped else None,
        rater=rater, rater_kind=HUMAN, session=session, seconds=answer["ms"] / 1000, at=answer["at"],
    )  # fmt: skip


def _whole(value: Any, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most


def rating(
    sheet: Sheet, item: str, given: Mapping[str, int | None], failed: Unscored | None, *, rater: str, rater_kind: str,
    session: str, seconds: float | None = None, at: int | None = None,
) -> RatingRow:  # fmt: skip
    """A row of `ratings` for an item of a page; where it `failed` its parts are None."""
    parts = {part: None if failed else given.get(part) for part in POINTS}
    known: dict[str, Any] = dict(sheet.items[item])
    points: dict[str, Any] = dict(parts)
    return RatingRow(
        sheet=sheet.sheet, item=item, rater=rater, rater_kind=rater_kind, session=session, **known, **points,
        total=None if failed else sum(value for value in parts.values() if value is not None),
        points=sheet.points, seconds=seconds, at=at,
        status=Status.UNSCORED if failed else Status.OK, reason=failed.reason if failed else "",
    )  # fmt: skip


def _checksum(raw: Mapping[str, Any]) -> str:
    """CRC-32 of what the page signs, as `rating_file.js` makes it."""
    lines = [
        ":".join(
            ["-" if answer[field] is None else str(answer[field]) for field in ("item", "status", "ms", "at", *POINTS)]
        )
        for answer in raw["answers"]
    ]
    signed = "\n".join([str(raw["version"]), raw["sheet"], raw["rater"], raw["session"], *lines])
    return f"{zlib.crc32(signed.encode('utf8', 'surrogatepass')):08x}"
