"""What of a run goes out: units by source, with their contexts, explanations, and what these score."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from autointerp.contexts.reading import load_contexts
from autointerp.contexts.sharing import read_exemplars
from autointerp.errors import BadInput, nearest
from autointerp.exchange.layout import HIGHEST_INDEX, NOT_TOP, slug
from autointerp.exchange.told_scores import TOLD_NOTHING, ToldScores, told_scores
from autointerp.records import Context, Exemplar, Kind, Status, Unscored
from autointerp.tables import read_arrow
from autointerp.units.features import Features
from autointerp.units.neurons import Neurons

_EXPORTED = (Features.name, Neurons.name)
"""Kinds that go out unless arms are named: units of the model, and not the controls of a measurement."""
_NEGATED = "negated"
Interval = tuple[float, float, float]
"""Least and greatest activation, and the share of tokens whose activation lies between them."""


@dataclass(frozen=True)
class SentRow:
    """A context of a unit."""

    context: Context
    kind: str
    weight: float
    values: Float[np.ndarray, " token"]
    interval: Interval | None
    """What it was drawn from, told as theirs are; None: it is there for its maximum."""

    @property
    def peak(self) -> int:
        """The token with the greatest activation."""
        return int(np.argmax(self.values))


@dataclass(frozen=True)
class SentUnit:
    """A unit with what is told of it."""

    row: Mapping[str, Any]
    """Of the table `units`."""
    explainer: str
    text: str | Unscored
    told: ToldScores
    rows: tuple[SentRow, ...]

    @property
    def index(self) -> int:
        """Latent, neuron or direction number."""
        return int(self.row["index"])


@dataclass
class SentSource:
    """The units of an arm that share a page of sources over there."""

    layer: str
    set_name: str
    arm: str
    hook: str
    units: list[SentUnit] = field(default_factory=list)

    @property
    def name(self) -> str:
        """`<layer>-<set>`."""
        return f"{self.layer}-{self.set_name}"


def read_outgoing(run: Path, arms: Sequence[str]) -> tuple[list[SentSource], Counter[str]]:
    """The sources of a run folder, and how many units stay here, by reason.

    `arms`: which go out; none: the features and neurons of the subject itself. BadInput for an arm that the run has
    not, for a hook that names no layer, and where nothing is left.
    """
    units = [row for row in read_arrow(run / "units.parquet").to_pylist() if row["status"] != Status.EXCLUDED]
    wanted = _wanted([str(row["arm"]) for row in units], arms)
    chosen = [row for row in units if row["arm"] in wanted]
    hooks = {row["hook"] for row in chosen}
    explained = {row["unit"]: row for row in read_arrow(run / "explanations.parquet").to_pylist()}
    gathered = read_exemplars(run / "evidence.parquet")
    names = {str(row["unit"]) for row in chosen}
    contexts = load_contexts(
        run / "contexts.parquet", (one.context for name in names for one in gathered.get(name, ()))
    )
    told = told_scores(run)
    sources: dict[tuple[str, int], SentSource] = {}
    left_out = Counter[str]()
    for row in chosen:
        name = str(row["unit"])
        if not gathered.get(name):
            left_out["no context was gathered"] += 1
        elif row["index"] > HIGHEST_INDEX:
            left_out["its index is above 10,000,000"] += 1
        else:
            source = sources.setdefault((row["arm"], row["sign"]), _source(row, len(hooks) > 1, sources))
            text, explainer = _explanation(explained.get(name))
            rows = _rows(gathered[name], contexts)
            source.units.append(SentUnit(row, explainer, text, told.get(name, TOLD_NOTHING), rows))
    if not sources:
        raise BadInput(f"{run} has no unit to send", f"name arms with --arm: {', '.join(sorted(wanted)) or 'none'}")
    return list(sources.values()), left_out


def _wanted(there: Sequence[str], arms: Sequence[str]) -> set[str]:
    for arm in arms:
        if arm not in there:
            raise BadInput(f"the run has no arm '{arm}'", nearest(arm, set(there)))
    return set(arms) or {arm for arm in there if arm.partition(":")[0] in _EXPORTED}


def _source(row: Mapping[str, Any], several: bool, others: Mapping[Any, SentSource]) -> SentSource:
    """A set of its own for every arm, and for either sign: what is told of a negated neuron is not told of it."""
    hook, kind = str(row["hook"]), str(row["arm"]).partition(":")[0]
    if (layer := re.search(r"(?:^|\.)(\d+)(?:\.|:|$)", hook)) is None:
        raise BadInput(f"hook '{hook}' names no layer, and a source over there has one", "leave its arm out with --arm")
    parts = [slug(str(row["sae"])) or slug(kind)] if kind == Features.name else [slug(kind)]
    if several and kind != Features.name:
        parts.append(slug(hook[layer.end() :]))
    name = "-".join(part for part in (*parts, _NEGATED if row["sign"] < 0 else "") if part)
    taken = {other.name for other in others.values()}
    free = next(n for n in range(1, len(taken) + 2) if f"{layer[1]}-{name}{'' if n == 1 else f'-{n}'}" not in taken)
    return SentSource(layer[1], name if free == 1 else f"{name}-{free}", str(row["arm"]), hook)


def _explanation(row: Mapping[str, Any] | None) -> tuple[str | Unscored, str]:
    if row is None:
        return Unscored("no explanation"), ""
    ok = row["status"] == Status.OK and row["text"]
    return str(row["text"]) if ok else Unscored(str(row["reason"])), str(row["explainer"])


def _rows(gathered: Sequence[Exemplar], contexts: Mapping[int, Context]) -> tuple[SentRow, ...]:
    """A unit's contexts in their order, each with its interval.

    Shares of tokens are those of its random contexts, which are a fair sample; without any they are not known, and
    every row is told as there for its maximum.
    """
    drawn = [one.activations for one in gathered if one.kind == Kind.RANDOM]
    sample = np.concatenate(drawn) if drawn else None
    peaks: dict[str, list[float]] = {}
    for one in gathered:
        peaks.setdefault(one.kind, []).append(float(one.activations.max()))
    highest = max(max(found) for found in peaks.values())

    def interval(kind: str) -> Interval | None:
        if kind == Kind.TOP or sample is None:
            return None
        low, high = (0.0, highest) if kind == Kind.RANDOM else (min(peaks[kind]), max(peaks[kind]))
        return low, high, float(((sample >= low) & (sample <= high)).mean())

    intervals = {kind: interval(kind) for kind in peaks}
    return tuple(
        SentRow(contexts[one.context], one.kind, one.weight, one.activations, intervals[one.kind]) for one in gathered
    )


def bin_of(row: SentRow) -> Interval:
    """`binMin`, `binMax` and `binContains`, as SAEDashboard tells them."""
    return row.interval or (NOT_TOP, float(row.values.max()), NOT_TOP)


def numbers(values: Float[np.ndarray, " token"]) -> list[float]:
    """The shortest decimals that give the same single-precision numbers again."""
    return [float(str(value)) for value in values.astype(np.float32)]
