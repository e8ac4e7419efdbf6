"""The simulate stage: each unit's own explanation, and other units', on its held-out contexts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from autointerp.collect.token_table import read_token_tables
from autointerp.contexts.naming import Named, kind_of
from autointerp.contexts.pairing import (
    OWN,
    Pair,
    Sampled,
    other_kind_pairs,
    own_pairs,
    read_sampled,
    shuffled_pairs,
)
from autointerp.contexts.reading import load_contexts
from autointerp.contexts.slices import CALIBRATION, Held, held_of
from autointerp.metrics.calibration import score_on
from autointerp.metrics.metrics import any_absolute
from autointerp.progress import bar
from autointerp.records import Context, Simulation, Status, Unscored
from autointerp.rows import ByKindRow, ShuffledRow, SimulationRow, answer_of, state_of
from autointerp.simulate.interface import Simulator, Task
from autointerp.simulate.literal import Literal, readers_of
from autointerp.simulate.lookup import LOOKUP, Lookup
from autointerp.study import Study
from autointerp.tables import BY_KIND, CANDIDATES, TABLES, TableWriter, read_table, table_writer
from autointerp.units.scrambled import subject_of


def simulate(study: Study, simulator: Simulator, run: Path) -> None:
    """Write `simulations.parquet` (own pairing), `shuffled.parquet` (scores with other units' explanations) and
    `by_kind.parquet` (scores with the best list and the best description of each unit).

    A unit without an explanation is unscored with the reason; a pairing that meets one is unscored too, never
    skipped. What reads the same explanations without a model (`literal`), and the token table (`lookup`), go beside.
    """
    units = read_sampled(study, run, any_absolute(study.score.metrics))
    contexts = load_contexts(run / "contexts.parquet", (c for u in units for c in u.contexts))
    pairs = tried_pairs(study, run, units)
    with (
        table_writer("simulations", run / "simulations.parquet") as simulations,
        table_writer("shuffled", run / "shuffled.parquet") as shuffled,
        table_writer("by_kind", run / BY_KIND) as by_kind,
    ):
        for reader in (simulator, *(Literal(name) for name in readers_of(study))):
            rows = _rows(study, reader, pairs, contexts)
            for table, kind in ((simulations, SimulationRow), (shuffled, ShuffledRow), (by_kind, ByKindRow)):
                for row in rows:
                    if isinstance(row, kind):
                        table.add(row)
        if study.simulate.lookup:
            _look_up(run, units, contexts, simulations)


def tried_pairs(study: Study, run: Path, units: Sequence[Sampled]) -> list[Pair]:
    """Every unit with every explanation that it is simulated with: its own first, others', its best of the other kind.

    The last only where the study asks for both kinds. BadInput where a table of proposals can't be read.
    """
    other_kind = other_kind_pairs(run, units) if study.simulate.both_kinds else []
    return [*own_pairs(units), *_shuffled(study, units), *other_kind]


def _shuffled(study: Study, units: Sequence[Sampled]) -> Iterator[Pair]:
    """Other units' explanations: fewer for units of scrambled subjects, where they tell what chance gives alone."""
    most = study.compare.derangements
    for scrambled, count in ((False, most), (True, min(most, study.scrambled.derangements))):
        chosen = [unit for unit in units if bool(subject_of(unit.arm)) == scrambled]
        yield from shuffled_pairs(chosen, count, study.seed_for("simulate"))


def _rows(
    study: Study, simulator: Simulator, pairs: Sequence[Pair], contexts: Mapping[int, Context]
) -> list[SimulationRow | ShuffledRow | ByKindRow]:
    """Simulate every pair, all in one go, and score what is not kept as it comes; rows in the order of the pairs."""
    scoring = _Scoring(study, contexts)
    rows: list[list[SimulationRow | ShuffledRow | ByKindRow]] = [[] for _ in pairs]

    def keep(number: int, result: Simulation | Unscored) -> None:
        pair = pairs[number]
        if pair.derangement == OWN:
            rows[number] += _predictions(pair, simulator.name, result)
        if pair.derangement >= 0:
            rows[number] += scoring.shuffled(pair, simulator.name, result)
        elif study.simulate.both_kinds:
            rows[number] += scoring.by_kind(pair, simulator.name, result)

    asked: list[int] = []
    tasks: list[Task] = []
    for number, pair in enumerate(pairs):
        text = pair.explained.explanation
        if isinstance(text, Unscored):
            keep(number, text)
        elif pair.unit.contexts:
            asked.append(number)
            tasks.append(Task(text, tuple(contexts[c] for c in pair.unit.contexts)))
    with bar(f"simulate: {simulator.name}", len(tasks), "pairings") as progress:
        for place, result in simulator.simulate(tasks, progress):
            keep(asked[place], result)
    return [row for of_pair in rows for row in of_pair]


def _predictions(pair: Pair, simulator: str, result: Simulation | Unscored) -> Iterator[SimulationRow]:
    for position, context in enumerate(pair.unit.contexts):
        predicted, scale = (None, None) if isinstance(result, Unscored) else (result.predicted[position], result.scale)
        yield SimulationRow(
            pair.unit.unit, simulator, 0, context, predicted, scale, *state_of(result), answer_of(result)
        )


class _Scoring:
    """Scores pairings whose predictions are not kept."""

    def __init__(self, study: Study, contexts: Mapping[int, Context]) -> None:
        self._study, self._contexts, self._named = study, contexts, Named()

    def shuffled(self, pair: Pair, simulator: str, result: Simulation | Unscored) -> Iterator[ShuffledRow]:
        """Of a unit with another unit's explanation."""
        for metric, slice_name, value in self._scores(pair, result):
            yield ShuffledRow(
                unit=pair.unit.unit,
                explanation_of=pair.explained.unit,
                simulator=simulator,
                replicate=0,
                derangement=pair.derangement,
                metric=metric,
                slice=slice_name,
                value=None if isinstance(value, Unscored) else value,
                status=state_of(value)[0],
                reason=state_of(value)[1],
            )

    def by_kind(self, pair: Pair, simulator: str, result: Simulation | Unscored) -> Iterator[ByKindRow]:
        """Of a unit with a text of its own; nothing where it has none."""
        if isinstance(pair.explained.explanation, Unscored):
            return
        kind = kind_of(pair.explained.explanation)
        for metric, slice_name, value in self._scores(pair, result):
            found = None if isinstance(value, Unscored) else value
            yield ByKindRow(pair.unit.unit, simulator, 0, kind, metric, slice_name, found, *state_of(value))

    def _scores(self, pair: Pair, result: Simulation | Unscored) -> Iterator[tuple[str, str, float | Unscored]]:
        positions = {context: position for position, context in enumerate(pair.unit.contexts)}
        calibration = pair.unit.slices.get(CALIBRATION)

        def predict(held: Held) -> Float[np.ndarray, "context token"] | Unscored:
            if isinstance(result, Unscored):
                return result
            return result.predicted[[positions[int(c)] for c in held.contexts]]

        for slice_name in self._study.score.slices:
            held = held_of(pair.unit.slices, slice_name, pair.texts, self._contexts, self._named)
            for metric in self._study.score.metrics:
                failed = result if isinstance(result, Unscored) else None
                yield metric, slice_name, failed or score_on(metric, held, calibration, predict)


def _look_up(run: Path, units: Sequence[Sampled], contexts: Mapping[int, Context], simulations: TableWriter) -> None:
    """The token table's predictions for every unit."""
    candidates = read_table(run / CANDIDATES, ["unit", "arm", "status"])
    candidates = candidates[candidates["status"] == str(Status.OK)]
    tables = read_token_tables(run / TABLES)
    place_of: dict[str, int] = {}
    for _, members in candidates.groupby("arm", sort=False):
        place_of |= {str(unit): position for position, unit in enumerate(members["unit"])}
    lookups = {arm: Lookup(table) for arm, table in tables.items()}
    for unit in units:
        if unit.contexts:
            simulation = lookups[unit.arm].predict(place_of[unit.unit], [contexts[c] for c in unit.contexts])
            for row in _predictions(Pair(unit, unit, OWN), LOOKUP, simulation):
                simulations.add(row)
