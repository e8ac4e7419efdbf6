"""Published features as units: what each is called, in which arm, and which of its rows are held out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from autointerp.exchange.held_apart import PlacedRow, WindowRow, held_apart
from autointerp.exchange.layout import number_in
from autointerp.exchange.published import PublishedFeature, PublishedFolder, PublishedRow, PublishedText
from autointerp.exchange.spelling import Speller, speller
from autointerp.hook_names import short_name
from autointerp.records import Kind, Split, Status, Unit
from autointerp.units.features import Features
from autointerp.units.sampling import unit_id

NO_ROWS = "no activations are published that can be used"
NOTHING_HELD = "every row counts as seen by who explained it"
_UNTYPED = "untyped"
"""Explanations without a `typeName`: most are of people."""
_LONGEST_NAME = 40
_KINDS = re.compile(r"top|random|quantile-\d{1,3}|hard-negative-[a-z-]{1,30}")
_SPLITS = (Split.EVIDENCE, Split.CALIBRATION, Split.HELD_OUT)


@dataclass(frozen=True)
class Arrived:
    """A unit: a feature with one of its explanations."""

    unit: Unit
    explainer: str
    text: PublishedText | None
    feature: PublishedFeature
    rows: tuple[WindowRow, ...]
    placed: tuple[PlacedRow, ...]


@dataclass(frozen=True)
class Sharing:
    """How rows are shared out."""

    seen: int
    """Rows with the largest maxima that count as seen."""
    tops: int
    """Held-out rows that are there for their maximum."""
    bands: bool
    """Whether intervals are wanted by themselves too."""


def arrived(published: PublishedFolder, sharing: Sharing) -> tuple[list[Arrived], int, Counter[str]]:
    """A unit for every explanation of every feature; how many tokens contexts have; and what was left out besides.

    Explanations of different methods or models are of different arms, and so are a feature's second, third... of one
    method: another unit's explanation, which tells what chance gives, is then never of the same feature.
    """
    left_out = Counter[str]()
    spell = _spellers(published.features)
    length = context_length([len(row.tokens) for feature in published.features for row in feature.rows])
    labels = {id(feature): _labels(feature.texts) for feature in published.features}
    names = _Names(published.features, [label for found in labels.values() for label in found])
    units: list[Arrived] = []
    taken = set[str]()
    for feature in published.features:
        rows = _cut(feature.rows, spell[feature.key[0]], length, left_out)
        placed, as_told = _placed(feature, rows, sharing, left_out)
        facts = _unit(feature, rows, placed)
        texts: Sequence[PublishedText | None] = feature.texts or (None,)
        for place, text in enumerate(texts):
            label = labels[id(feature)][place] if text else names.first
            unit = _told_unit(feature, facts) if as_told and place == 0 else None
            if unit is None:
                arm = names.arm(feature.key, label)
                unit = replace(facts, unit=unit_id(arm, feature.key[2], 1, oriented=False), arm=arm)
            if unit.unit in taken:
                left_out["explanations: a second unit of the same name"] += 1
                continue
            taken.add(unit.unit)
            units.append(Arrived(unit, _explainer(label, text, as_told, feature), text, feature, rows, placed))
    return units, length, left_out


def _explainer(label: str, text: PublishedText | None, as_told: bool, feature: PublishedFeature) -> str:
    told = (feature.beside or {}).get("explainer") if as_told else None
    return "" if text is None else told if isinstance(told, str) and told and label == _UNTYPED else label


def context_length(lengths: Sequence[int]) -> int:
    """The number of tokens at which most tokens are kept, where longer rows are cut and shorter ones left out."""
    if not lengths:
        return 0
    ordered = np.sort(np.array(lengths))
    kept = ordered * np.arange(len(ordered), 0, -1)
    return int(ordered[int(kept.argmax())])


def _spellers(features: Sequence[PublishedFeature]) -> dict[str, Speller]:
    """Of every model."""
    models = dict.fromkeys(feature.key[0] for feature in features)
    return {
        model: speller(row.tokens for feature in features if feature.key[0] == model for row in feature.rows)
        for model in models
    }


def _labels(texts: Sequence[PublishedText]) -> list[str]:
    """Who wrote each: method and model, and from the second of them on which one of the feature it is."""
    found, counts = [], Counter[str]()
    for text in texts:
        label = " ".join(part for part in (text.method or _UNTYPED, text.model) if part)
        counts[label] += 1
        found.append(label if counts[label] == 1 else f"{label} {counts[label]}")
    return found


class _Names:
    """What arms are called: `feature`, with the source and the explainer behind a colon where there are several."""

    def __init__(self, features: Sequence[PublishedFeature], labels: Sequence[str]) -> None:
        ordered = dict.fromkeys(labels)
        self.first = next(iter(ordered), _UNTYPED)
        """The arm of features without any explanation."""
        models = {feature.key[0] for feature in features}
        sources = dict.fromkeys(feature.key[:2] for feature in features)
        self._several_explainers = len(ordered) > 1
        self._explainers = _plain_names(ordered)
        told = {source: source[1] if len(models) == 1 else "-".join(source) for source in sources}
        plain = _plain_names(dict.fromkeys(told.values()))
        self._sources = {source: plain[name] for source, name in told.items()}

    def arm(self, key: tuple[str, str, int], label: str) -> str:
        parts = [self._sources[key[:2]]] if len(self._sources) > 1 else []
        if self._several_explainers:
            parts.append(self._explainers.get(label, _UNTYPED))
        return f"{Features.name}:{'.'.join(parts)}" if parts else Features.name


def _plain_names(names: Mapping[str, object]) -> dict[str, str]:
    """Names of letters, digits, `_`, `.` and `-`, at most 40 of them, no two alike: they stand in names of files."""
    found: dict[str, str] = {}
    for name in names:
        plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip(".-")[:_LONGEST_NAME] or "other"
        used = set(found.values())
        numbers = (plain, *(f"{plain}-{number}" for number in range(2, len(used) + 3)))
        found[name] = next(free for free in numbers if free not in used)
    return found


def _cut(rows: Sequence[PublishedRow], spell: Speller, length: int, left_out: Counter[str]) -> tuple[WindowRow, ...]:
    """The `length` tokens around the place that a row was drawn for; shorter rows are left out."""
    found = []
    for row in rows:
        if len(row.tokens) < length:
            left_out["activations: shorter than the contexts of this run"] += 1
            continue
        first = min(max(0, row.place - length // 2), len(row.tokens) - length)
        window = slice(first, first + length)
        found.append(WindowRow(row.id, spell(row.tokens)[window], row.values[window], row.interval))
    return tuple(found)


def _placed(
    feature: PublishedFeature, rows: Sequence[WindowRow], sharing: Sharing, left_out: Counter[str]
) -> tuple[tuple[PlacedRow, ...], bool]:
    """The feature's rows, shared out as an export of ours tells, or as is said in `held_apart`; and whether as told."""
    told = [_told_place(number, feature.told_rows.get(row.id)) for number, row in enumerate(rows)]
    kept = tuple(place for place in told if place is not None)
    if kept and len(kept) == len(told):
        return kept, True
    return tuple(held_apart(rows, sharing.seen, sharing.tops, sharing.bands, left_out)), False


def _told_place(number: int, told: Any) -> PlacedRow | None:
    """What an export of ours says of a row; None where it does not, or nonsense."""
    if not isinstance(told, list) or len(told) != 3:
        return None
    split, kind, weight = told[0], told[1], number_in(told[2])
    if split not in _SPLITS or not isinstance(kind, str) or not _KINDS.fullmatch(kind) or weight is None or weight < 0:
        return None
    return PlacedRow(number, Split(split), kind, None, weight)


def _unit(feature: PublishedFeature, rows: Sequence[WindowRow], placed: Sequence[PlacedRow]) -> Unit:
    """What is known of a feature, whatever explains it."""
    tops = [rows[one.row] for one in placed if one.split == Split.EVIDENCE and one.kind == Kind.TOP]
    peaks = Counter(row.pieces[int(row.values.argmax())] for row in tops)
    everything = np.concatenate([row.values for row in rows]) if rows else np.zeros(1, dtype=np.float32)
    held = any(one.split == Split.HELD_OUT for one in placed)
    reason = "" if held else NOTHING_HELD if rows else NO_ROWS
    density, peak = feature.density, feature.max_activation
    return Unit(
        unit="", replicate=0, arm="", hook=short_name(feature.hook), sae=feature.key[1], index=feature.key[2], sign=1,
        threshold=0.0, density=float((everything > 0).mean()) if density is None else density,
        max_activation=float(everything.max()) if peak is None else peak,
        single_token=peaks.most_common(1)[0][1] / len(tops) if tops else 0.0,
        status=Status.UNSCORED if reason else Status.OK, reason=reason,
    )  # fmt: skip


_ARM, _UNIT = (
    re.compile(r"[a-z][a-z-]{0,40}(:[A-Za-z0-9_.-]{1,80})?"),
    re.compile(r"[A-Za-z0-9_.:-]{1,130}/\d{1,8}[+-]?"),
)


def _told_unit(feature: PublishedFeature, facts: Unit) -> Unit | None:
    """The unit as an export of ours tells it; None where it does not, or nonsense."""
    told = (feature.beside or {}).get("unit")
    if not isinstance(told, dict):
        return None
    arm, unit, hook, sae = (str(told.get(name)) for name in ("arm", "unit", "hook", "sae"))
    real = {name: number_in(told.get(name)) for name in ("threshold", "density", "max_activation", "single_token")}
    if None in real.values() or told.get("sign") not in (1, -1):
        return None
    if not _ARM.fullmatch(arm) or not _UNIT.fullmatch(unit) or not unit.startswith(f"{arm}/"):
        return None
    known: dict[str, Any] = {name: value for name, value in real.items() if value is not None}
    return replace(facts, unit=unit, arm=arm, hook=hook, sae=sae, sign=told["sign"], **known)
