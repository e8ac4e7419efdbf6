"""The simulate stage on tables of its own: whose token table, whose explanation, which slice, which metric."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from autointerp.artifacts import rng_of
from autointerp.collect.token_table import TokenTable, write_token_tables
from autointerp.contexts.slices import RANDOM_ONLY, TOP_AND_RANDOM
from autointerp.progress import Bar
from autointerp.records import Context, Kind, Scale, Simulation, Split, Status, Unscored
from autointerp.simulate.interface import Task
from autointerp.simulate.stage import simulate
from autointerp.study_file import parse_study
from autointerp.tables import CANDIDATES, TABLES, read_arrow, write_table

STUDY = parse_study({
    "scrambled": {"seeds": []},
    "evidence": {"held_out_top": 2, "held_out_random": 1, "random_only": 3},
    "score": {"metrics": ["pearson", "spearman", "auroc"], "slices": [TOP_AND_RANDOM, RANDOM_ONLY]},
    "compare": {"derangements": 3},
    "simulate": {"literal": False, "both_kinds": False},
})  # fmt: skip
CONTEXTS, TOKENS = 9, 5
CANDIDATES_OF = {
    "feature": ["feature/3", "feature/5", "feature/8", "feature/9"],
    "neuron": ["neuron/2+", "neuron/2-", "neuron/6+", "neuron/6-"],
}
"""Of each arm, in the order of its token table."""
DEAD = "feature/5"
CHOSEN = ["feature/9", "neuron/6-", "feature/8", "neuron/2+", "feature/3"]
"""Units that were chosen, in another order than the candidates."""
IDS = np.arange(CONTEXTS * TOKENS).reshape(CONTEXTS, TOKENS)


class Seeded:
    """Predicts numbers that depend on the explanation and the token alone; answers in reverse order."""

    name, scale = "seeded", Scale.NATS

    def simulate(self, tasks: Sequence[Task], progress: Bar) -> Iterator[tuple[int, Simulation | Unscored]]:
        for place in reversed(range(len(tasks))):
            yield place, Simulation(predicted(tasks[place].explanation, tasks[place].contexts), self.scale)


def predicted(explanation: str, contexts: Sequence[Context]) -> np.ndarray:
    rows = [[rng_of(explanation, int(token)).normal() for token in context.tokens] for context in contexts]
    return np.array(rows, dtype=np.float32)


def _unit(unit: str, arm: str, status: Status) -> dict[str, Any]:
    return {
        "unit": unit, "replicate": 0, "arm": arm, "hook": "h", "sae": "", "index": 0, "sign": 1, "threshold": 0.0,
        "density": 0.5, "max_activation": 1.0, "single_token": 0.5, "status": status.value, "reason": "",
    }  # fmt: skip


@pytest.fixture(scope="module")
def truths() -> dict[str, np.ndarray]:
    """Sparse activations of the chosen units on every context."""
    made = {unit: rng_of("truth", unit).normal(-0.3, 1, size=(CONTEXTS, TOKENS)) for unit in CHOSEN}
    return {unit: np.maximum(values, 0).astype(np.float32) for unit, values in made.items()}


def _drawn(unit: str) -> tuple[list[int], list[int]]:
    """Top and random contexts, others for every unit, none of them twice."""
    order = rng_of("drawn", unit).permutation(CONTEXTS)
    return [int(c) for c in order[:2]], [int(c) for c in order[2:5]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, truths: dict[str, np.ndarray]) -> Path:
    folder = tmp_path_factory.mktemp("run")
    (folder / "work").mkdir()
    write_table("contexts", folder / "contexts.parquet", [
        {"context": c, "split": Split.HELD_OUT.value, "document": c, "source": "s", "start": 0,
         "tokens": IDS[c].tolist(), "pieces": [f" {i}" for i in IDS[c]]}
        for c in range(CONTEXTS)
    ])  # fmt: skip
    write_table("units", folder / CANDIDATES, [
        _unit(unit, arm, Status.EXCLUDED if unit == DEAD else Status.OK)
        for arm, members in CANDIDATES_OF.items() for unit in members
    ])  # fmt: skip
    write_table("units", folder / "units.parquet", [
        *(_unit(unit, unit.partition("/")[0], Status.OK) for unit in CHOSEN),
        _unit(DEAD, "feature", Status.EXCLUDED),
    ])  # fmt: skip
    evidence = []
    for unit in CHOSEN:
        top, random = _drawn(unit)
        evidence += [
            {"unit": unit, "replicate": 0, "context": c, "kind": kind.value, "weight": 1.0,
             "activations": truths[unit][c].tolist()}
            for kind, drawn in ((Kind.TOP, top), (Kind.RANDOM, random)) for c in drawn
        ]  # fmt: skip
    write_table("evidence", folder / "evidence.parquet", evidence)
    write_table("explanations", folder / "explanations.parquet", [
        {"unit": unit, "arm": unit.partition("/")[0], "explainer": "e", "replicate": 0, "text": f"about {unit}",
         "candidates": 1, "evidence_score": 0.5, "prompt": "", "request": "", "status": Status.OK.value, "reason": ""}
        for unit in CHOSEN
    ])  # fmt: skip
    tables = {}
    for arm, members in CANDIDATES_OF.items():
        kept = [unit for unit in members if unit != DEAD]
        means = np.array([[_mean(unit, token) for unit in kept] for token in range(0, IDS.size, 2)], dtype=np.float32)
        overall = np.array([_overall(unit) for unit in kept], dtype=np.float32)
        tables[arm] = TokenTable(np.arange(0, IDS.size, 2), means, overall)
    write_token_tables(folder / TABLES, tables)
    simulate(STUDY, Seeded(), folder)
    return folder


def _overall(unit: str) -> float:
    return 1000.0 + 10 * [u for members in CANDIDATES_OF.values() for u in members].index(unit)


def _mean(unit: str, token: int) -> float:
    """In the evidence; a token with an odd id is not in it."""
    return _overall(unit) + token / 64


def _table(run: Path, name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = read_arrow(run / f"{name}.parquet").to_pylist()
    return rows


def test_every_unit_is_looked_up_in_its_own_column_of_its_own_arms_table(run: Path) -> None:
    """Candidates that were excluded have no column; of a neuron's two orientations each has its own."""
    seen = set()
    for row in _table(run, "simulations"):
        if row["simulator"] == "lookup":
            unit = row["unit"]
            seen.add(unit)
            wanted = [_overall(unit) if token % 2 else _mean(unit, token) for token in IDS[row["context"]].tolist()]
            assert row["predicted"] == wanted, unit
    assert seen == set(CHOSEN)


def test_own_predictions_are_of_the_units_own_explanation_on_its_own_contexts(run: Path) -> None:
    found: dict[str, dict[int, list[float]]] = {}
    for row in _table(run, "simulations"):
        if row["simulator"] == "seeded":
            found.setdefault(row["unit"], {})[row["context"]] = row["predicted"]
    assert set(found) == set(CHOSEN)
    for unit, predictions in found.items():
        top, random = _drawn(unit)
        assert set(predictions) == {*top, *random}
        for context, values in predictions.items():
            assert values == [float(np.float32(rng_of(f"about {unit}", int(t)).normal())) for t in IDS[context]]


def _loop(metric: str, truth: np.ndarray, guess: np.ndarray) -> float:
    if metric == "pearson":
        return float(stats.pearsonr(truth, guess).statistic)
    if metric == "spearman":
        return float(stats.spearmanr(truth, guess).statistic)
    pairs = [(a > b) + 0.5 * (a == b) for a in guess[truth > 0] for b in guess[truth == 0]]
    return float(np.mean(pairs))


def test_each_metric_of_another_units_explanation_is_of_the_slice_it_is_named_after(
    run: Path, truths: dict[str, np.ndarray]
) -> None:
    """Against a plain loop, in which the first of the random contexts join the top ones."""
    rows = _table(run, "shuffled")
    assert len(rows) == len(CHOSEN) * 3 * 3 * 2  # units, derangements, metrics, slices
    for row in rows:
        unit, other = row["unit"], row["explanation_of"]
        assert unit != other
        assert unit.partition("/")[0] == other.partition("/")[0]
        top, random = _drawn(unit)
        contexts = [*top, *random[:1]] if row["slice"] == TOP_AND_RANDOM else random
        guess = np.concatenate([[rng_of(f"about {other}", int(t)).normal() for t in IDS[c]] for c in contexts])
        expected = _loop(row["metric"], truths[unit][contexts].ravel(), guess.astype(np.float32))
        assert row["value"] == pytest.approx(expected, abs=1e-6), (unit, row["metric"], row["slice"])


def test_of_a_derangement_every_unit_of_an_arm_explains_another(run: Path) -> None:
    for derangement in range(3):
        pairs = {
            row["unit"]: row["explanation_of"] for row in _table(run, "shuffled") if row["derangement"] == derangement
        }
        assert set(pairs) == set(pairs.values()) == set(CHOSEN)
