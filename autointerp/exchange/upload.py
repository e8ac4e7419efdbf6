"""The upload batches: JSON files of at most 128 features, each the body of one `POST /api/feature/upload-batch`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autointerp.artifacts import write_text
from autointerp.exchange.layout import LONGEST_TEXT, MOST_FEATURES, MOST_TOKENS
from autointerp.exchange.outgoing import SentRow, SentSource, SentUnit, bin_of, numbers

_NO_TEXT = "\ufffd"
"""In place of a token without text (it only begins a character), which they refuse, and of NUL, which they can't
keep."""
_CUT = "…"


@dataclass
class Uploads:
    """What was written, and what was changed for it."""

    files: list[Path] = field(default_factory=list)
    changed: Counter[str] = field(default_factory=Counter)
    """How many explanations, rows and tokens, in words."""


def write_uploads(folder: Path, sources: Sequence[SentSource], model: str) -> Uploads:
    """Write `SOURCE/batch-N.json` for every source, within their limits; names of methods and models are null."""
    done = Uploads()
    for source in sources:
        for number, first in enumerate(range(0, len(source.units), MOST_FEATURES)):
            features = [_feature(unit, done.changed) for unit in source.units[first : first + MOST_FEATURES]]
            path = folder / source.name / f"batch-{number}.json"
            body = {"modelId": model, "source": source.name, "features": features}
            write_text(path, json.dumps(body, ensure_ascii=False, allow_nan=False) + "\n")
            done.files.append(path)
    return done


def _feature(unit: SentUnit, changed: Counter[str]) -> dict[str, Any]:
    texts = [unit.text] if isinstance(unit.text, str) else []
    return {
        "index": unit.index,
        "density": min(1.0, max(0.0, float(unit.row["density"]))),
        "topLogits": None,
        "bottomLogits": None,
        "explanations": [
            {"text": _cut(text, changed), "methodName": None, "modelName": None} for text in texts
        ],
        "activations": [_activation(row, changed) for row in unit.rows],
    }  # fmt: skip


def _cut(text: str, changed: Counter[str]) -> str:
    if len(text) <= LONGEST_TEXT:
        return text.replace("\0", _NO_TEXT)
    changed[f"explanations cut to {LONGEST_TEXT} characters"] += 1
    return text[: LONGEST_TEXT - len(_CUT)].replace("\0", _NO_TEXT) + _CUT


def _activation(row: SentRow, changed: Counter[str]) -> dict[str, Any]:
    """A row, or of a longer one the tokens around its peak."""
    pieces, values = row.context.pieces, numbers(row.values)
    if len(pieces) > MOST_TOKENS:
        first = min(max(0, row.peak - MOST_TOKENS // 2), len(pieces) - MOST_TOKENS)
        pieces, values = pieces[first : first + MOST_TOKENS], values[first : first + MOST_TOKENS]
        changed[f"rows cut to {MOST_TOKENS} tokens"] += 1
    tokens = [piece.replace("\0", _NO_TEXT) or _NO_TEXT for piece in pieces]
    if different := sum(token != piece for token, piece in zip(tokens, pieces, strict=True)):
        changed["tokens without a text of their own, told as U+FFFD"] += different
    low, high, contains = bin_of(row) if row.interval else (None, None, None)
    return {"tokens": tokens, "values": values, "quantileMin": low, "quantileMax": high, "quantileFraction": contains}
