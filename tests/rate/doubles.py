"""Raters that are played: files as the page saves them, with answers that follow a rule."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from autointerp.artifacts import rng_of
from autointerp.rate.handing_out import Sheet
from autointerp.rating_rows import POINTS

Item = Mapping[str, str]


def signed(file: Mapping[str, Any]) -> dict[str, Any]:
    """The file with the checksum that the page would give it: written down here a second time, from its rule."""
    lines = [str(file["version"]), file["sheet"], file["rater"], file["session"]]
    for answer in file["answers"]:
        fields = (answer[name] for name in ("item", "status", "ms", "at", *POINTS))
        lines.append(":".join("-" if value is None else str(value) for value in fields))
    return {**file, "sum": format(zlib.crc32("\n".join(lines).encode()), "08x")}


def answer(item: str, **more: Any) -> dict[str, Any]:
    return {
        "item": item, "status": "ok", "ms": 9000, "at": 1_800_000_000, "confidence": 2, "activations": 3, "logits": 1,
        "specificity": 2, **more,
    }  # fmt: skip


def answers_file(sheet: Sheet, rater: str, answers: list[dict[str, Any]], session: str | None = None) -> dict[str, Any]:
    token = session or format(zlib.crc32(rater.encode()), "016x")
    return signed(
        {"what": "autointerp ratings", "version": 1, "sheet": sheet.sheet, "rater": rater, "session": token,
         "answers": answers}
    )  # fmt: skip


def played(sheet: Sheet, rater: str, quality: Callable[[Item], float], severity: float = 0.0) -> dict[str, Any]:
    """Every item answered: each part near `quality` (0 to 1) of its points, a unit being alike to all raters."""
    answers = []
    with_logits = sheet.points == sum(POINTS.values())
    for name, item in sheet.items.items():
        of_unit, of_rater = rng_of("unit", item["unit"]), rng_of("rater", rater, name)
        level = quality(item) + of_unit.normal(0, 0.18) - severity
        given = {
            part: int(np.clip(round(most * (level + of_rater.normal(0, 0.12))), 0, most))
            for part, most in POINTS.items()
        }
        answers.append(answer(name, **{**given, "logits": given["logits"] if with_logits else None}))
    return answers_file(sheet, rater, answers)


def save(folder: Path, file: Mapping[str, Any], name: str = "") -> Path:
    path = folder / f"{name or file['rater']}.json"
    path.write_text(json.dumps(file), encoding="utf8")
    return path
