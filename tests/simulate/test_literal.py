"""`literal` and `literal-words`, alone and in a whole run: beside the simulator, own and shuffled."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import autointerp
from autointerp.compare.outcome import read_outcome
from autointerp.contexts.naming import named_words, word_of
from autointerp.contexts.pairing import OWN
from autointerp.progress import Bar
from autointerp.records import Scale
from autointerp.report.answer import answer
from autointerp.report.caveats import caveats
from autointerp.report.stage import headline
from autointerp.rows import READ_LITERALLY
from autointerp.run.folder import Run
from autointerp.run.verify import verify
from autointerp.simulate.interface import Task
from autointerp.simulate.literal import LITERAL, LITERAL_WORDS, Literal
from tests.simulate.contexts import context, predicted
from tests.small import small_study

SHARED = ("simulate.literal=true", "score.slices=['top-and-random', 'unlisted']", "score.metrics=['pearson']")
LEVELS = ["unit", "slice"]


def test_it_predicts_one_where_a_word_is_named() -> None:
    shown = (context(0, " Cat", "s", " sat"), context(1, " cat", " sat", ","))
    tasks = [Task("words such as cat, ,", shown), Task("words such as cats", shown), Task("anything else", shown)]
    for name, first in ((LITERAL, [[0, 0, 0], [1, 0, 1]]), (LITERAL_WORDS, [[0, 0, 0], [1, 0, 1]])):
        results = dict(Literal(name).simulate(tasks, Bar()))
        assert sorted(results) == [0, 1, 2]
        assert predicted(results[0]).tolist() == first
        second = predicted(results[1]).tolist()
        assert second == ([[1, 1, 0], [0, 0, 0]] if name == LITERAL_WORDS else [[0, 0, 0], [0, 0, 0]])
        assert not predicted(results[2]).any()
    (_, simulation) = next(iter(Literal().simulate(tasks, Bar())))
    assert getattr(simulation, "scale", None) == Scale.NAMED


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("literal")
    return autointerp.run(small_study(folder, *SHARED, "units.features=8", "units.neurons=8"), folder / "run")


def _values(run: Run, scorer: str, pairing: str) -> pd.Series:
    scores = run.table("scores")
    rows = scores[(scores["scorer"] == scorer) & (scores["pairing"] == pairing) & (scores["status"] == "ok")]
    return rows.set_index(LEVELS)["value"]


@pytest.mark.pipeline
def test_every_explanation_is_read_literally_own_and_shuffled(run: Run) -> None:
    scores = run.table("scores")
    for scorer in (LITERAL, LITERAL_WORDS):
        for pairing in ("own", "shuffled"):
            found = scores[(scores["scorer"] == scorer) & (scores["pairing"] == pairing)]
            assert found["unit"].nunique() == scores["unit"].nunique()
            assert set(found["slice"]) == {"top-and-random", "unlisted"}
    shuffled = run.table("shuffled")
    assert set(shuffled["simulator"]) == {"lift", LITERAL, LITERAL_WORDS}
    assert set(run.table("simulations")["simulator"]) == {"lift", LITERAL, LITERAL_WORDS, "lookup"}
    assert all(check.ok for check in verify(run.folder))


@pytest.mark.pipeline
def test_scores_are_those_of_a_plain_loop_over_the_tables(run: Run) -> None:
    """On all tokens; and for `lift` and the table on the tokens that the explanation does not name."""
    pieces = run.table("contexts").set_index("context")["pieces"]
    texts = run.table("explanations").set_index("unit")["text"]
    split = run.table("contexts").set_index("context")["split"]
    simulations, evidence = run.table("simulations"), run.table("evidence")
    matched = 0
    for unit, text in texts.items():
        rows = evidence[(evidence["unit"] == unit) & (evidence["context"].map(split) == "held-out")]
        chosen = pd.concat([rows[rows["kind"] == "top"], rows[rows["kind"] == "random"].head(3)])
        held = chosen.drop_duplicates("context").set_index("context")["activations"]
        named = np.array([[word_of(piece) in named_words(text) for piece in pieces[c]] for c in held.index])
        truth = np.stack(held.tolist())
        for scorer, slice_name, keep in (
            (LITERAL, "top-and-random", np.ones_like(named)), ("lift", "unlisted", ~named),
            ("lookup", "unlisted", ~named),
        ):  # fmt: skip
            mine = simulations[(simulations["unit"] == unit) & (simulations["simulator"] == scorer)]
            predictions = np.stack([mine.set_index("context")["predicted"][c] for c in held.index])
            if scorer == LITERAL:
                assert np.array_equal(predictions, named)
            found = _values(run, scorer, "own").get((unit, slice_name))
            if np.ptp(predictions[keep]) and np.ptp(truth[keep]):
                assert found == pytest.approx(np.corrcoef(predictions[keep], truth[keep])[0, 1], abs=1e-6)
                matched += 1
            else:
                assert found is None
    assert matched > 40


@pytest.mark.pipeline
def test_another_units_explanation_leaves_out_what_it_names_and_what_the_own_one_names(run: Run) -> None:
    """Literal reading knows nothing there, whoever's explanation it is."""
    shuffled = run.table("shuffled")
    literal = shuffled[(shuffled["simulator"] == LITERAL) & (shuffled["slice"] == "unlisted")]
    assert len(literal) > 100
    assert (literal["status"] != "ok").all()
    assert "constant prediction" in set(literal["reason"])
    lift = shuffled[(shuffled["simulator"] == "lift") & (shuffled["slice"] == "unlisted")]
    assert (lift["status"] == "ok").mean() > 0.8
    assert (shuffled["derangement"] != OWN).all()


@pytest.mark.pipeline
def test_what_the_model_adds_is_paired_and_a_constant_prediction_counts_as_chance(run: Run) -> None:
    scores, comparison = run.table("scores"), run.table("comparison")
    own = scores[(scores["pairing"] == "own") & (scores["slice"] == "top-and-random")]
    values = own["value"].where(own["reason"] != "constant prediction", 0.0)
    table = own.assign(value=values).pivot_table(index=["arm", "unit"], columns="scorer", values="value")
    rows = comparison[(comparison["baseline"] == "literal") & (comparison["stratum"] == "all")]
    assert set(rows["scorer"]) == {"lift"}, "what reads no explanation, or words alone, is not held against them"
    for row in rows[rows["slice"] == "top-and-random"].to_dict("records"):
        both = table.loc[row["arm"], ["lift", LITERAL]].dropna()
        assert row["n"] == row["n_baseline"] == len(both)
        assert row["difference"] == pytest.approx((both["lift"] - both[LITERAL]).mean())
        assert row["difference_low"] < row["difference"] < row["difference_high"]


@pytest.mark.pipeline
def test_the_first_lines_say_what_the_words_alone_score(run: Run) -> None:
    comparison = run.table("comparison")
    mean = comparison.query(
        "scorer == 'literal' and arm == 'feature' and baseline == '' and pairing == 'own' and stratum == 'all' "
        "and slice == 'top-and-random'"
    )["mean"].item()
    lines = headline(run.folder).split("\n")
    (line,) = (line for line in lines if line.startswith("Read literally, with no model"))
    assert f"SAE features {mean:.2f} [".replace("-", "−") in line
    assert " for SAE features (" in line
    assert lines.index(line) == 2
    assert any(
        line.startswith("On tokens that the explanation does not name the simulator scores: SAE") for line in lines
    )
    report = (run.folder / "report.md").read_text("utf8")
    assert "\n### What the words alone score\n" in report
    assert "\n#### On tokens that the explanation does not name\n" in report


def test_a_run_without_it_says_that_it_was_not_measured_and_no_number(tmp_path: Path) -> None:
    from tests.fake_run import Plan, finished

    finished(tmp_path, Plan(quality={"feature": 0.9, "neuron": 0.5}, units=3))
    (line,) = (line for line in headline(tmp_path).splitlines() if "iterally" in line)
    assert line == "What the model adds to reading the explanations literally was not measured (`simulate.literal`)."


@pytest.mark.pipeline
@pytest.mark.parametrize(
    ("difference", "p", "words", "warned"),
    [
        ((0.1, 0.05, 0.2), 0.001, "The simulator adds to that for SAE features (0.10 [0.05, 0.20]", False),
        ((-0.1, -0.2, -0.05), 0.001, "The simulator is worse than that for SAE features", True),
        ((0.1, -0.2, 0.3), 0.4, "The simulator is not shown to add anything for SAE features", False),
        ((0.1, 0.01, 0.3), 0.2, "The simulator is not clearly apart from that for SAE features", False),
    ],
)
def test_what_is_said_follows_the_paired_difference(
    run: Run, difference: tuple[float, float, float], p: float, words: str, warned: bool
) -> None:
    changes: dict[str, Any] = dict(zip(("difference", "difference_low", "difference_high"), difference, strict=True))
    outcome = read_outcome(run.folder)
    rows = (
        replace(row, p_holm=p, p_equivalent_holm=None, **changes)
        if row.baseline == READ_LITERALLY and row.arm == "feature"
        else row
        for row in outcome.rows
    )
    changed = replace(outcome, rows=tuple(rows))
    assert words in "\n".join(answer(changed))
    said = "Matching the words of the explanations beats the simulator for SAE features" in "\n".join(caveats(changed))
    assert said == warned
