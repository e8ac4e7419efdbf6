"""The simulate stage: each unit's own explanation, and other units', on its held-out contexts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from autointerp.collect.token_table import read_token_tables
from autointerp.contexts.naming import Named
from autointerp.contexts.pairing import OWN, Pair, Sampled, own_pairs, read_sampled, shuffled_pairs
from autointerp.contexts.reading import load_contexts
from autointerp.contexts.slices import CALIBRATION, Held, held_of
from autointerp.metrics.calibration import score_on
from autointerp.metrics.metrics import any_absolute
from autointerp.progress import bar
from autointerp.records import Context, Simulation, Status, Unscored
from autointerp.rows import ShuffledRow, SimulationRow, state_of
from autointerp.simulate.interface import Simulator, Task
from autointerp.simulate.literal import Literal, readers_of
from autointerp.simulate.lookup import LOOKUP, Lookup
from autointerp.study import Study
from autointerp.tables import CANDIDATES, TABLES, TableWriter, read_table, table_writer


def simulate(study: Study, simulator: Simulator, run: Path) -> None:
    """Write `simulations.parquet` (own pairing) and `shuffled.parquet` (scores with other units' explanations).

    A unit without an explanation is unscored with the reason; a pairing that meets one is unscored too, never
    skipped. What reads the same explanations without a model (`literal`), and the token table (`lookup`), go beside.
    """
    units = read_sampled(study, run, any_absolute(study.score.metrics))
    contexts = load_contexts(run / "contexts.parquet", (c for u in units for c in u.contexts))
    pairs = [*own_pairs(units), *shuffled_pairs(units, study.compare.derangements, study.seed)]
    named = Named()
    with (
        table_writer("simulations", run / "simulations.parquet") as simulations,
        table_writer("shuffled", run / "shuffled.parquet") as shuffled,
    ):
        for reader in (simulator, *(Literal(name) for name in readers_of(study))):
            own, others = _ask(study, reader, pairs, contexts, named)
            for predicted in own:
                simulations.add(predicted)
            for scored in others:
                shuffled.add(scored)
        if study.simulate.lookup:
            _look_up(run, units, contexts, simulations)


def _ask(
    study: Study,
    simulator: Simulator,
    pairs: Sequence[Pair],
    contexts: Mapping[int, Context],
    named: Named,
) -> tuple[list[SimulationRow], list[ShuffledRow]]:
    """Simulate every pair; rows of `simulations` and of `shuffled`, in the order of the pairs."""
    own: dict[int, list[SimulationRow]] = {}
    others: dict[int, list[ShuffledRow]] = {}

    def keep(number: int, result: Simulation | Unscored) -> None:
        pair = pairs[number]
        if pair.derangement == OWN:
            own[number] = list(_predictions(pair, simulator.name, result))
        else:
            others[number] = list(_scored(study, pair, simulator.name, result, contexts, named))

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
    return [row for n in sorted(own) for row in own[n]], [row for n in sorted(others) for row in others[n]]


def _predictions(pair: Pair, simulator: str, result: Simulation | Unscored) -> Iterator[SimulationRow]:
    for position, context in enumerate(pair.unit.contexts):
        predicted, scale = (None, None) if isinstance(result, Unscored) else (result.predicted[position], result.scale)
        yield SimulationRow(pair.unit.unit, simulator, 0, context, predicted, scale, *state_of(result))


def _scored(
    study: Study,
    pair: Pair,
    simulator: str,
    result: Simulation | Unscored,
    contexts: Mapping[int, Context],
    named: Named,
) -> Iterator[ShuffledRow]:
    texts = [text for text in (pair.unit.explanation, pair.explained.explanation) if isinstance(text, str)]
    positions = {context: position for position, context in enumerate(pair.unit.contexts)}
    calibration = pair.unit.slices.get(CALIBRATION)

    def predict(held: Held) -> Float[np.ndarray, "context token"] | Unscored:
        return result if isinstance(result, Unscored) else result.predicted[[positions[int(c)] for c in held.contexts]]

    for slice_name in study.score.slices:
        held = held_of(pair.unit.slices, slice_name, texts, contexts, named)
        for metric in study.score.metrics:
            value = result if isinstance(result, Unscored) else score_on(metric, held, calibration, predict)
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
