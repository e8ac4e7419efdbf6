"""The explain stage on a subject whose activations are known: what ranks, what is chosen, what may not be there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from autointerp.collect.stage import collect
from autointerp.contexts.reading import load_contexts
from autointerp.contexts.sharing import UnitEvidence, read_exemplars, share_out
from autointerp.errors import CheckFailed
from autointerp.explain.proposing import set_apart
from autointerp.explain.stage import explain
from autointerp.progress import Bar
from autointerp.records import Context, Scale, Simulation, Unscored
from autointerp.simulate.interface import Task
from autointerp.study import Study
from autointerp.study_file import parse_study
from autointerp.tables import CANDIDATES, EFFECTS, EVIDENCE, read_table, write_table
from tests.collect.doubles import LATENTS, LENGTH, KnownSubject, Relu, write_contexts


class Words:
    """Predicts 1 on every token whose word the explanation names, and keeps what it was asked."""

    name, scale = "words", Scale.NATS

    def __init__(self) -> None:
        self.seen: list[Task] = []

    def simulate(self, tasks: Sequence[Task], progress: Bar) -> Iterator[tuple[int, Simulation | Unscored]]:
        for place in reversed(range(len(tasks))):
            self.seen.append(tasks[place])
            yield place, Simulation(predicted(tasks[place].explanation, tasks[place].contexts), self.scale)


def predicted(explanation: str, contexts: Sequence[Context]) -> np.ndarray:
    named = explanation.removeprefix("words such as ").split(", ")
    return np.array([[float(piece.strip() in named) for piece in c.pieces] for c in contexts], dtype=np.float32)


def study(method: str = "exemplars") -> Study:
    """Without density-matched arms: no two units rank on the same contexts."""
    return parse_study({
        "scrambled": {"seeds": []},
        "corpus": {"context": LENGTH},
        "subject": {"batch": 50},
        "units": {"features": 3, "neurons": 3, "directions": 2, "min_contexts": 3, "controls": ["direction"]},
        "evidence": {"top": 6, "quantiles": 2, "per_quantile": 1, "random": 6, "random_only": 8},
        "explain": {"method": method, "candidates": 6},
    })  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Path:
    write_contexts(tmp_path)
    collect(study(), KnownSubject(), {"sae": (Relu(), LATENTS)}, tmp_path)
    write_table("effects", tmp_path / EFFECTS, [])
    return tmp_path


def explained(run: Path) -> Words:
    """The stage with an explainer that asks nobody."""
    simulator = Words()
    explain(study(), run, lambda: pytest.fail("there is nothing to ask"), lambda: nullcontext(simulator))
    return simulator


def shares(run: Path) -> dict[str, UnitEvidence]:
    return {unit: share_out(unit, rows) for unit, rows in read_exemplars(run / EVIDENCE).items()}


def test_every_candidate_is_ranked_on_the_contexts_of_its_unit_that_were_not_shown(run: Path) -> None:
    asked = explained(run).seen
    wanted = {tuple(e.context for e in share.ranking) for share in shares(run).values()}
    assert {tuple(c.context for c in task.contexts) for task in asked} == wanted
    candidates = read_table(run / CANDIDATES)
    assert len(asked) == 6 * candidates.loc[candidates["status"] == "ok", ["arm", "index"]].drop_duplicates().shape[0]


def test_the_best_candidate_is_kept_with_its_score_and_the_orientation_that_it_explains(run: Path) -> None:
    """By plain loops: all that was ranked on a unit's contexts, and Pearson by its definition."""
    asked = explained(run).seen
    of_unit = shares(run)
    units, told = read_table(run / "units.parquet"), read_table(run / "explanations.parquet").set_index("unit")
    sampled = units[units["status"] == "ok"]
    assert set(sampled["unit"]) == set(told.index)
    turned = 0
    for name, arm, index in sampled[["unit", "arm", "index"]].itertuples(index=False):
        sides = [side for side in (f"{arm}/{index}", f"{arm}/{index}+", f"{arm}/{index}-") if side in of_unit]
        best: list[tuple[float, str, str]] = []
        for side in sides:
            ranking = of_unit[side].ranking
            truth = np.concatenate([e.activations for e in ranking]).astype(np.float64)
            tasks = [t for t in asked if [c.context for c in t.contexts] == [e.context for e in ranking]]
            for task in tasks:
                guess = predicted(task.explanation, task.contexts).ravel()
                if guess.std() > 0:
                    best.append((float(np.corrcoef(truth, guess)[0, 1]), side, task.explanation))
        top = max(score for score, _, _ in best)
        assert told.loc[name, "evidence_score"] == pytest.approx(top, abs=1e-6)
        assert (name, told.loc[name, "text"]) in {(s, text) for score, s, text in best if score > top - 1e-6}
        turned += len(sides) == 2 and name.endswith("-")
    assert turned, "a neuron that is better explained by its negative side"


class Blind(Words):
    """Predicts the same everywhere: nothing can be ranked."""

    def simulate(self, tasks: Sequence[Task], progress: Bar) -> Iterator[tuple[int, Simulation | Unscored]]:
        for place, result in super().simulate(tasks, progress):
            assert isinstance(result, Simulation)
            yield place, Simulation(np.zeros_like(result.predicted), self.scale)


def test_a_neuron_of_which_nothing_can_be_ranked_has_the_orientation_of_its_larger_peak(run: Path) -> None:
    explain(study(), run, lambda: pytest.fail("there is nothing to ask"), lambda: nullcontext(Blind()))
    told = read_table(run / "explanations.parquet")
    assert set(told["status"]) == {"unscored"}
    assert told["reason"].str.endswith("constant prediction").all()
    assert told["evidence_score"].isna().all()
    candidates = read_table(run / CANDIDATES)
    neurons = candidates[candidates["arm"] == "neuron"]
    assert len(neurons) == 6, "both orientations of three"
    larger = neurons.loc[neurons.groupby("index", sort=False)["max_activation"].idxmax(), "unit"]
    assert told.loc[told["arm"] == "neuron", "unit"].tolist() == larger.tolist()
    assert set(larger.str[-1]) == {"+", "-"}


SHARES = {"shown": lambda share: share.shown, "ranking": lambda share: share.ranking}
"""What a unit's evidence is shared out into."""


@pytest.mark.parametrize("last", [False, True], ids=["first", "last"])
@pytest.mark.parametrize("part", SHARES)
def test_held_out_text_that_would_be_shown_or_rank_stops_the_stage(run: Path, part: str, last: bool) -> None:
    """Of all units it is one, and one context; nothing is asked and nothing is written."""
    unit, share = list(shares(run).items())[-1 if last else 0]
    exemplar = SHARES[part](share)[-1 if last else 0]
    make_held_out(run, exemplar.context)
    with pytest.raises(CheckFailed, match=f"context {exemplar.context} is of split 'held-out', not evidence"):
        explain(study(), run, lambda: pytest.fail("asked"), lambda: pytest.fail("ranked"))
    assert not (run / "explanations.parquet").exists(), unit


@pytest.mark.parametrize("part", [0, 1], ids=["tried on", "ranking"])
def test_held_out_text_that_would_try_or_rank_a_revision_stops_the_stage(run: Path, part: int) -> None:
    _, share = next(iter(shares(run).items()))
    validation, left = set_apart(share)
    make_held_out(run, (validation, left.ranking)[part][0].context)
    with pytest.raises(CheckFailed, match="is of split 'held-out', not evidence"):
        explain(study("revise"), run, lambda: pytest.fail("asked"), lambda: pytest.fail("ranked"))


def make_held_out(run: Path, context: int) -> None:
    rows: list[dict[str, Any]] = read_table(run / "contexts.parquet").to_dict("records")  # type: ignore[assignment]
    for row in rows:
        if row["context"] == context:
            row["split"] = "held-out"
    write_table("contexts", run / "contexts.parquet", rows)
    assert str(load_contexts(run / "contexts.parquet", [context])[context].split) == "held-out"


def test_contexts_that_were_shown_do_not_rank(run: Path) -> None:
    """Here, where evidence is rare enough that a unit's random contexts are often top ones too."""
    both = 0
    for share in shares(run).values():
        shown, ranking = ({e.context for e in part} for part in (share.shown, share.ranking))
        assert shown
        assert ranking
        assert not shown & ranking
        assert len(ranking) == len(share.ranking), "each once"
    candidates: pd.DataFrame = read_table(run / CANDIDATES)
    rows = read_exemplars(run / EVIDENCE)
    for unit in candidates.loc[candidates["status"] == "ok", "unit"]:
        kinds = [{e.context for e in rows[unit] if e.kind == kind} for kind in ("top", "random")]
        both += bool(kinds[0] & kinds[1])
    assert both
