"""Which features and neurons are near which: by what they write, and by when they are active.

For a sampled unit and an arm of features or neurons at its hook: the nearest by cosine of what both write there, and
by correlation of activations over a seeded draw of evidence contexts. With the neurons of the hook the cosine is the
neuron's weight in the feature's decoder row, so the neurons that make up a feature, and the features that use a
neuron, are the same table. The nearest of thousands is near by chance too: what the same search finds for a random
direction, and for the unit with its activations moved to another context, stands beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from autointerp.artifacts import rng_of
from autointerp.collect.passes import Reader, read_activations
from autointerp.collect.stage import prepare
from autointerp.collect.survey import Surveyor
from autointerp.contexts.reading import context_ids, read_batches
from autointerp.progress import bar
from autointerp.records import Split, Status, Unit, Unscored
from autointerp.relation_rows import HistogramRow, RelationRow, SurveyRow
from autointerp.study import Study
from autointerp.tables import read_table, write_table
from autointerp.units.features import Features
from autointerp.units.interface import SPARSE, Activations, Encoder, Prepared, Readout, base_id, kind_of
from autointerp.units.neurons import Neurons
from autointerp.units.registry import all_candidates, as_thresholded
from autointerp.units.sampling import unit_id
from autointerp.units.scrambled import subject_of

SURVEY, HISTOGRAMS, RELATIONS = "survey.parquet", "histograms.parquet", "relations.parquet"
"""What is written, by path in the run folder."""
CONTEXTS = 512
"""Evidence contexts of the draw at most."""
NEAREST = 8
"""Kept per unit, arm and way."""
BUCKETS = 24
_ROWS = 2048
"""Units whose written vectors are made at a time."""


def relate(study: Study, subject: Reader, encoders: Mapping[str, tuple[Encoder, int]], run: Path) -> None:
    """Write the three tables of a run whose units are drawn; units of scrambled subjects are in none of them.

    Memory: sampled units times all units of an arm, and what one batch of contexts takes. `encoders`: as `collect`'s.
    """
    candidates = {c.readout.arm: c.readout for c in all_candidates(study, subject.widths, encoders)}
    own = {arm: readout for arm, readout in candidates.items() if not subject_of(arm)}
    targets = [readout for arm, readout in own.items() if arm.partition(":")[0] in (Features.name, Neurons.name)]
    contexts = run / "contexts.parquet"
    prepare(study, subject, contexts, [readout for readout in own.values() if isinstance(readout, Prepared)])
    sampled = [_Drawn(readout, units) for readout, units in _sampled(run, own)]
    surveys = [Surveyor(len(target.indices)) for target in targets]
    together = [
        _Together(source, target, seed=study.seed_for("units"))
        for source in sampled
        for target in targets
        if target.hook == source.readout.hook
    ]

    def take(read: Activations) -> None:
        values = {target.arm: target.read(read) for target in targets}
        for target, survey in zip(targets, surveys, strict=True):
            survey.add(values[target.arm], read.contexts, read.tokens)
        for source in sampled:
            source.see(source.readout.read(read))
        for pair in together:
            pair.add(values[pair.target.arm])

    tokens = _stream(study, subject, contexts, take)
    write_table("survey", run / SURVEY, _survey_rows(targets, surveys, tokens))
    write_table("histograms", run / HISTOGRAMS, (row for source in sampled for row in source.histograms(tokens)))
    widths = subject.widths
    write_table("relations", run / RELATIONS, (row for pair in together for row in pair.rows(widths)))


def _stream(study: Study, subject: Reader, contexts: Path, take: Any) -> int:
    """One pass over the draw; the number of its tokens."""
    ids = context_ids(contexts, Split.EVIDENCE)
    size = min(CONTEXTS, len(ids))
    chosen = rng_of(study.seed_for("evidence"), "relations").choice(ids, size=size, replace=False)
    tokens = 0
    with bar("relate units", size, "contexts") as progress:
        for batch in read_batches(contexts, Split.EVIDENCE, study.subject.batch):
            keep = np.isin(batch.contexts, chosen)
            if keep.any():
                take(read_activations(subject, batch.contexts[keep], batch.tokens[keep]))
                tokens += batch.tokens[keep].size
                progress.advance(int(keep.sum()))
    return tokens


def _sampled(run: Path, own: Mapping[str, Readout]) -> list[tuple[Readout, list[Unit]]]:
    """The drawn units of the subject itself by arm, as they are read."""
    frame: pd.DataFrame = read_table(run / "units.parquet")
    drawn = frame[(frame["status"] == Status.OK.value) & (frame["subject"] == "")]
    found = []
    for arm, rows in drawn.groupby("arm", sort=False):
        units = [Unit(**{str(k): v for k, v in row.items()}) for row in rows.to_dict("records")]
        name = str(arm)
        if name in own:
            found.append((own[name].narrowed(units), units))
            continue
        kind = kind_of(name)
        base = own[name.replace(f"{kind}{SPARSE}", kind, 1)].narrowed(units)
        thresholds = np.array([unit.threshold for unit in units])
        found.append((as_thresholded(base).thresholded(name, thresholds), units))
    return found


class _Drawn:
    """Sampled units of one arm, and how their activations are distributed."""

    def __init__(self, readout: Readout, units: Sequence[Unit]) -> None:
        self.readout, self.units = readout, units
        self.values: Float[Tensor, "context token unit"] = torch.empty(0)
        self._seen: list[list[Float[np.ndarray, " active"]]] = [[] for _ in units]

    def see(self, values: Float[Tensor, "context token unit"]) -> None:
        """The units on one batch."""
        self.values = values
        flat = values.reshape(-1, values.shape[-1]).T.cpu().numpy()
        for seen, row in zip(self._seen, flat, strict=True):
            seen.append(row[row > 0])

    def histograms(self, tokens: int) -> list[HistogramRow]:
        rows = []
        for unit, parts in zip(self.units, self._seen, strict=True):
            active = np.concatenate(parts) if parts else np.empty(0)
            top = float(active.max()) if active.size else 0.0
            places = np.ceil(active / top * BUCKETS).astype(np.int64) - 1 if active.size else np.empty(0, np.int64)
            counts = np.bincount(np.clip(places, 0, BUCKETS - 1), minlength=BUCKETS)
            rows.append(HistogramRow(unit.unit, tokens, top, tuple(int(count) for count in counts)))
        return rows


@dataclass
class _Sums:
    """Sums over tokens, for Pearson's correlation of every sampled unit with every other."""

    x: Float[Tensor, " sampled"]
    xx: Float[Tensor, " sampled"]
    y: Float[Tensor, " other"]
    yy: Float[Tensor, " other"]
    xy: Float[Tensor, "sampled other"]
    n: int = 0

    def add(self, x: Float[Tensor, "token sampled"], y: Float[Tensor, "token other"]) -> None:
        self.x += x.double().sum(0)
        self.xx += x.double().square().sum(0)
        self.y += y.double().sum(0)
        self.yy += y.double().square().sum(0)
        self.xy += x.T @ y
        self.n += len(x)

    def correlations(self) -> Float[np.ndarray, "sampled other"]:
        """NaN where one of the two does not vary."""
        over = max(self.n, 1)
        shared = self.xy.double() - torch.outer(self.x, self.y) / over
        sizes = [(s2 - s.square() / over).clamp_min(0).sqrt() for s, s2 in ((self.x, self.xx), (self.y, self.yy))]
        size = torch.outer(*sizes)
        found = torch.where(size > 1e-9, shared / size, torch.full_like(size, torch.nan))
        return found.clamp(-1, 1).cpu().numpy()


class _Together:
    """Sampled units of one arm beside all units of another at the same hook."""

    def __init__(self, source: _Drawn, target: Readout, seed: int) -> None:
        self.source, self.target, self._seed = source, target, seed
        self._true: _Sums | None = None
        self._moved: _Sums | None = None

    def add(self, others: Float[Tensor, "context token other"]) -> None:
        """One batch, as the sampled units have just seen it."""
        mine = self.source.values
        if self._true is None or self._moved is None:
            sizes, where = (mine.shape[-1], others.shape[-1]), others.device
            self._true, self._moved = (_empty(*sizes, where) for _ in range(2))
        flat = others.reshape(-1, others.shape[-1])
        self._true.add(mine.reshape(-1, mine.shape[-1]), flat)
        if len(mine) > 1:
            self._moved.add(mine.roll(1, 0).reshape(-1, mine.shape[-1]), flat)

    def rows(self, widths: Mapping[str, int]) -> list[RelationRow]:
        """The nearest of every sampled unit, both ways."""
        if self._true is None or self._moved is None:
            return []
        units, target = self.source.units, self.target
        ids = np.array([unit.unit for unit in _all_units(target)])
        bases = np.array([base_id(name) for name in ids])
        correlations = self._true.correlations()
        moved = self._moved.correlations() if self._moved.n else np.full_like(correlations, np.nan)
        cosines, random = self._cosines(widths[target.hook], moved.shape)
        rows = []
        for place, unit in enumerate(units):
            other = bases != base_id(unit.unit.replace(SPARSE, "", 1))
            ways = {"cosine": (cosines, random), "correlation": (correlations, moved)}
            for by, (values, chance) in ways.items():
                known = np.flatnonzero(other & ~np.isnan(values[place]))
                best = known[np.argsort(-values[place][known], kind="stable")[:NEAREST]]
                if not best.size or (by == "cosine" and values[place][best[0]] <= 1e-6):
                    continue
                by_chance = chance[place][other]
                least = None if np.isnan(by_chance).all() else float(np.nanmax(by_chance))
                for rank, found in enumerate(best):
                    both = (_known(cosines[place][found]), _known(correlations[place][found]))
                    rows.append(RelationRow(unit.unit, target.arm, by, rank, str(ids[found]), *both, least))
        return rows

    def _cosines(
        self, width: int, shape: tuple[int, ...]
    ) -> tuple[Float[np.ndarray, "sampled other"], Float[np.ndarray, "sampled other"]]:
        """Of what both write, and of random directions, as many as sampled units; NaN: unknown."""
        found, by_chance = np.full(shape, np.nan), np.full(shape, np.nan)
        mine = self.source.readout.writes(width)
        if isinstance(mine, Unscored):
            return found, by_chance
        mine = torch.nn.functional.normalize(mine.float().cpu(), dim=1)
        drawn = rng_of(self._seed, "relations", self.target.arm).standard_normal(mine.shape)
        random = torch.nn.functional.normalize(torch.from_numpy(drawn).float(), dim=1)
        others = _all_units(self.target)
        for start in range(0, len(others), _ROWS):
            part = slice(start, start + _ROWS)
            written = self.target.narrowed(others[part]).writes(width)
            if isinstance(written, Unscored):
                return found, by_chance
            theirs = torch.nn.functional.normalize(written.float().cpu(), dim=1).T
            found[:, part] = (mine @ theirs).numpy()
            by_chance[:, part] = (random @ theirs).numpy()
        return found.clip(-1, 1), by_chance.clip(-1, 1)


def _empty(sampled: int, other: int, device: torch.device) -> _Sums:
    x, xx, y, yy = (torch.zeros(n, dtype=torch.float64, device=device) for n in (sampled, sampled, other, other))
    return _Sums(x, xx, y, yy, torch.zeros(sampled, other, device=device))


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _all_units(readout: Readout) -> list[Unit]:
    """Every unit of an arm, drawn or not; their statistics are not known here."""
    oriented = bool((readout.signs < 0).any())
    return [
        Unit(unit_id(readout.arm, int(index), int(sign), oriented), 0, readout.arm, readout.hook, readout.sae,
             int(index), int(sign), 0.0, 0.0, 0.0, 0.0)
        for index, sign in zip(readout.indices, readout.signs, strict=True)
    ]  # fmt: skip


def _survey_rows(targets: Sequence[Readout], surveys: Sequence[Surveyor], tokens: int) -> list[SurveyRow]:
    rows = []
    for target, surveyor in zip(targets, surveys, strict=True):
        found = surveyor.finish()
        for place, unit in enumerate(_all_units(target)):
            rows.append(SurveyRow(
                unit.unit, target.arm, target.hook, target.sae, unit.index, unit.sign, tokens,
                float(found.density[place]), int(found.contexts[place]), float(found.peak[place]),
                float(found.single_token[place]),
            ))  # fmt: skip
    return rows
