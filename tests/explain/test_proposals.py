"""Every proposal is kept with what became of it; lists and descriptions are told apart, from choice to report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection

import autointerp
from autointerp.compare.outcome import Outcome, read_outcome
from autointerp.compare.strata import KINDS, strata_in, within
from autointerp.compare.words import number, with_interval
from autointerp.contexts.naming import LIST, kind_of
from autointerp.errors import CheckFailed
from autointerp.llm.capabilities import Capabilities, remember
from autointerp.plot.distribution import distribution
from autointerp.report.caveats import caveats
from autointerp.report.stage import headline
from autointerp.run.estimating import estimate
from autointerp.run.folder import Run
from autointerp.run.verify import verify
from autointerp.study import Study
from autointerp.study_file import parse_study
from autointerp.tables import read_table, write_table
from tests.llm.misbehaving import Body, Endpoint, draw, running
from tests.run.served import brain, served_settings

pytestmark = [pytest.mark.pipeline, pytest.mark.slow]


def _write(body: Body) -> str:
    """Descriptions where `brain` writes lists; every third draw is empty."""
    text, asked = brain(body), body["messages"][-1]["content"]
    if not text.startswith("[EXPLANATION]"):
        return text
    if draw(asked, str(body["seed"])).integers(3) == 0:
        return ""
    return text.replace(LIST, "the words ").replace(", and others that stand near it in a text", "")


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    with pytest.MonkeyPatch.context() as patch, running(Endpoint(_write)) as server:
        patch.setenv("AUTOINTERP_CACHE", str(tmp_path_factory.mktemp("cache")))
        remember(Capabilities(f"openai {server.url}", "m", top_logprobs=5))
        yield server


def _settings(folder: Path, url: str) -> dict[str, Any]:
    return {
        **served_settings(folder, url, reasks=0),
        "simulate": {"method": "sparse-json"}, "judge": {},
        "explain": {"methods": ["exemplars", "highlight"], "candidates": 6},
        "score": {"metrics": ["pearson"], "slices": ["top-and-random"]},
        "units": {"features": 6, "neurons": 6, "directions": 0, "controls": [], "min_contexts": 4},
    }  # fmt: skip


@pytest.fixture(scope="module")
def study(endpoint: Endpoint, tmp_path_factory: pytest.TempPathFactory) -> Study:
    return parse_study(_settings(tmp_path_factory.mktemp("input"), endpoint.url))


@pytest.fixture(scope="module")
def run(study: Study, endpoint: Endpoint, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("out") / "run"
    lines = {line.stage: line for line in estimate(study, folder)}
    done = autointerp.run(study, folder)
    asked = int(done.table("usage").set_index("stage")["requests"].to_dict()["simulate"])
    # Which kind is chosen is not known before: the estimate takes one of them as chosen, and counts the other.
    assert 0.8 * asked <= lines["simulate"].requests <= 1.3 * asked
    return done


def test_every_proposal_is_there_with_its_score_or_its_reason(run: Run) -> None:
    proposals = run.table("proposals")
    ranked, lost = proposals[proposals["status"] == "ok"], proposals[proposals["reason"] == "the answer is empty"]
    assert len(ranked) > 20
    assert len(lost) > 3
    assert ranked["evidence_score"].notna().all()
    assert lost["evidence_score"].isna().all()
    assert set(lost["explainer"]) == {"highlight"}
    assert (lost[["text", "kind", "request"]] == "").all(axis=None)
    assert (ranked["kind"] == [kind_of(text) for text in ranked["text"]]).all()
    assert set(ranked.loc[ranked["explainer"] == "highlight", "kind"]) == {"description"}
    assert set(ranked.loc[ranked["explainer"] == "exemplars", "kind"]) == {"list"}
    places = proposals.groupby("unit")["place"].apply(list)
    assert all(found == list(range(len(found))) for found in places)
    asked = proposals[~proposals["spare"]].groupby("unit").size()
    assert set(asked[asked.index.str.startswith("feature/")]) == {6}
    assert set(asked[asked.index.str.startswith("neuron/")]) == {3}, "half for each orientation"


def test_spare_ones_stand_in_for_those_that_failed(run: Run) -> None:
    proposals = run.table("proposals")
    for _, rows in proposals.groupby("unit"):
        failed = rows["status"] != "ok"
        assert rows["spare"].sum() <= failed.sum()
        assert set(rows.loc[rows["spare"], "kind"]) <= {"list"}
    assert proposals["spare"].any()


def test_the_chosen_one_is_the_best_of_all_orientations(run: Run) -> None:
    proposals, told = run.table("proposals"), run.table("explanations").set_index("unit")
    chosen = proposals[proposals["chosen"]].set_index("unit")
    assert set(chosen.index) == set(told.index)
    for row in chosen.reset_index().to_dict("records"):
        own = told.loc[row["unit"]].to_dict()
        assert (row["text"], row["kind"]) == (own["text"], own["kind"])
        rivals = proposals[proposals["unit"].str.rstrip("+-") == row["unit"].rstrip("+-")]
        assert row["evidence_score"] == own["evidence_score"] == rivals["evidence_score"].max()
    assert set(told["kind"]) == {"list", "description"}


def test_the_best_of_either_kind_is_scored_chosen_or_not(run: Run) -> None:
    """The chosen one's score is that of its own kind; the other kind's is a prediction that is made for it."""
    scores, told = run.table("scores"), run.table("explanations").set_index("unit")["kind"].to_dict()
    rows = scores[scores["scorer"] == "sparse-json"].pivot_table(
        index="unit", columns="pairing", values="value", dropna=False
    )
    assert {"own", "list", "description"} <= set(rows.columns)
    both = 0
    for row in rows.reset_index().to_dict("records"):
        own, kind = row["own"], told[row["unit"]]
        assert np.isnan(own) or row[kind] == pytest.approx(own)
        other = "list" if kind == "description" else "description"
        both += not np.isnan(row[other]) and row[other] != row[kind]
    assert both > 5
    assert (scores["kind"] == scores["unit"].map(told)).all()


def test_a_list_read_literally_is_the_best_list(run: Run) -> None:
    proposals = run.table("proposals").dropna(subset="evidence_score")
    best = proposals[proposals["kind"] == "list"].sort_values("evidence_score", ascending=False, kind="stable")
    texts = best.groupby("unit")["text"].first().to_dict()
    pieces = run.table("contexts").set_index("context")["pieces"].to_dict()
    evidence, split = run.table("evidence"), run.table("contexts").set_index("context")["split"]
    scores = run.table("scores")
    literal = scores[(scores["scorer"] == "literal") & (scores["pairing"] == "list")].set_index("unit")["value"]
    checked = 0
    for unit, value in literal.dropna().to_dict().items():
        rows = evidence[(evidence["unit"] == unit) & (evidence["context"].map(split) == "held-out")]
        chosen = pd.concat([rows[rows["kind"] == "top"], rows[rows["kind"] == "random"].head(3)])
        held = chosen.drop_duplicates("context")
        words = texts[unit].removeprefix(LIST).split(", ")
        named = np.array([[piece.strip() in words for piece in pieces[c]] for c in held["context"]])
        truth = np.stack(held["activations"].tolist())
        assert value == pytest.approx(np.corrcoef(named.ravel(), truth.ravel())[0, 1], abs=1e-6)
        checked += 1
    assert checked > 5


def test_descriptions_are_held_against_lists_read_literally_unit_by_unit(run: Run) -> None:
    scores, comparison = run.table("scores"), run.table("comparison")
    values = scores["value"].where(scores["reason"] != "constant prediction", 0.0)
    table = scores.assign(value=values)
    described = table[(table["scorer"] == "sparse-json") & (table["pairing"] == "description")]
    listed = table[(table["scorer"] == "literal") & (table["pairing"] == "list")]
    both = pd.concat([t.set_index(["arm", "unit"])["value"] for t in (described, listed)], axis=1).dropna()
    outcome = read_outcome(run.folder)
    rows = comparison.query("baseline == 'literal' and pairing == 'description' and stratum == 'all'")
    assert set(rows["arm"]) == {"feature", "neuron"}
    for row in rows.to_dict("records"):
        of_arm = both.loc[row["arm"]]
        difference = of_arm.iloc[:, 0] - of_arm.iloc[:, 1]
        assert (row["n"], row["difference"]) == (len(of_arm), pytest.approx(difference.mean()))
        assert outcome.descriptions_above_lists(row["arm"]) == ((difference > 0).sum(), len(of_arm))


def test_units_with_a_list_and_units_with_a_description_are_strata(run: Run) -> None:
    scores, comparison = run.table("scores"), run.table("comparison")
    assert strata_in(scores.assign(stratum=""))[3:] == KINDS
    own = scores[(scores["scorer"] == "sparse-json") & (scores["pairing"] == "own") & (scores["status"] == "ok")]
    outcome = read_outcome(run.folder)
    for arm in ("feature", "neuron"):
        counted = []
        for kind in KINDS:
            rows = comparison[
                (comparison["scorer"] == "sparse-json") & (comparison["arm"] == arm) & (comparison["stratum"] == kind)
                & (comparison["pairing"] == "own") & (comparison["baseline"] == "")
            ]  # fmt: skip
            of_kind = own[(own["arm"] == arm) & (own["kind"] == kind)]["value"]
            counted.append(int(rows["n"].item() + rows["unscored"].item()))
            assert rows["n"].item() == len(of_kind)
            assert not len(of_kind) or rows["mean"].item() == pytest.approx(of_kind.mean())
        assert outcome.of_kinds(arm) == tuple(counted)
    assert len(within(scores.assign(stratum=""), "list")) + len(
        within(scores.assign(stratum=""), "description")
    ) == len(scores)


def test_the_first_lines_tell_them_apart_and_the_report_counts_failures(run: Run) -> None:
    lines = headline(run.folder)
    assert "Of the explanations of SAE features " in lines
    assert "Does the best description of a unit, simulated, beat a list of its top words, read literally?" in lines
    report = (run.folder / "report.md").read_text("utf8")
    assert "## Lists and descriptions" in report
    lost = int((run.table("proposals")["reason"] == "the answer is empty").sum())
    assert f"| highlight | the answer is empty: {lost} |" in report
    assert all(check.ok for check in verify(run.folder))


def test_an_explainer_that_fails_for_more_than_one_unit_in_twenty_is_said(run: Run, tmp_path: Path) -> None:
    outcome = read_outcome(run.folder)
    proposals = run.table("proposals")
    own = proposals[~proposals["spare"] & (proposals["explainer"] == "highlight")]
    lost = (own["status"] != "ok").groupby(own["unit"]).all()
    said = [line for line in caveats(outcome) if line.startswith("Explainer 'highlight' failed for ")]
    assert bool(said) == (lost.mean() > 0.05)
    for folder, status in ((tmp_path / "none", "ok"), (tmp_path / "all", "unscored")):
        folder.mkdir()
        write_table("proposals", folder / "proposals.parquet", proposals.assign(status=status).to_dict("records"))
        found = [line for line in caveats(_at(outcome, folder)) if line.startswith("Explainer ")]
        assert len(found) == (2 if status != "ok" else 0)


def _at(outcome: Outcome, folder: Path) -> Outcome:
    return replace(outcome, run_dir=folder)


def test_the_run_stops_where_an_explainer_fails_for_every_unit_and_nothing_is_lost(
    study: Study, tmp_path: Path
) -> None:
    with running(Endpoint(lambda body: "" if "«" in body["messages"][-1]["content"] else brain(body))) as server:
        llm = {name: one.model_copy(update={"base_url": server.url}) for name, one in study.llm.items()}
        moved = study.model_copy(update={"llm": llm})
        remember(Capabilities(f"openai {server.url}", "m", top_logprobs=5))
        said = "explainer 'highlight' failed for every unit .*the answer is empty.*take 'highlight' out of"
        with pytest.raises(CheckFailed, match=said):
            autointerp.run(moved, tmp_path / "run", until="explain")
        asked = server.asked.total()
        assert asked > 10
        assert not (tmp_path / "run" / "explanations.parquet").exists()
        with pytest.raises(CheckFailed, match=said):
            autointerp.run(moved, tmp_path / "run", until="explain")
        assert server.asked.total() == asked, "the answers are in the ledger"
        lists = moved.model_copy(update={"explain": moved.explain.model_copy(update={"methods": ("exemplars",)})})
        autointerp.run(lists, tmp_path / "run", until="explain")
        assert set(read_table(tmp_path / "run" / "proposals.parquet")["kind"]) == {"list"}


def _cells(run: Run, heading: str, first: str) -> list[str]:
    """The cells of one row of the report's table under a heading."""
    section = (run.folder / "report.md").read_text("utf8").split(f"\n### {heading}\n")[1].split("\n##")[0]
    (line,) = (line for line in section.splitlines() if line.startswith(f"| {first} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def _mean(run: Run, arm: str, scorer: str, pairing: str, baseline: str = "") -> str:
    rows = run.table("comparison").query(
        f"arm == '{arm}' and scorer == '{scorer}' and pairing == '{pairing}' and baseline == '{baseline}' "
        "and stratum == 'all' and metric == 'pearson' and slice == 'top-and-random'"
    )
    names = ("difference", "difference_low", "difference_high") if baseline else ("mean", "low", "high")
    (row,) = rows.to_dict("records")
    return with_interval(*(None if row[name] != row[name] else row[name] for name in names))


@pytest.mark.parametrize(("arm", "name"), [("feature", "SAE features"), ("neuron", "neurons")])
def test_the_reports_tables_put_every_number_in_its_own_column(run: Run, arm: str, name: str) -> None:
    told = run.table("explanations").query(f"arm == '{arm}'")["kind"].value_counts().to_dict()
    cells = _cells(run, "Lists and descriptions", name)
    assert cells[1] == f"{told.get('list', 0)} / {told.get('description', 0)}"
    assert cells[2] == _mean(run, arm, "sparse-json", "description")
    assert cells[3] == _mean(run, arm, "literal", "list")
    assert cells[4] == _mean(run, arm, "sparse-json", "description", "literal")
    words = _cells(run, "What the words alone score", name)
    wanted = [("literal", "own", ""), ("literal-words", "own", ""), ("literal", "shuffled", "")]
    assert words[1:5] == [_mean(run, arm, *which) for which in (*wanted, ("sparse-json", "own", "literal"))]
    proposals = run.table("proposals").query("explainer == 'exemplars'")
    counted = _cells(run, "What was proposed", "exemplars")
    assert counted[2:6] == [
        str(len(proposals)), str(proposals["spare"].sum()), str((proposals["status"] != "ok").sum()),
        str(proposals["chosen"].sum()),
    ]  # fmt: skip
    assert counted[6] == number(proposals["evidence_score"].mean())
    assert counted[7] == number(proposals[proposals["chosen"]]["evidence_score"].mean())


def test_a_unit_with_a_description_is_a_ring_at_its_own_score(run: Run) -> None:
    outcome = read_outcome(run.folder)
    (panel,) = distribution(outcome).axes[:1]
    own = run.table("scores").query("scorer == 'sparse-json' and pairing == 'own' and status == 'ok'")
    rings: list[float] = []
    dots: list[float] = []
    for drawn in panel.collections:
        if isinstance(drawn, PathCollection):
            places = np.asarray(drawn.get_offsets())[:, 0].tolist()
            (dots if len(drawn.get_facecolors()) else rings).extend(places)  # type: ignore[attr-defined]
    for kind, found in (("description", rings), ("list", dots)):
        assert sorted(found) == pytest.approx(sorted(own[own["kind"] == kind]["value"]))
    assert rings
