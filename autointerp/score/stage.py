"""The stage: tables of truths and predictions in, one row per unit, scorer, metric, slice and pairing out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autointerp.contexts.naming import Named
from autointerp.contexts.reading import load_contexts
from autointerp.contexts.slices import (
    CALIBRATION,
    JUDGED,
    TOP_AND_RANDOM,
    UNLISTED,
    Held,
    UnitKey,
    held_of,
    read_slices,
)
from autointerp.errors import BadInput
from autointerp.judge.registry import traits_of
from autointerp.metrics.calibration import NO_CONTEXTS, score_on
from autointerp.metrics.metrics import METRICS, any_absolute, chance_of
from autointerp.progress import bar
from autointerp.records import Context, Pairing, Status, Unscored
from autointerp.rows import ScoreRow, state_of
from autointerp.score.predictions import ALONE, ByKind, Explanations, Judged, Predictions, Shuffled
from autointerp.simulate.literal import readers_of
from autointerp.simulate.lookup import LOOKUP
from autointerp.study import Study
from autointerp.tables import read_arrow, table_writer
from autointerp.units.scrambled import subject_of

_NOTHING_HELD = Held(np.empty(0, dtype=np.int64), np.empty((0, 0), dtype=np.float32), np.empty(0))


@dataclass(frozen=True)
class ScoredUnit:
    """A sampled unit, as far as scoring needs to know it."""

    key: UnitKey
    arm: str
    failure: Unscored | None
    """Why the unit can't be scored whatever is predicted."""
    alone: bool
    """Whether it is the only sampled unit of its arm."""


def scorers_of(study: Study) -> tuple[str, ...]:
    """The simulators whose predictions are scored, the one of the headline first."""
    extra = (LOOKUP,) if study.simulate.lookup and study.simulate.method != LOOKUP else ()
    return (study.simulate.method, *readers_of(study), *extra)


def check_metrics(study: Study) -> None:
    """Raise BadInput, before anything runs, for a metric that needs a scale where nothing is set apart to fit one."""
    absolute = [name for name in study.score.metrics if METRICS[name].absolute]
    if absolute and not study.corpus.calibration:
        raise BadInput(
            f"score.metrics has '{absolute[0]}', which needs predictions in the unit's own scale",
            "set apart text that fits it, for example corpus.calibration = 0.1 and less corpus.train",
        )


def score(study: Study, run_dir: Path) -> None:
    """Write `scores.parquet` from the run's tables.

    Every unit that was sampled (status other than excluded) gets a row for every scorer, metric, slice and pairing,
    scored or with the reason why not. The lookup simulator has no shuffled pairing: it uses no explanation. The
    study's judges are scorers too, with metrics and a slice of their own.
    Raises BadInput when a table is missing.
    """
    units = _sampled(run_dir)
    scorer = _Scorer(study, run_dir)
    with table_writer("scores", run_dir / "scores.parquet") as table, bar("score", len(units), "units") as progress:
        for unit in units:
            for row in scorer.rows(unit):
                table.add(row)
            progress.advance()


def _sampled(run_dir: Path) -> list[ScoredUnit]:
    columns = ["unit", "replicate", "arm", "status", "reason"]
    rows = [
        row
        for row in read_arrow(run_dir / "units.parquet", columns).to_pylist()
        if row["status"] != Status.EXCLUDED.value
    ]
    sizes = Counter((row["arm"], row["replicate"]) for row in rows)
    return [
        ScoredUnit(
            key=(str(row["unit"]), int(row["replicate"])),
            arm=str(row["arm"]),
            failure=None if row["status"] == Status.OK.value else Unscored(str(row["reason"])),
            alone=sizes[row["arm"], row["replicate"]] == 1,
        )
        for row in rows
    ]


@dataclass(frozen=True)
class _ScoredCell:
    """What the rows of one unit for one scorer, metric and slice share."""

    scorer: str
    metric: str
    slice: str
    chance: float
    n_tokens: int | None
    n_contexts: int


class _Scorer:
    def __init__(self, study: Study, run_dir: Path) -> None:
        self._study = study
        self._slices = read_slices(run_dir, study.evidence, any_absolute(study.score.metrics))
        self._explanations = Explanations(run_dir)
        self._predictions = Predictions(run_dir)
        self._shuffled, self._by_kind = Shuffled(run_dir), ByKind(run_dir)
        self._judged = Judged(run_dir) if study.judge.methods else None
        self._named, self._contexts = Named(), self._named_in(run_dir)

    def _named_in(self, run_dir: Path) -> Mapping[int, Context]:
        """The contexts whose words count, where a slice is of tokens."""
        if UNLISTED not in self._study.score.slices:
            return {}
        wanted = (int(c) for of_unit in self._slices.values() for c in of_unit[TOP_AND_RANDOM].contexts)
        return load_contexts(run_dir / "contexts.parquet", wanted)

    def _held(self, unit: UnitKey, slice_name: str) -> Held:
        texts = self._explanations.texts(unit)
        held = held_of(self._slices.get(unit, {}), slice_name, texts, self._contexts, self._named)
        return _NOTHING_HELD if held is None else held

    def rows(self, unit: ScoredUnit) -> Iterator[ScoreRow]:
        for scorer in scorers_of(self._study):
            for slice_name in self._study.score.slices:
                held = self._held(unit.key, slice_name)
                for metric in self._study.score.metrics:
                    truth = held.pooled(held.truth)
                    chance = chance_of(metric, truth, held.token_weights)
                    cell = _ScoredCell(scorer, metric, slice_name, chance, int(truth.size), len(held))
                    yield self._row(unit, Pairing.OWN, cell, self._own(unit, cell, held))
                    if scorer != LOOKUP:
                        other = self._other(unit, scorer, metric, slice_name, held)
                        yield self._row(unit, Pairing.SHUFFLED, cell, other)
                        for kind in self._by_kind.pairings:
                            best = self._by_kind.score(unit.key, scorer, kind, metric, slice_name)
                            yield self._row(unit, kind, cell, unit.failure or best)
        if self._judged is not None:
            yield from self._judged_rows(unit, self._judged)

    def _judged_rows(self, unit: ScoredUnit, judged: Judged) -> Iterator[ScoreRow]:
        alone = ALONE if unit.alone else None
        for judge in self._study.judge.methods:
            traits = traits_of(judge)
            unexplained = self._explanations.failure(unit.key) if traits.needs_explanation else None
            for metric in traits.metrics:
                chance = judged.chance(judge, metric)
                cell = _ScoredCell(judge, metric, JUDGED, chance, None, judged.contexts(unit.key, judge))
                own = unit.failure or unexplained or judged.own(unit.key, judge, metric)
                yield self._row(unit, Pairing.OWN, cell, own, traits.needs_explanation)
                if traits.needs_explanation:
                    other = unit.failure or alone or judged.shuffled(unit.key, judge, metric)
                    yield self._row(unit, Pairing.SHUFFLED, cell, other)

    def _own(self, unit: ScoredUnit, cell: _ScoredCell, held: Held) -> float | Unscored:
        failure = unit.failure or (None if len(held) else NO_CONTEXTS)
        if failure is None and (cell.scorer != LOOKUP or cell.slice == UNLISTED):
            failure = self._explanations.failure(unit.key)
        if failure is not None:
            return failure
        calibration = self._slices.get(unit.key, {}).get(CALIBRATION)
        return score_on(cell.metric, held, calibration, lambda some: self._predictions.on(unit.key, cell.scorer, some))

    def _other(self, unit: ScoredUnit, scorer: str, metric: str, slice_name: str, held: Held) -> float | Unscored:
        if unit.failure is not None:
            return unit.failure
        if not len(held):
            return NO_CONTEXTS
        return ALONE if unit.alone else self._shuffled.mean(unit.key, scorer, metric, slice_name)

    def _row(
        self, unit: ScoredUnit, pairing: Pairing, cell: _ScoredCell, answer: float | Unscored, explained: bool = True
    ) -> ScoreRow:
        status, reason = state_of(answer)
        return ScoreRow(
            unit=unit.key[0],
            arm=unit.arm,
            pairing=pairing,
            explainer=self._explanations.explainer(unit.key) if explained and cell.scorer != LOOKUP else "",
            scorer=cell.scorer,
            metric=cell.metric,
            slice=cell.slice,
            replicate=unit.key[1],
            value=None if isinstance(answer, Unscored) else answer,
            chance=cell.chance,
            n_tokens=cell.n_tokens,
            n_contexts=cell.n_contexts,
            status=status,
            reason=reason,
            kind=self._explanations.kind(unit.key),
            subject=subject_of(unit.arm),
        )
