from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from jaxtyping import Float

import autointerp
from autointerp.artifacts import rng_of
from autointerp.compare.stage import compare
from autointerp.errors import BadInput
from autointerp.judge.interface import AnyJudge, Tools
from autointerp.judge.registry import check_judges, open_judges
from autointerp.judge.stage import judge
from autointerp.llm.address import identity
from autointerp.llm.capabilities import Capabilities, remember
from autointerp.llm.request import Answer, Request, Response
from autointerp.models.sentences import SentenceModel
from autointerp.plot.stage import plot
from autointerp.report.stage import report
from autointerp.run import resources
from autointerp.run.estimating import estimate, estimate_lines
from autointerp.run.verify import verify
from autointerp.score.stage import score
from autointerp.study import Study
from autointerp.study_file import parse_study
from autointerp.study_models import Llm
from autointerp.tables import read_table, write_table
from tests.fake_run import Plan, finished
from tests.judge.doubles import Oracle, answer, asked, chat_server, excerpts, guess, sparse_run
from tests.llm.doubles import EchoAsker
from tests.small import small_study
from tests.tiny import tiny_tokenizer

METRICS = ("balanced_accuracy", "auroc", "f1")


def judges_of(study: Study) -> list[AnyJudge]:
    return open_judges(study, study.judge.methods, None)


def finish(study: Study, write: Callable[[Request], Answer], folder: Path) -> None:
    """Judge, score and compare."""
    judge(study, judges_of(study), EchoAsker(write), folder)
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


def too_few(folder: Path) -> set[str]:
    """Units with fewer than two active held-out contexts, or fewer than two random ones on which they are silent."""
    split = read_table(folder / "contexts.parquet").set_index("context")["split"]
    rows = read_table(folder / "evidence.parquet")
    rows = rows[rows["context"].map(split) == "held-out"]
    active: dict[str, set[int]] = {}
    silent: dict[str, set[int]] = {}
    for unit, context, kind, values in rows[["unit", "context", "kind", "activations"]].itertuples(index=False):
        if max(values) > 0:
            active.setdefault(unit, set()).add(context)
        elif kind == "random":
            silent.setdefault(unit, set()).add(context)
    return {unit for unit in set(rows["unit"]) if min(len(active.get(unit, ())), len(silent.get(unit, ()))) < 2}


def test_a_model_that_knows_scores_one_and_with_another_explanation_chance(known: Path) -> None:
    for metric in METRICS:
        own = scores(known, metric, "own")
        scored = own[own["status"] == "ok"]
        assert len(own) == 32, "a row per unit"
        assert set(own["unit"]) - set(scored["unit"]) == {"neuron/1+", *too_few(known)}
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
    told = dict.fromkeys(too_few(known), "too few inactive held-out contexts")
    assert failed["reason"].to_dict() == {**told, "neuron/1+": "no explanation: no word among its top tokens"}
    table = read_table(known / "judgements.parquet")
    paired = table[(table["explanation_of"] == "neuron/1+") & (table["unit"] != "neuron/1+")]
    assert set(paired["status"]) == {"unscored"}, "a pairing that meets no explanation is counted, not skipped"


def test_what_can_not_be_judged_is_announced_before_anything_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = sparse_run(tmp_path)
    evidence = read_table(tmp_path / "evidence.parquet").to_dict("records")
    silent = sorted({row["unit"] for row in evidence} - {"neuron/1+"})[:2]
    for row in evidence:
        row["activations"] = [a * (row["unit"] not in silent) for a in row["activations"]]
    write_table("evidence", tmp_path / "evidence.parquet", evidence)
    told = list[str]()

    def write(request: Request) -> Answer:
        told.append(capsys.readouterr().err)
        return guess(request)

    judge(study, judges_of(study), EchoAsker(write), tmp_path)
    reasons = "2 for too few active held-out contexts; 1 for no explanation: no word among its top tokens"
    assert f"judge detection: 3 units can't be judged: {reasons}\n" in told[0]


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


@pytest.mark.parametrize("negatives", ["random", "hard", "mixed"])
def test_silent_contexts_are_of_the_sort_that_the_study_asks_for(tmp_path: Path, negatives: str) -> None:
    """A hard negative that was not drawn blindly never stands for ordinary text, nor the other way round."""
    study = sparse_run(tmp_path, derangements=1)
    study = study.model_copy(update={"judge": study.judge.model_copy(update={"negatives": negatives})})
    rows = read_table(tmp_path / "evidence.parquet")
    held_out = range(60, 120)
    hard: dict[str, set[int]] = {}
    added: list[dict[Hashable, Any]] = []
    for unit, own in rows.groupby("unit", sort=False):
        known = set(own["context"])
        hard[str(unit)] = set([context for context in held_out if context not in known][:6])
        added += [
            {**own.iloc[0].to_dict(), "context": context, "kind": "hard-negative-token", "weight": 1.0,
             "activations": [0.0] * 6} for context in sorted(hard[str(unit)])
        ]  # fmt: skip
    write_table("evidence", tmp_path / "evidence.parquet", [*rows.to_dict("records"), *added])
    judge(study, judges_of(study), EchoAsker(guess), tmp_path)
    judged = read_table(tmp_path / "judgements.parquet").dropna(subset="context")
    silent = judged[~judged["truth"].astype(bool)]
    assert len(set(silent["unit"])) > 20
    drawn = rows[rows["kind"] == "random"].groupby("unit")["context"].agg(set)
    for (name, _), shown in silent.groupby(["unit", "derangement"]):
        contexts = set(shown["context"].astype(int))
        from_hard = len(contexts & hard[str(name)])
        assert len(contexts) == len(shown)
        assert from_hard == {"random": 0, "hard": len(contexts), "mixed": len(contexts) // 2}[negatives]
        assert contexts - hard[str(name)] <= drawn[str(name)]


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
    judge(study, judges_of(study), asker, tmp_path)
    score(study, tmp_path)
    table = read_table(tmp_path / "judgements.parquet")
    wrong = table[(table["reason"] == "no JSON in the answer") & (table["derangement"] == -1)]
    assert len(wrong)
    assert wrong["probability"].isna().all()
    assert set(wrong["answer"]) == {"well..."}
    assert set(table.loc[table["status"] == "ok", "answer"]) == {""}
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
    settings = {"score": {"metrics": ["pearson"], "slices": ["top-and-random"]}}
    folder = finished(tmp_path / "run", Plan({"feature": 0.9, "neuron": 0.5}, units=4, settings=settings))
    results, heading, _ = report(folder).read_text("utf8").partition("\n## Exact settings\n")
    assert heading
    assert "udge" not in results
    assert "judged" not in set(read_table(folder / "scores.parquet")["slice"])


def test_tables_do_not_depend_on_the_order_of_the_answers(tmp_path: Path) -> None:
    class Backwards(EchoAsker):
        def stream(self, requests: Iterable[Request]) -> Iterator[tuple[int, Answer]]:
            yield from reversed(list(super().stream(requests)))

    for name, asker in (("a", EchoAsker(guess)), ("b", Backwards(guess))):
        study = sparse_run(tmp_path / name)
        judge(study, judges_of(study), asker, tmp_path / name)
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
    assert judges_of(study) == []


JUDGED = ("judge.methods=['detection']", "evidence.random_only=60", "units.controls=['neuron-sparse']")


@pytest.mark.pipeline
def test_a_whole_run_with_a_model_that_can_not_judge_counts_every_unit_and_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOINTERP_CACHE", str(tmp_path / "cache"))
    with chat_server(lambda _: "I would say that it is hard to tell.") as url:
        mumbles = f"llm.mumbles={{provider='openai', model='m', base_url='{url}', reasks=0}}"
        study = small_study(tmp_path, *JUDGED, mumbles, "judge.llm=mumbles")
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
        run = autointerp.run(small_study(tmp_path, *JUDGED, served, "judge.llm=knows"), out, until="score")
    own = scores(run.folder, "balanced_accuracy", "own").set_index("unit")
    certain = own[own.index.isin(oracle.unique) & (own["reason"] != "too few inactive held-out contexts")]
    assert len(certain) >= 3
    assert (certain["value"] == 1.0).all()
    table = run.table("judgements")
    assert table["prompt"].str.fullmatch("detection/v1@[0-9a-f]{12}").all()
    usage = run.table("usage").set_index(["stage", "model"])
    assert usage["requests"].to_dict()["judge", "m"] > 0
    assert all(check.ok for check in verify(run.folder))


ALL = ["detection", "fuzzing", "intruder", "saebench", "surprisal", "embedding"]


class Lengths(SentenceModel):
    """A sentence model that knows how long a text is."""

    def __init__(self) -> None:
        self.identity = "lengths"

    def vectors(self, texts: Sequence[str]) -> Float[np.ndarray, "text dimension"]:
        angles = np.array([len(text) % 7 for text in texts], dtype=np.float32)
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)


class Unmoved:
    """A language model to which an explanation makes no difference, but for how long it is."""

    identity = "unmoved"

    def __init__(self) -> None:
        self.tokenizer: Any = tiny_tokenizer()

    def logprobs_at(
        self, prompt: Sequence[int], positions: Sequence[int], tokens: Sequence[int]
    ) -> Float[torch.Tensor, "position token"]:
        return torch.full((len(positions), len(tokens)), -1.0 - 0.01 * (positions[0] % 5))


def any_answer(request: Request) -> Answer:
    """What a model may write that guesses: in the form that is asked for."""
    drawn = rng_of("any", request.messages[-1][1])
    shown = excerpts(request.messages)
    if "Numbers of" in request.messages[-1][1]:
        return Response(", ".join(str(n + 1) for n in drawn.choice(len(shown), 4, replace=False)), 1, 1)
    if "Description" not in request.messages[-1][1]:
        return Response(json.dumps({"intruder": int(drawn.integers(1, len(shown) + 1))}), 1, 1)
    return Response(answer([int(v) for v in drawn.integers(2, size=len(shown))]), 1, 1)


@pytest.fixture(scope="module")
def all_judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """By every judge; those that read do it through stand-ins, the one that asks gets guesses."""
    folder = tmp_path_factory.mktemp("all")
    study = sparse_run(folder, methods=ALL[::-1], derangements=1)
    tools = Tools(model=Unmoved(), sentences=Lengths())
    judge(study, open_judges(study, study.judge.methods, None, tools), EchoAsker(any_answer), folder)
    score(study, folder)
    compare(study, folder)
    return folder


def test_every_judge_has_the_scores_that_mean_something(all_judged: Path) -> None:
    table = read_table(all_judged / "scores.parquet").query("slice == 'judged'")
    found = {judge: set(rows["metric"]) for judge, rows in table.groupby("scorer")}
    yes_no = {"balanced_accuracy", "auroc", "f1"}
    assert found == {
        "detection": yes_no, "fuzzing": yes_no, "intruder": {"accuracy", "balanced_accuracy", "auroc"},
        "saebench": {"share_right", "balanced_accuracy", "auroc"}, "surprisal": {"auroc"}, "embedding": {"auroc"},
    }  # fmt: skip
    chance = table.groupby(["scorer", "metric"])["chance"].agg(["min", "max"])
    assert (chance["min"] == chance["max"]).all()
    assert chance.loc[("intruder", "accuracy"), "min"] == 0.2
    assert chance.loc[("intruder", "auroc"), "min"] == 0.5
    assert chance.loc[("saebench", "share_right"), "min"] == pytest.approx(10 / 14)
    assert chance.loc[("fuzzing", "f1"), "min"] == pytest.approx(2 / 3)
    for name, rows in table.query("pairing == 'own'").groupby("scorer"):
        assert (rows["status"] == "ok").sum() >= 20, name
    assert table.query("status == 'ok'")["n_contexts"].between(2, 14).all()


def test_a_judge_without_explanation_has_no_shuffled_pairing_and_judges_unexplained_units(all_judged: Path) -> None:
    table = read_table(all_judged / "judgements.parquet")
    pairings = {judge: set(rows["derangement"]) for judge, rows in table.groupby("judge")}
    assert pairings.pop("intruder") == {-1}
    assert set(map(frozenset, pairings.values())) == {frozenset({-1, 0})}
    rows = read_table(all_judged / "scores.parquet").query("scorer == 'intruder'")
    assert set(rows["pairing"]) == {"own"}
    assert set(rows["explainer"]) == {""}
    unexplained = rows.query("unit == 'neuron/1+' and metric == 'auroc'")
    assert list(unexplained["status"]) == ["ok"]
    reasons = set(
        read_table(all_judged / "scores.parquet").query("unit == 'neuron/1+' and scorer == 'fuzzing'")["reason"]
    )
    assert any(reason.startswith("no explanation") for reason in reasons)
    compared = read_table(all_judged / "comparison.parquet").query("scorer == 'intruder'")
    assert "shuffled" not in set(compared["baseline"])
    own = compared.query("metric == 'accuracy' and stratum == 'all' and baseline == ''")
    assert (own["low"] <= 0.2).all()
    assert (own["high"] >= 0.2).all()


def test_who_knows_nothing_is_at_chance_whatever_it_is_asked(all_judged: Path) -> None:
    table = read_table(all_judged / "comparison.parquet")
    chosen = table.query("slice == 'judged' and metric == 'auroc' and stratum == 'all' and baseline == ''")
    assert len(chosen) == 2 * (2 * 5 + 1)
    inside = (chosen["low"] <= 0.5) & (chosen["high"] >= 0.5)
    assert inside.sum() >= len(chosen) - 2, "one in twenty may miss"
    assert (chosen["mean"] - 0.5).abs().max() < 0.2


def test_a_model_that_knows_the_marks_scores_one_at_fuzzing(tmp_path: Path) -> None:
    study = sparse_run(tmp_path, methods=["fuzzing"], derangements=2)
    oracle = Oracle(tmp_path)
    finish(study, oracle.write, tmp_path)
    own = read_table(tmp_path / "scores.parquet").query("metric == 'auroc' and slice == 'judged' and pairing == 'own'")
    assert (own["status"] == "ok").sum() >= 20
    assert set(own[own["unit"].isin(oracle.unique) & (own["status"] == "ok")]["value"]) == {1.0}
    table = read_table(tmp_path / "judgements.parquet").dropna(subset="context")
    for _, of_unit in table.groupby("unit"):
        assert len({tuple(rows["context"]) for _, rows in of_unit.groupby("derangement", sort=False)}) == 1


def test_the_report_says_what_is_special_about_a_judge(all_judged: Path) -> None:
    plot(all_judged)
    text = report(all_judged).read_text("utf8")
    for name in ALL:
        assert f"### `{name}`" in text
    assert [name for name in ALL if f"`{name}` " in text] == ALL[1:], "there is nothing special about detection"
    section = text[text.index("### `intruder`") :].partition("### ")[2].partition("\n#")[0]
    lines = [line for line in section.splitlines() if line.startswith("| accuracy | SAE features |")]
    assert len(lines) == 1
    cells = [cell.strip() for cell in lines[0].split("|")]
    assert cells[4] == "0.20"
    assert cells[6] == cells[7] == "\u2013", "there is no null from shuffling"
    uncalibrated = text[text.index("### `surprisal`") :].partition("### ")[2].partition("\n#")[0]
    assert "| auroc |" in uncalibrated
    assert "| balanced accuracy |" not in uncalibrated


@pytest.mark.pipeline
def test_a_whole_run_with_every_judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a model that knows nothing: held to a schema its answers are scored all the same; and a replay repeats it."""
    monkeypatch.setattr(resources, "load_sentence_model", lambda name, device: Lengths())
    others = [name for name in ALL if name != "saebench"]  # a list in plain text is what such a model does not write
    held = [*others, "promoted-tokens", "promoted-literal"]
    settings = (f"judge.methods={held}", "evidence.random_only=60", "units.controls=['neuron-sparse']",
                "llm.explainer.reasks=0", "llm.explainer.batch=32", "explain.methods=['exemplars']")  # fmt: skip
    study = small_study(tmp_path, *settings)
    run = autointerp.run(study, tmp_path / "run", until="score")
    own = run.table("scores").query("slice == 'judged' and metric == 'auroc' and pairing == 'own'")
    assert set(own.groupby("scorer").size()) == {5 + 4 + 4}
    for name in ("surprisal", "embedding", "detection", "intruder", "promoted-tokens", "promoted-literal"):
        scored = own[own["scorer"] == name]
        assert (scored["status"] == "ok").sum() >= 5, name
    assert not own["reason"].str.contains("JSON|cut|number of values").any()
    judged = run.table("judgements")
    assert judged[judged["judge"] == "surprisal"]["prompt"].str.fullmatch("surprisal/v1@[0-9a-f]{12}").all()
    assert all(check.ok for check in verify(run.folder))
    again = autointerp.run(study, tmp_path / "run", until="score", replay=True)
    assert again.table("judgements").equals(judged)


@pytest.mark.pipeline
def test_the_estimate_counts_what_is_asked_and_names_what_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOINTERP_CACHE", str(tmp_path / "cache"))
    far = Llm(provider="openai", model="m", base_url="http://127.0.0.1:9/v1", input_usd=1.0, output_usd=1.0)
    remember(Capabilities(identity(far), "m", prompt_logprobs=5))
    endpoint = "{provider='openai', model='m', base_url='http://127.0.0.1:9/v1', input_usd=1.0, output_usd=1.0}"
    settings = (f"judge.methods={ALL}", "judge.llm=far", "evidence.random_only=60", "units.controls=[]")
    study = small_study(tmp_path, *settings, f"llm.far={endpoint}")
    lines = {line.stage: line for line in estimate(study, tmp_path / "run") if line.name == "far"}
    assert set(lines) == {"judge", "judge (read)"}
    assert lines["judge (read)"].requests > lines["judge"].requests > 0
    assert lines["judge (read)"].batch_usd == lines["judge (read)"].usd
    assert lines["judge"].batch_usd == pytest.approx((lines["judge"].usd or 0) / 2)
    text = "\n".join(estimate_lines(list(lines.values()), study))
    assert "Judge 'embedding' runs in this process and makes no requests." in text
    assert "Judge 'surprisal'" not in text
