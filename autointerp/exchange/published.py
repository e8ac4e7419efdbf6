"""What others publish of features, in the bulk layout: read as data, and what can't be used is counted by reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from autointerp.artifacts import rng_of
from autointerp.errors import BadInput
from autointerp.exchange.layout import files_of, index_in, number_in, read_lines, sidecars_of
from autointerp.exchange.outgoing import Interval
from autointerp.quoting import well_formed
from autointerp.records import Unscored

Key = tuple[str, str, int]
"""Model, source and index."""
_NO_KEY = "no model, layer or index"
_LONGEST = 4000
"""Characters of an explanation that is tried; theirs have 512 at most where they were uploaded."""


@dataclass(frozen=True)
class PublishedRow:
    """Text on which a feature's activations are published."""

    id: str
    tokens: tuple[str, ...]
    """As they are spelled there."""
    values: Float[np.ndarray, " token"]
    """Never below 0."""
    interval: Interval | None
    """What it was drawn from; None: it is there for its maximum."""
    place: int
    """The token that it was drawn for."""


@dataclass(frozen=True)
class PublishedText:
    """An explanation as it is published."""

    id: str
    text: str | Unscored
    author: str
    method: str
    """Their `typeName`; '' where it is not told."""
    model: str
    score_v1: float | None
    score_v2: float | None


@dataclass
class PublishedFeature:
    """All that is published of a feature."""

    key: Key
    density: float | None = None
    max_activation: float | None = None
    hook: str = ""
    promoted: tuple[str, ...] = ()
    suppressed: tuple[str, ...] = ()
    texts: list[PublishedText] = field(default_factory=list)
    rows: list[PublishedRow] = field(default_factory=list)
    beside: dict[str, Any] | None = None
    """What an export of ours says of it."""

    @property
    def told_rows(self) -> Mapping[str, Any]:
        """What an export of ours says of its rows, by their ids."""
        rows = (self.beside or {}).get("rows")
        return rows if isinstance(rows, dict) else {}


@dataclass
class PublishedFolder:
    """The features that were drawn, and what there was."""

    features: list[PublishedFeature] = field(default_factory=list)
    """By model, source and index."""
    there: int = 0
    explained: int = 0
    """Of those that are there: with an explanation."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Records that can't be used, by reason."""


def read_published(folder: Path, most: int, seed: int) -> PublishedFolder:
    """Read the sources of a folder, and draw at most `most` features of each: explained ones while there are some.

    Raises BadInput where there is neither a feature nor an explanation, and for a damaged file.
    """
    if not folder.is_dir():
        raise BadInput(f"{folder} is not a folder", "give one that holds features/, explanations/ and activations/")
    found, left_out = dict[Key, PublishedFeature](), Counter[str]()
    for kind, add in (("features", _add_feature), ("explanations", _add_text)):
        for record in _records(folder, kind, left_out):
            _added(record, found, kind, left_out, add)
    there, explained = len(found), sum(bool(feature.texts) for feature in found.values())
    if not there:
        raise BadInput(
            f"{folder} holds no features/*.jsonl and no explanations/*.jsonl with a record, packed (.gz) or not",
            "give the folder of a source, as their public exports have it, or one above it",
        )
    drawn = _drawn(found, most, seed)
    _tell_what_stands_beside(folder, drawn)
    seen = set[object]()
    for record in _records(folder, "activations", left_out):
        key = _key(record)
        if key is None or key not in found:
            why = _NO_KEY if key is None else "of a feature that is not there"
            left_out[f"activations: {why}"] += 1
        elif key in drawn:
            _add_row(record, drawn[key], seen, left_out)
    return PublishedFolder(list(drawn.values()), there, explained, left_out)


def _tell_what_stands_beside(folder: Path, drawn: Mapping[Key, PublishedFeature]) -> None:
    for path in sidecars_of(folder):
        for line in read_lines(path):
            if not isinstance(line, Unscored) and (key := _key(line)) is not None and key in drawn:
                drawn[key].beside = line


def _records(folder: Path, kind: str, left_out: Counter[str]) -> Iterator[dict[str, Any]]:
    for path in files_of(folder, kind):
        for line in read_lines(path):
            if isinstance(line, Unscored):
                left_out[f"{kind}: {line.reason}"] += 1
            else:
                yield line


def _key(record: dict[str, Any]) -> Key | None:
    model, layer, index = record.get("modelId"), record.get("layer"), index_in(record.get("index"))
    told = isinstance(model, str) and isinstance(layer, str) and model and layer and index is not None
    return (well_formed(str(model)), well_formed(str(layer)), int(str(index))) if told else None


def _added(
    record: dict[str, Any],
    found: dict[Key, PublishedFeature],
    kind: str,
    left_out: Counter[str],
    add: Callable[[dict[str, Any], dict[Key, PublishedFeature], Key], str],
) -> None:
    key = _key(record)
    why = _NO_KEY if key is None else add(record, found, key)
    if why:
        left_out[f"{kind}: {why}"] += 1


def _add_feature(record: dict[str, Any], found: dict[Key, PublishedFeature], key: Key) -> str:
    if key in found:
        return "there twice, the first is taken"
    density, peak = number_in(record.get("frac_nonzero")), number_in(record.get("maxActApprox"))
    hook = record.get("hookName")
    found[key] = PublishedFeature(
        key,
        density=density if density is not None and 0 < density <= 1 else None,
        max_activation=peak if peak is not None and peak > 0 else None,
        hook=well_formed(hook) if isinstance(hook, str) else "",
        promoted=_words(record.get("pos_str")),
        suppressed=_words(record.get("neg_str")),
    )
    return ""


def _words(value: Any) -> tuple[str, ...]:
    return tuple(well_formed(word) for word in value if isinstance(word, str)) if isinstance(value, list) else ()


def _add_text(record: dict[str, Any], found: dict[Key, PublishedFeature], key: Key) -> str:
    """A feature of which only an explanation is published is one too."""
    author, method, model = (well_formed(str(record.get(name) or "")) for name in _OF_TEXT)
    told = PublishedText(
        well_formed(str(record.get("id") or "")), _text(record.get("description")), author, method, model,
        number_in(record.get("scoreV1")), number_in(record.get("scoreV2")),
    )  # fmt: skip
    texts = found.setdefault(key, PublishedFeature(key)).texts
    if any((one.text, one.author, one.method, one.model) == (told.text, author, method, model) for one in texts):
        return "there twice, the first is taken"
    texts.append(told)
    return ""


_OF_TEXT = ("authorId", "typeName", "explanationModelName")


def _text(value: Any) -> str | Unscored:
    if not isinstance(value, str) or not value.strip():
        return Unscored("the published explanation is empty")
    if len(value) > _LONGEST:
        return Unscored(f"the published explanation is longer than {_LONGEST:,} characters")
    return well_formed(value)


def _drawn(found: dict[Key, PublishedFeature], most: int, seed: int) -> dict[Key, PublishedFeature]:
    """Of each source those that are explained first, in a seeded order, then the others; by key."""
    chosen: list[Key] = []
    for source in sorted({key[:2] for key in found}):
        keys = sorted(key for key in found if key[:2] == source)
        order = rng_of(seed, "neuronpedia", *source).permutation(len(keys)).tolist()
        ranked = sorted(order, key=lambda place: not found[keys[place]].texts)
        chosen += sorted(keys[place] for place in ranked[:most])
    return {key: found[key] for key in chosen}


def _add_row(record: dict[str, Any], feature: PublishedFeature, seen: set[object], left_out: Counter[str]) -> None:
    row = _row(record, left_out)
    if isinstance(row, Unscored):
        left_out[f"activations: {row.reason}"] += 1
        return
    same = (feature.key, row.tokens, row.values.tobytes(), row.interval)
    if same in seen and row.id not in feature.told_rows:
        left_out["activations: there twice, the first is taken"] += 1
        return
    seen.add(same)
    feature.rows.append(row)


def _row(record: dict[str, Any], left_out: Counter[str]) -> PublishedRow | Unscored:
    tokens, values = record.get("tokens"), record.get("values")
    if not isinstance(tokens, list) or not isinstance(values, list) or not tokens:
        return Unscored("no tokens or no values")
    if len(tokens) != len(values):
        return Unscored("not as many values as tokens")
    if not all(isinstance(token, str) for token in tokens):
        return Unscored("a token that is no text")
    found = [number_in(value) for value in values]
    told = np.array([value for value in found if value is not None], dtype=np.float64)
    if len(told) < len(values) or (np.abs(told) > np.finfo(np.float32).max).any():
        return Unscored("a value that is no number")
    if (told < 0).any():
        left_out["activations: kept, with values below 0 cut at 0"] += 1
    oriented = np.maximum(told, 0).astype(np.float32)
    place = record.get("qualifyingTokenIndex")
    inside = isinstance(place, int) and not isinstance(place, bool) and 0 <= place < len(tokens)
    return PublishedRow(
        well_formed(str(record.get("id") or "")), tuple(tokens), oriented, _interval(record),
        int(str(place)) if inside else int(oriented.argmax()),
    )  # fmt: skip


def _interval(record: dict[str, Any]) -> Interval | None:
    """The interval that a row was drawn from; top rows tell a share of -1, and uploaded ones none."""
    low, high, share = (number_in(record.get(name)) for name in ("binMin", "binMax", "binContains"))
    if low is None or high is None or share is None or not 0 <= share <= 1 or not 0 <= low <= high or not high:
        return None
    return low, high, share
