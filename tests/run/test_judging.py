from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import autointerp
from autointerp.compare.stage import compare
from autointerp.errors import BadInput
from autointerp.judge.registry import check_judges, open_judges
from autointerp.llm.request import Answer, Request, Response
from autointerp.plot.stage import plot
from autointerp.report.stage import report
from autointerp.run.judging import judge
from autointerp.score.stage import score
from autointerp.study import Study
from autointerp.study_file import parse_study
from autointerp.tables import read_table
from autointerp.verify import verify
from tests.fake_run import finished
from tests.judge.doubles import Oracle, answer, asked, chat_server, guess, sparse_run
from tests.llm.doubles import EchoAsker
from tests.small import small_study

METRICS = ("balanced_accuracy", "auroc", "f1")


def finish(study: Study, write: Callable[[Request], Answer], folder: Path) -> None:
    """Judge, score and compare."""
    judge(study, EchoAsker(write), None, folder)
    score(study, folder)
    compare(study, folder)


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Judged by a model that knows the truth of every unit on its own contexts."""
    folder = tmp_path_factory.mktemp("known")

    study = sparse_run(folder, derangements=4)
    finish(study, Oracle(folder).write, folder)
    return folder


def scores(folder: Path, metric: str, pairing: str) -> pd.DataFrame:
    table = read_table(folder / "scores.parquet")
    wanted = (table["scorer"] == "detection") & (table["metric"] == metric) & (table["pairing"] == pairing)
    return table[wanted]


def means(folder: Path, metric: str, pairing: str) -> dict[str, tuple[float, float, float]]:
    """(low, mean, high) per arm."""
    table = read_table(folder / "comparison.parquet")
    wanted = (table["scorer"] == "detection") & (table["metric"] == metric) & (table["pairing"] == pairing)
    rows = table[wanted & (table["stratum"] == "all") & (table["baseline"] == "")]
    return {r["arm"]: (r["low"], r["mean"], r["high"]) for _, r in rows.iterrows()}


def test_a_model_that_knows_scores_one_and_with_another_explanation_chance(known: Path) -> None:
    for metric in METRICS:
        own = scores(known, metric, "own")
        scored = own[own["status"] == "ok"]
        assert len(own) == 32, "a row per unit"
        assert len(scored) >= 24
        assert set(scored["value"]) == {1.0}
    for metric, chance in (("balanced_accuracy", 0.5), ("auroc", 0.5)):
        for low, _, high in means(known, metric, "shuffled").values():
            assert low <= chance <= high
    assert scores(known, "f1", "own")["chance"].to_numpy() == pytest.approx(2 / 3)
    assert set(scores(known, "auroc", "own")["chance"]) == {0.5}
    assert set(scores(known, "auroc", "own")["slice"]) == {"judged"}


def test_what_could_not_be_judged_has_its_reason(known: Path) -> None:
    own = scores(known, "auroc", "own").set_index("unit")
    assert own.loc["neuron/1+", "reason"] == "no explanation: no word among its top tokens"
    failed = own[own["status"] != "ok"]
    assert set(failed["reason"]) <= {"no explanation: no word among its top tokens",
                                     "too few inactive held-out contexts"}  # fmt: skip
    table = read_table(known / "judgements.parquet")
    paired = table[(table["explanation_of"] == "neuron/1+") & (table["unit"] != "neuron/1+")]
    assert set(paired["status"]) == {"unscored"}, "a pairing that meets no explanation is counted, not skipped"


def test_negatives_are_inactive_and_all_pairings_of_a_unit_see_the_same_items(known: Path) -> None:
    evidence = read_table(known / "evidence.parquet")
    peaks = {(r["unit"], r["context"]): max(r["activations"]) for _, r in evidence.iterrows()}
    split = read_table(known / "contexts.parquet").set_index("context")["split"]
    table = read_table(known / "judgements.parquet").dropna(subset=["context"])
    assert set(table["context"].map(split)) == {"held-out"}
    for _, row in table.iterrows():
        assert row["truth"] == (peaks[row["unit"], row["context"]] > 0)
    assert set(table.groupby("derangement").size().index) == {-1, 0, 1, 2, 3}
    for _, of_unit in table.groupby("unit"):
        shown = {tuple(rows["context"]) for _, rows in of_unit.groupby("derangement", sort=False)}
        assert len(shown) == 1
    assert (table.groupby(["unit", "derangement"])["truth"].mean() == 0.5).all()
    own = table[table["derangement"] == -1]
    assert (own["unit"] == own["explanation_of"]).all()
    other = table[table["derangement"] >= 0]
    assert (other["unit"].str.split("/").str[0] == other["explanation_of"].str.split("/").str[0]).all()
    assert (other["unit"] != other["explanation_of"]).all()


def test_guessing_and_answering_by_position_get_chance(tmp_path: Path) -> None:
    def by_position(request: Request) -> Answer:
        return Response(answer([1, 0, 0, 1, 0][: len(asked(request.messages)[1])]), 1, 1)

    for name, write in (("guess", guess), ("position", by_position)):
        folder = tmp_path / name
        finish(sparse_run(folder), write, folder)
        for metric in ("balanced_accuracy", "auroc"):
            for low, mean, high in means(folder, metric, "own").values():
                assert low <= 0.5 <= high
                assert abs(mean - 0.5) < 0.2


def test_one_unread_batch_leaves_the_pairing_unscored(tmp_path: Path) -> None:
    study = sparse_run(tmp_path, derangements=1)
    asker = EchoAsker(lambda r: Response("well...", 1, 1) if len(seen) % 7 == 3 else guess(r))
    seen = asker.seen
    judge(study, asker, None, tmp_path)
    score(study, tmp_path)
    table = read_table(tmp_path / "judgements.parquet")
    wrong = table[(table["reason"] == "no JSON in the answer") & (table["derangement"] == -1)]
    assert len(wrong)
    assert wrong["probability"].isna().all()
    own = scores(tmp_path, "auroc", "own").set_index("unit")
    assert set(own.loc[wrong["unit"].unique(), "reason"]) == {"no JSON in the answer"}
    assert (own["status"] == "ok").any()


def test_the_report_prints_chance_beside_and_the_headline_stays(known: Path) -> None:
    figures = plot(known)
    text = report(known).read_text("utf8")
    assert figures
    assert text.index("## Scores") < text.index("## Judges") < text.index("### `detection`")
    section = text[text.index("## Judges") : text.index("## ", text.index("### `detection`") + 4)]
    line = next(line for line in section.splitlines() if line.startswith("| balanced accuracy | SAE features |"))
    assert "| 0.50 | 1.00 |" in line
    assert "| balanced accuracy | SAE features minus neurons |" in section
    assert "mean over 4 seeded derangements" in section
    assert "Judge: detection, model `builtin`." in text
    assert "correlation of predicted with true activations" in text


def test_a_run_without_judges_says_nothing_of_them(tmp_path: Path) -> None:
    folder = finished(tmp_path / "run")
    assert "udge" not in report(folder).read_text("utf8")
    assert "judged" not in set(read_table(folder / "scores.parquet")["slice"])


def test_tables_do_not_depend_on_the_order_of_the_answers(tmp_path: Path) -> None:
    class Backwards(EchoAsker):
        def stream(self, requests):  # type: ignore[no-untyped-def]
            yield from reversed(list(super().stream(requests)))

    for name, asker in (("a", EchoAsker(guess)), ("b", Backwards(guess))):
        judge(sparse_run(tmp_path / name), asker, None, tmp_path / name)
    a, b = ((tmp_path / name / "judgements.parquet").read_bytes() for name in "ab")
    assert a == b


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ({"methods": ["detektion"]}, "no judge 'detektion': did you mean 'detection'?"),
        ({"methods": ["detection", "detection"]}, "judge.methods = ['detection', 'detection']: name no judge twice"),
        ({"methods": ["detection"], "llm": "simulater"}, "judge.llm 'simulater' is not configured: did you mean"),
        ({"methods": ["detection"], "prompts": {"detection": "detection/v0"}}, "no prompt 'detection/v0'"),
        ({"methods": ["detection"], "prompts": {"fuzzing": "x"}}, "judge.prompts has a prompt for 'fuzzing'"),
    ],
)
def test_a_wrong_judge_is_one_line_before_anything_runs(section: dict[str, object], line: str) -> None:
    with pytest.raises(BadInput) as caught:
        check_judges(parse_study({"judge": section}))
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_judge_needs_no_model() -> None:
    study = parse_study({"judge": {"llm": "nobody"}})
    check_judges(study)
    assert open_judges(study, None) == []


JUDGED = ("judge.methods=['detection']", "evidence.random_only=60", "units.controls=['neuron-sparse']")


@pytest.mark.pipeline
def test_a_whole_run_with_a_model_that_can_not_judge_counts_every_unit_and_its_reason(tmp_path: Path) -> None:
    study = small_study(tmp_path, *JUDGED, "llm.explainer.reasks=0", "llm.explainer.batch=32")
    run = autointerp.run(study, tmp_path / "run", until="compare")
    own = scores(run.folder, "balanced_accuracy", "own")
    assert len(own) == 5 + 4 + 4
    assert set(own["status"]) == {"unscored"}
    assert own["reason"].str.contains("JSON|cut|too few inactive").all()
    assert own["reason"].str.contains("JSON|cut").sum() >= 5, "the model was asked, and wrote nothing that can be read"
    assert set(scores(run.folder, "auroc", "shuffled")["status"]) == {"unscored"}
    assert (run.table("scores").query("scorer == 'lift'")["status"] == "ok").any()
    section = report(run.folder).read_text("utf8").partition("## Judges")[2]
    assert "0 of 5" in section
    assert all(check.ok for check in verify(run.folder))


@pytest.mark.pipeline
def test_a_whole_run_with_a_server_that_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOINTERP_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "run"
    autointerp.run(small_study(tmp_path, *JUDGED), out, until="simulate")
    oracle = Oracle(out)
    with chat_server(oracle.judge) as url:
        served = f"llm.knows={{provider='openai', model='m', base_url='{url}'}}"
        run = autointerp.run(small_study(tmp_path, *JUDGED, served, "judge.llm=knows"), out, until="compare")
    own = scores(run.folder, "balanced_accuracy", "own").set_index("unit")
    certain = own[own.index.isin(oracle.unique) & (own["reason"] != "too few inactive held-out contexts")]
    assert len(certain) >= 3
    assert (certain["value"] == 1.0).all()
    table = run.table("judgements")
    assert table["prompt"].str.fullmatch("detection/v1@[0-9a-f]{12}").all()
    usage = run.table("usage").set_index(["stage", "model"])
    assert usage.loc[("judge", "m"), "requests"] > 0
    assert all(check.ok for check in verify(run.folder))
