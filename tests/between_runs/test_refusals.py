"""What makes a comparison meaningless is refused in one line: what, which value, what to do."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from autointerp.__main__ import main
from autointerp.between_runs.compared import compared_runs
from autointerp.between_runs.comparing import compare_runs
from autointerp.errors import BadInput
from autointerp.run.manifest import read_manifest, write_manifest
from autointerp.tables import read_table
from tests.between_runs.made import EXPLAINER, PLAIN, changed, made, sealed
from tests.fake_run import Plan

RESULTS = Path(__file__).parents[2] / "results"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("runs") / "base", Plan(units=4, quality=PLAIN))


def _other(base: Path, folder: Path, settings: Mapping[str, Any] = EXPLAINER, **tables: pd.DataFrame) -> Path:
    """A run that differs from the base in its scores at least."""
    scores = read_table(base / "scores.parquet")
    scores["value"] += 0.01
    return changed(base, folder, settings, **{"scores": scores, **tables})


def refusal(*runs: Path, simulators: bool = False) -> str:
    with pytest.raises(BadInput) as refused:
        compared_runs(runs, simulators)
    line = str(refused.value)
    assert "\n" not in line
    assert refused.value.remedy
    return line


def test_the_committed_runs_are_not_comparable_and_it_says_why() -> None:
    reference, toy = RESULTS / "reference", RESULTS / "towards-monosemanticity"
    assert "hold the same run" in refusal(reference, reference)
    line = refusal(reference, toy)
    assert "other subjects (builtin against trained)" in line


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"subject": {"model": "gpt2"}}, "other subjects (builtin against gpt2)"),
        ({"subject": {"revision": "v2"}}, "other subjects (builtin against builtin@v2)"),
        ({"simulate": {"method": "reader"}}, "other simulators (simulate.method lift against reader)"),
        ({"simulate": {"bank": 8}}, "other simulators (simulate.bank 64 against 8)"),
        ({"llm": {"simulator": {"model": "gpt2"}}}, "other simulators (simulator.model builtin against gpt2)"),
        ({"evidence": {"held_out_top": 4}}, "evidence.held_out_top is 3 against 4"),
        ({"score": {"slices": ["random-only"]}}, "other has no score on it"),
        ({"score": {"metrics": ["spearman"]}}, "has no score by pearson, the headline of"),
        ({"compare": {"confidence": 0.9}}, "has intervals of 0.95"),
        ({"compare": {"replicates": 3, "redraw": ["explain"]}}, "is unfinished: its replicates have not run"),
    ],
)
def test_other_settings(base: Path, tmp_path: Path, settings: Mapping[str, Any], said: str) -> None:
    assert said in refusal(base, _other(base, tmp_path / "other", settings))


def _words(contexts: pd.DataFrame) -> pd.DataFrame:
    held = contexts["split"] == "held-out"
    contexts.loc[held, "pieces"] = contexts.loc[held, "pieces"].map(lambda pieces: [" other", *list(pieces)[1:]])
    contexts.loc[held, "tokens"] = contexts.loc[held, "tokens"].map(lambda tokens: [0, *list(tokens)[1:]])
    return contexts


def _tokens(contexts: pd.DataFrame) -> pd.DataFrame:
    contexts["tokens"] = contexts["tokens"].map(lambda tokens: [token + 1 for token in tokens])
    return contexts


def _length(contexts: pd.DataFrame) -> pd.DataFrame:
    for column in ("tokens", "pieces"):
        contexts[column] = contexts[column].map(lambda values: list(values)[:-1])
    return contexts


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_words, "other held-out text (40 contexts of builtin, "),
        (_tokens, "the same held-out text in other tokens"),
        (_length, "held-out contexts of 24 tokens against 23"),
    ],
)
def test_other_text(base: Path, tmp_path: Path, change: Callable[[pd.DataFrame], pd.DataFrame], said: str) -> None:
    other = _other(base, tmp_path / "other")
    change(read_table(other / "contexts.parquet")).to_parquet(other / "contexts.parquet")
    assert said in refusal(base, sealed(other))


def test_other_weights_under_one_name_are_seen_in_the_neurons(base: Path, tmp_path: Path) -> None:
    units = read_table(base / "units.parquet")
    units.loc[units["arm"] == "neuron", "max_activation"] *= 1.5
    line = refusal(base, _other(base, tmp_path / "other", units=units))
    assert "so subject.model 'builtin' has other weights" in line


def test_no_arm_in_common(base: Path, tmp_path: Path) -> None:
    found = []
    for name, arms in (("features", ["feature"]), ("directions", ["direction"])):
        tables = {table: read_table(base / f"{table}.parquet") for table in ("units", "scores")}
        kept = {table: frame[frame["arm"].isin(arms)].reset_index(drop=True) for table, frame in tables.items()}
        found.append(changed(base, tmp_path / name, EXPLAINER, **kept))
    assert "have no arm in common (feature against direction)" in refusal(*found)


def test_what_is_unfinished_damaged_or_no_run(base: Path, tmp_path: Path) -> None:
    assert "is not a run folder" in refusal(base, tmp_path)
    assert "1 run to compare" in refusal(base)
    broken = tmp_path / "broken"
    shutil.copytree(base, broken)
    assert "hold the same run" in refusal(base, broken)  # a copy
    stages = read_manifest(broken)
    write_manifest(broken, {**stages, "simulate": replace(stages["simulate"], facts={"unanswered": 3})})
    assert "is unfinished: stage 'simulate' has requests without an answer" in refusal(base, broken)
    write_manifest(broken, {name: entry for name, entry in stages.items() if name != "compare"})
    assert "is unfinished: its stage 'compare' has not run" in refusal(base, broken)
    write_manifest(broken, stages)
    (broken / "scores.parquet").write_bytes(b"PAR1")
    assert "is damaged: scores.parquet is not what stage 'score' wrote" in refusal(base, broken)
    (broken / "scores.parquet").unlink()
    assert "is damaged: scores.parquet is missing" in refusal(base, broken)


def test_nothing_is_written_into_a_run(base: Path, tmp_path: Path) -> None:
    other = _other(base, tmp_path / "other")
    before = sorted(base.rglob("*"))
    with pytest.raises(BadInput, match="is a run folder: name another folder with --out"):
        compare_runs([base, other], base)
    assert sorted(base.rglob("*")) == before


def test_further_slices_and_arms_that_one_has_alone_are_left_out_and_named(base: Path, tmp_path: Path) -> None:
    tables = {table: read_table(base / f"{table}.parquet") for table in ("units", "scores")}
    kept = {table: frame[frame["arm"] != "direction"].reset_index(drop=True) for table, frame in tables.items()}
    kept["scores"]["value"] += 0.01
    other = changed(
        base, tmp_path / "other", {"evidence": {"random_only": 7}, "score": {"metrics": ["pearson"]}}, **kept
    )
    compared = compared_runs([base, other])
    assert set(compared.grounds["other"].left_out) == {
        "Not compared on random-only: evidence.random_only is 8 against 7.",
        "Not compared by spearman: only one of both has it.",
        "Only base has random directions.",
    }
    assert {(row.metric, row.slice) for row in compared.rows} == {("pearson", "top-and-random")}
    assert {row.arm for row in compared.rows} == {"feature", "neuron"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["compare", "study.toml", "RUN"], "study.toml is a file"),
        (["compare", "RUN", "nowhere"], "nowhere is not there"),
        (["compare", "RUN"], "1 run to compare"),
        (["compare", "RUN", "RUN", "--set", "seed=1"], "--set is for a study"),
        (["compare", "RUN", "RUN", "--batch"], "--batch is for a study"),
        (["compare", "study.toml", "--simulators"], "--simulators is for run folders"),
        (["plot", "RUN", "RUN"], "hold the same run"),
        (["plot", "RUN", "study.toml"], "study.toml is a file"),
        (["plot", "RUN", "--out", "x"], "--out and --simulators are for several runs"),
    ],
)
def test_the_verbs_refuse_in_one_line(
    base: Path, tmp_path: Path, words: list[str], said: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("study.toml").write_text("seed = 1\n", encoding="utf8")
    monkeypatch.setattr("sys.argv", ["autointerp", *(str(base) if word == "RUN" else word for word in words)])
    with pytest.raises(SystemExit) as ended:
        main()
    shown = capsys.readouterr()
    assert ended.value.code == 2
    assert (shown.out, shown.err.count("\n")) == ("", 1)
    assert said in shown.err
    assert [path.name for path in tmp_path.iterdir()] == ["study.toml"]
