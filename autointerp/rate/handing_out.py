"""The page that is handed out, `RUN/rating/`, and its key, `RUN/ratings_key.json`, which is not.

The page's folder stands alone and says nothing of arms: ids are drawn by place, whatever stands there. The key keeps
every page that was ever made of the run, so that answers to an earlier one can still be taken.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autointerp.artifacts import hash_value, read_json, rng_of, write_json, write_text
from autointerp.errors import BadInput
from autointerp.pages.writing import assets_of, copy_assets, data_script, page
from autointerp.rate.drawing import DrawnItems, PageChoice, ShownItem, draw
from autointerp.rate.rubric import as_data, parts, points
from autointerp.study_file import study_of

FOLDER = "rating"
KEY = "ratings_key.json"
_PACKAGE = "autointerp.rate"
_SCRIPTS = ("rating_file.js", "rating.js")
_STYLE = "rating.css"
_DIGITS = 12
"""Of ids."""
_VERSION = 1


@dataclass(frozen=True)
class Sheet:
    """A page that was handed out, as its key has it."""

    sheet: str
    """Its id."""
    points: int
    """Of its rubric."""
    items: Mapping[str, Mapping[str, str]]
    """Id -> unit, arm, subject, explanation_of, text."""


@dataclass(frozen=True)
class HandedOut:
    """What `hand_out` made."""

    page: Path
    key: Path
    sheet: Sheet
    drawn: DrawnItems

    @property
    def counts(self) -> tuple[int, int, int]:
        """Items, arms, decoys."""
        items = self.sheet.items.values()
        return len(items), len(Counter(i["arm"] for i in items)), sum(i["unit"] != i["explanation_of"] for i in items)


def hand_out(run: Path, choice: PageChoice) -> HandedOut:
    """Make the page of a run, which opens without a server; the same run and choice give the same bytes.

    The key is written first: a page without its key is never there. Raises BadInput as `draw` does.
    """
    drawn = draw(study_of(run), run, choice)
    sheet, data = sheet_of(drawn)
    known = read_key(run)
    known[sheet.sheet] = sheet
    write_json(run / KEY, {"version": _VERSION, "sheets": {name: _as_json(each) for name, each in known.items()}})
    folder = run / FOLDER
    copy_assets(folder, _PACKAGE, _SCRIPTS)
    write_text(folder / "data.js", data_script("rating", data))
    style = (assets_of(_PACKAGE) / _STYLE).read_text("utf8")
    scripts = [f"assets/{name}" for name in _SCRIPTS]
    write_text(folder / "index.html", page("Rating explanations", scripts, style))
    return HandedOut(folder / "index.html", run / KEY, sheet, drawn)


def sheet_of(drawn: DrawnItems) -> tuple[Sheet, dict[str, Any]]:
    """The key of some items, and what the page gets of them, under one id: the hash of what it shows."""
    shown = [_shown(item) for item in drawn.items]
    rubric = parts(drawn.logits)
    sheet = hash_value([shown, as_data(rubric), _VERSION])[:_DIGITS]
    rng = rng_of("ids of", sheet)
    ids = [rng.bytes(_DIGITS // 2).hex() for _ in shown]
    items = {
        name: {
            "unit": item.unit.unit, "arm": item.unit.arm, "subject": item.unit.subject,
            "explanation_of": item.explanation.unit, "text": item.explanation.text,
        }
        for name, item in zip(ids, drawn.items, strict=True)
    }  # fmt: skip
    data = {
        "version": _VERSION, "sheet": sheet, "parts": as_data(rubric),
        "items": [{"id": name, **each} for name, each in zip(ids, shown, strict=True)],
    }  # fmt: skip
    return Sheet(sheet, points(drawn.logits), items), data


def _shown(item: ShownItem) -> dict[str, Any]:
    rows = [[window.pieces, window.strongest] for window in item.unit.windows]
    return {"text": item.explanation.text, "rows": rows, "promoted": item.unit.promoted}


def _as_json(sheet: Sheet) -> dict[str, Any]:
    return {"points": sheet.points, "items": {name: dict(item) for name, item in sheet.items.items()}}


def read_key(run: Path) -> dict[str, Sheet]:
    """The pages of a run by id; none where none was made. BadInput for a key that is damaged."""
    path = run / KEY
    if not path.is_file():
        return {}
    raw = read_json(path)
    try:
        if raw["version"] != _VERSION:
            raise BadInput(f"{path} is of version {raw['version']}", "use the version of autointerp that made it")
        return {name: Sheet(name, int(each["points"]), each["items"]) for name, each in raw["sheets"].items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadInput(
            f"{path} is no key of rating pages ({error!r})", "restore it: answers can't be read without it"
        ) from error
