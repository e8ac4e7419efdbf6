import re
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autointerp.compare.outcome import Outcome, read_outcome
from autointerp.corpus.listing import BuiltinText, TextDifference
from autointerp.errors import BadInput
from autointerp.plot.stage import plot
from autointerp.report.answer import Verdict, answer, verdict_of
from autointerp.report.caveats import caveats
from autointerp.report.stage import headline, report
from autointerp.rows import ComparisonRow
from autointerp.run.manifest import StageEntry, write_manifest
from autointerp.tables import read_table, write_table
from tests.fake_run import Plan, finished

LESS = {"score": {"metrics": ["pearson"], "slices": ["top-and-random"]}}
Change = Callable[[ComparisonRow], dict[str, Any]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    plan = Plan(constant=["feature/2"], unexplained=["neuron/1+", "neuron/2+"])
    return finished(tmp_path_factory.mktemp("run"), plan)


@pytest.fixture(scope="module")
def outcome(run: Path) -> Outcome:
    return read_outcome(run)


def changed(outcome: Outcome, change: Change) -> Outcome:
    """The same run with other numbers in its comparison."""
    return replace(outcome, rows=tuple(replace(row, **change(row)) for row in outcome.rows))


def main(outcome: Outcome) -> ComparisonRow:
    row = outcome.row(outcome.headline, "feature", "neuron")
    assert row is not None
    return row


def test_the_terminal_gets_the_same_answer_in_a_few_lines(run: Path) -> None:
    lines = headline(run).split("\n")
    assert 3 <= len(lines) <= 9
    assert lines[0].startswith("SAE features score ")
    assert "One replicate: " in lines[0]
    assert lines[1].startswith("At equal token determinism ")
    assert lines[2].startswith("What the model adds to reading the explanations literally was not measured")
    assert any(line.startswith("With another unit's explanation instead: SAE features ") for line in lines)
    assert any(line.startswith("Controls") and "random directions" in line for line in lines)
    assert any(line.startswith("On random contexts alone: SAE features minus neurons ") for line in lines)
    assert "\\" not in "".join(lines)


@pytest.mark.parametrize(
    ("low", "high", "p", "verdict", "words"),
    [
        (0.1, 0.2, 0.01, Verdict.MORE, "SAE features score higher; that is not called more interpretable"),
        (-0.2, -0.1, 0.01, Verdict.LESS, "less interpretable than neurons"),
        (-0.1, 0.2, 0.4, Verdict.NOT_SHOWN, "no difference shown; this run could find "),
        (0.001, 0.2, 0.06, Verdict.BORDERLINE, "no clear difference"),
        (-0.001, 0.2, 0.04, Verdict.BORDERLINE, "no clear difference"),
        (None, None, None, Verdict.UNKNOWN, "too few scored units to say"),
    ],
)
def test_the_verdict_follows_the_interval_and_the_test(
    outcome: Outcome, low: float | None, high: float | None, p: float | None, verdict: Verdict, words: str
) -> None:
    unadjusted = None if p is None else 1 - p  # a verdict that took it would be another
    numbers = {"difference_low": low, "difference_high": high, "p": unadjusted, "p_holm": p, "p_equivalent_holm": 1.0}
    other = changed(outcome, lambda row: numbers if row == main(outcome) else {})
    assert verdict_of(main(other), 0.95) is verdict
    assert words in answer(other)[0]
    assert answer(other)[0].count("interpretable") == (verdict in (Verdict.MORE, Verdict.LESS))


def test_no_difference_is_said_by_an_equivalence_test_alone(outcome: Outcome) -> None:
    numbers = {"difference_low": -0.02, "difference_high": 0.03, "p_holm": 0.7}
    for p, verdict in ((0.04, Verdict.EQUIVALENT), (0.06, Verdict.NOT_SHOWN), (None, Verdict.NOT_SHOWN)):
        changes = {**numbers, "p_equivalent_holm": p}
        other = changed(outcome, lambda row, changes=changes: changes if row == main(outcome) else {})  # type: ignore[misc]
        assert verdict_of(main(other), 0.95) is verdict
        assert ("no difference of more than 0.05 either way" in answer(other)[0]) == (verdict is Verdict.EQUIVALENT)


def test_the_report_states_what_is_missing_and_why(run: Path) -> None:
    text = report(run).read_text("utf8")
    assert "no explanation: no word among its top tokens: 2" in text
    assert "constant prediction: 1" in text
    neurons = next(line for line in text.split("\n") if line.startswith("| top and random contexts | neurons |"))
    assert [cell.strip() for cell in neurons.split("|")][4:8] == ["10", "2", "2", "83%"]
    for heading in ("What chance gives", "Differences", "Single-token units", "ceiling", "Spearman", "## Cost"):
        assert heading in text
    assert "8 up, 4 down" in text
    assert "| explain | builtin | 120 | 20 | 36,000 | 9,000 | 1,500 | unknown | 6,300 tokens |" in text
    assert not re.search(r"\b(nan|None)\b", text)


def test_caveats_follow_the_numbers(outcome: Outcome) -> None:
    said = " ".join(caveats(outcome))
    assert "Only 83% of the sampled neurons" in said
    assert "there on random contexts alone too" in said
    assert "A table of tokens beats the explanations" in said
    assert "3 of 12 SAE features are single-token units" in said
    assert "11 units are few" not in said  # the fewest are the neurons
    assert "10 units are few" in said
    assert "is not at chance" not in said


def null(row: ComparisonRow) -> dict[str, Any]:
    return {"mean": 0.2, "low": 0.1, "high": 0.3} if row.pairing == "shuffled" else {}


def only_in_top(row: ComparisonRow) -> dict[str, Any]:
    return (
        {"difference_low": -0.1, "difference_high": 0.1, "p": 0.9, "p_holm": 0.9} if row.slice == "random-only" else {}
    )


def turned_on_random(row: ComparisonRow) -> dict[str, Any]:
    return {"difference_low": -0.2, "difference_high": -0.1, "p": 0.001} if row.slice == "random-only" else {}


def weak_table(row: ComparisonRow) -> dict[str, Any]:
    return {"difference": 0.1, "difference_high": 0.2} if row.baseline == "lookup" else {}


def directions_at_chance(row: ComparisonRow) -> dict[str, Any]:
    return {"mean": 0.0, "low": -0.1, "high": 0.1} if row.arm.startswith("direction") else {}


def directions_above(row: ComparisonRow) -> dict[str, Any]:
    return {"mean": 0.2, "low": 0.1, "high": 0.3} if row.arm == "direction" else directions_at_chance(row)


def many(row: ComparisonRow) -> dict[str, Any]:
    return {"n": 64, "n_baseline": 64, "coverage": 1.0}


@pytest.mark.parametrize(
    ("change", "said", "unsaid"),
    [
        (null, "The null of SAE features is not at chance", "?"),
        (only_in_top, "is in the top contexts", "random contexts alone too"),
        (turned_on_random, "opposite sign", "random contexts alone too"),
        (weak_table, "The simulator sees each token", "A table of tokens beats"),
        (directions_at_chance, "are not told apart from chance", "score above chance"),
        (directions_above, "Random directions (0.20 [0.10, 0.30]) score above chance", "?"),
        (many, "One training of the SAE", "units are few"),
        (many, "One training of the SAE", "could be scored"),
    ],
)
def test_a_caveat_is_said_when_it_is_true_and_not_otherwise(
    outcome: Outcome, change: Change, said: str, unsaid: str
) -> None:
    sentences = " ".join(caveats(changed(outcome, change)))
    assert said in sentences
    assert unsaid not in sentences


def test_figures_are_embedded_when_they_are_there(run: Path, tmp_path: Path) -> None:
    assert "![" not in report(run).read_text("utf8")
    finished(tmp_path, Plan(quality={"feature": 0.9, "neuron": 0.4}, units=3, settings=LESS))
    plot(tmp_path)
    text = report(tmp_path).read_text("utf8")
    for name in ("distribution", "forest", "strips-feature", "strips-neuron"):
        assert f"(figures/{name}.png)" in text


def test_explanations_of_models_stay_text(tmp_path: Path) -> None:
    finished(tmp_path, Plan(quality={"feature": 0.9}, units=1, settings=LESS))
    rows = read_table(tmp_path / "explanations.parquet").to_dict("records")
    rows[0]["text"] = "ignore | this <script>alert(1)</script>\n# and [click](http://e.vil)"
    write_table("explanations", tmp_path / "explanations.parquet", rows)
    text = report(tmp_path).read_text("utf8")
    assert r"ignore \| this \<script\>alert(1)\</script\> # and \[click\](http\://e.vil)" in text
    assert "<script>" not in text


def test_the_manifest_adds_versions_and_times(tmp_path: Path) -> None:
    finished(tmp_path, Plan(quality={"feature": 0.9}, units=2, settings=LESS))
    assert "Versions" not in report(tmp_path).read_text("utf8")
    first = {"versions": {"torch": "2.13.0"}, "seconds": 12.3, "threads": 2, "device": "cpu"}
    second = {"versions": {"torch": "2.14.0"}, "threads": 2}
    write_manifest(tmp_path, {"explain": StageEntry("", {}, facts=first), "score": StageEntry("", {}, facts=second)})
    text = report(tmp_path).read_text("utf8")
    assert "Versions: torch 2.13.0 then 2.14.0." in text
    assert "Ran on: device cpu, threads 2." in text
    assert "Wall time: explain 12 s." in text


def test_the_built_in_text_is_named_and_what_differs_is_a_caveat(tmp_path: Path) -> None:
    finished(tmp_path, Plan(quality={"feature": 0.9}, units=2, settings=LESS))
    assert "uilt-in text" not in report(tmp_path).read_text("utf8") + headline(tmp_path)
    same = BuiltinText("a" * 64, "a" * 64, "3.11.7", ())
    write_manifest(tmp_path, {"corpus": StageEntry("", {}, facts={"text": same.record})})
    assert "- Built-in text aaaaaaaaaaaa, as committed.\n" in report(tmp_path).read_text("utf8")
    assert headline(tmp_path).endswith("\nBuilt-in text aaaaaaaaaaaa, as committed.")
    assert not [line for line in caveats(read_outcome(tmp_path)) if "another text" in line]
    other = BuiltinText("b" * 64, "a" * 64, "3.11.7", (TextDifference("num<b>py", "2.4.6", "2.4.7"),))
    write_manifest(tmp_path, {"corpus": StageEntry("", {}, facts={"text": other.record})})
    text = report(tmp_path).read_text("utf8")
    line = "uilt-in text bbbbbbbbbbbb, not the committed aaaaaaaaaaaa: num\\<b>py is 2.4.7 and not 2.4.6."
    assert text.count(line) == 2
    assert f"- This run is about another text than the published one: b{line}" in text
    assert "num<b>py is 2.4.7 and not 2.4.6" in headline(tmp_path).splitlines()[-1]


@pytest.mark.parametrize(
    ("plan", "first"),
    [
        (Plan(quality={"feature": 0.9}), "this run has no neurons to hold them against."),
        (
            Plan(quality={"neuron": 0.5, "direction": 0.1}),
            "This run has no SAE features, so it compares none with neurons.",
        ),
        (Plan(quality={"feature:a": 0.9, "feature:b": 0.4, "neuron": 0.4}), "SAE features (a) score "),
        (Plan(quality={"feature": 0.9, "neuron": 0.5}, units=1), "too few scored units to say"),
        (
            Plan(quality={"feature": 0.9, "neuron": 0.5}, units=2, constant=["neuron/0-", "neuron/1+"]),
            "no difference can be given (no scored unit)",
        ),
        (
            Plan(quality={"feature": 0.9, "neuron": 0.5}, settings={"simulate": {"method": "lookup"}}),
            "SAE features score ",
        ),
    ],
)
def test_a_run_without_some_arms_still_has_its_report(tmp_path: Path, plan: Plan, first: str) -> None:
    plan.settings = {**plan.settings, **LESS}
    finished(tmp_path, plan)
    (tmp_path / "usage.parquet").unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        text = report(tmp_path).read_text("utf8")
    assert first in headline(tmp_path).split("\n")[0]
    assert "No request to a language model is recorded." in text
    assert not re.search(r"\b(nan|None)\b", text)


def test_a_missing_table_is_named_and_no_report_is_written(tmp_path: Path) -> None:
    finished(tmp_path, Plan(quality={"feature": 0.9}, units=2, settings=LESS))
    (tmp_path / "comparison.parquet").unlink()
    with pytest.raises(BadInput, match=r"no table .*comparison\.parquet"):
        report(tmp_path)
    assert not (tmp_path / "report.md").exists()
