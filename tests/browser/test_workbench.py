"""A finished run goes on answering, as it answered itself: what it knows it gives again, to the bit."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import autointerp
from autointerp.artifacts import hash_file
from autointerp.browser.workbench import Workbench
from autointerp.contexts.naming import LIST
from autointerp.errors import BadInput
from autointerp.llm.local.model import LocalModel
from autointerp.run.folder import Run
from autointerp.run.verify import verify
from autointerp.study_file import parse_study
from autointerp.tables import read_table
from tests.small import small_settings

pytestmark = pytest.mark.pipeline

KINDS = (
    "feature", "neuron", "neuron-sparse", "direction", "direction-sparse", "scrambled-feature:permuted-0",
    "scrambled-neuron:permuted-0", "principal", "noise",
)  # fmt: skip


def _tell(done: int, of: int | None) -> None:
    pass


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """All kinds of unit, the simulator of the demo, every metric's slices, a judge of each sort."""
    settings = small_settings(tmp_path_factory.mktemp("input"))
    settings["scrambled"] = {"seeds": [0], "features": 3, "neurons": 3}
    settings["corpus"] |= {"calibration": 0.1, "train": 0.5, "evidence": 0.25, "held_out": 0.15}
    settings["units"] |= {"principal": 2, "controls": ["direction", "neuron-sparse", "direction-sparse", "noise"]}
    settings["simulate"] = {"method": "reader", "bank": 4, "literal": True, "both_kinds": True}
    settings["score"] = {
        "slices": ["top-and-random", "random-only", "unlisted"], "metrics": ["pearson", "r2", "auroc"],
    }  # fmt: skip
    settings["judge"] = {"methods": ["detection", "surprisal"], "examples": 6}
    return autointerp.run(parse_study(settings), tmp_path_factory.mktemp("out") / "run", until="score")


@pytest.fixture
def run(finished: Run, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished.folder, tmp_path / "run"))


@pytest.fixture
def bench(run: Path) -> Iterator[Workbench]:
    (run / "browser").mkdir()
    opened = Workbench(run)
    yield opened
    opened.close()


def _hashes(run: Path) -> dict[str, str]:
    kept = [path for path in run.rglob("*") if path.is_file() and path.suffix in (".parquet", ".json", ".toml")]
    return {str(path): hash_file(path) for path in kept if path.name != "usage.parquet" and "browser" not in path.parts}


def _explained(run: Path) -> pd.DataFrame:
    frame = read_table(run / "explanations.parquet")
    return frame[frame["status"] == "ok"].groupby("arm").head(2)


def test_the_runs_own_explanation_gets_the_runs_own_predictions_and_scores_bit_for_bit(
    run: Path, bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, scores = _hashes(run), read_table(run / "scores.parquet")
    read: list[str] = []
    in_process = LocalModel.next_token_logprobs

    def noted(self: LocalModel, texts: Sequence[str]) -> Any:
        read.extend(texts)
        return in_process(self, texts)

    monkeypatch.setattr(LocalModel, "next_token_logprobs", noted)
    explained = _explained(run)
    assert {arm.partition("/")[0] for arm in explained["arm"]} >= set(KINDS) - {"noise"}
    for unit, arm, text in explained[["unit", "arm", "text"]].itertuples(index=False):
        told = bench.explanation(unit, text, _tell)
        assert told["reason"] is None
        words = f" {text.removeprefix(LIST)}."
        assert not any(words in prompt for prompt in read), "the ledger has what the model said of it"
        for each in told["contexts"]:
            assert each["predicted"] == each["run_predicted"], unit
        rows = scores[(scores["unit"] == unit) & (scores["scorer"] == "reader")].set_index(
            ["pairing", "metric", "slice"]
        )
        assert len(told["scores"]) == 9
        for cell in told["scores"]:
            own = rows.loc["own", cell["metric"], cell["slice"]]
            assert _same(cell["value"], own["value"]), (unit, cell)
            assert _same(cell["run"], own["value"])
            assert (cell["value_reason"] or "") == own["reason"]
            assert cell["chance"] == own["chance"]
            assert cell["n_contexts"] == own["n_contexts"]
            assert _same(cell["shuffled"], rows.loc["shuffled", cell["metric"], cell["slice"]]["value"])
            assert _same(cell["literal"], cell["run_literal"])
        mine = scores[(scores["arm"] == arm) & (scores["scorer"] == "reader") & (scores["metric"] == "pearson")]
        others = mine[(mine["slice"] == "top-and-random") & (mine["pairing"] == "shuffled")]["value"]
        assert told["arm"]["shuffled"] == pytest.approx(others.mean(), nan_ok=True)
    told = bench.explanation(unit, "words such as nobody wrote", _tell)
    assert any("nobody wrote" in prompt for prompt in read)
    bench.close()
    assert _hashes(run) == before
    assert all(check.ok for check in verify(run))
    usage = read_table(run / "usage.parquet")
    assert set(usage["stage"]) <= {"explain", "judge", "simulate", "browse"}


def _same(told: float | None, kept: float | None) -> bool:
    return kept is None or bool(np.isnan(kept)) if told is None else told == kept


def test_what_was_tried_is_kept_beside_the_run_once_each_and_formulas_are_text(run: Path, bench: Workbench) -> None:
    (unit,) = _explained(run)["unit"].head(1)
    hostile = '=HYPERLINK("x")\n<b>\u202e'
    for text in ("words such as sea, rain", hostile, "words such as sea, rain"):
        told = bench.explanation(unit, text, _tell)
    rows = read_table(run / "browser" / "suggested.parquet")
    assert list(rows["text"].unique()) == ["words such as sea, rain", hostile]
    assert len(rows) == 2 * 2 * 9
    kept = rows[(rows["text"] != hostile) & (rows["scorer"] == "reader")].set_index(["metric", "slice"])
    for cell in told["scores"]:
        assert _same(cell["value"], kept.loc[cell["metric"], cell["slice"]]["value"])
        assert _same(cell["run"], kept.loc[cell["metric"], cell["slice"]]["run_value"])
        assert _same(cell["shuffled"], kept.loc[cell["metric"], cell["slice"]]["run_shuffled"])
    assert "\n\"'=HYPERLINK" not in bench.suggested.as_csv().replace(f"{unit},", "\n")
    assert "\"'=HYPERLINK" in bench.suggested.as_csv()
    again = Workbench(run)
    assert again.suggested.rows() == bench.suggested.rows()
    again.close()


def test_a_context_typed_as_a_text_has_the_activations_that_the_run_kept(run: Path, bench: Workbench) -> None:
    evidence, contexts = read_table(run / "evidence.parquet"), read_table(run / "contexts.parquet").set_index("context")
    units = read_table(run / "units.parquet")
    units = units[units["status"] != "excluded"]
    read, seen = set(), 0.0
    for unit, arm in units[["unit", "arm"]].itertuples(index=False):
        if arm == "noise":
            with pytest.raises(BadInput, match="nothing to do with any text"):
                bench.text(unit, "a text")
            continue
        for _, row in evidence[evidence["unit"] == unit].head(3).iterrows():
            pieces = list(contexts.loc[row["context"], "pieces"])
            told = bench.text(unit, "".join(pieces))
            if told["pieces"] == pieces:  # a text that begins amid a word may be cut in another way
                np.testing.assert_allclose(told["activations"], row["activations"], rtol=1e-4, atol=1e-5)
                read.add(arm.partition("/")[0])
                seen = max(seen, *told["activations"])
    assert read >= set(KINDS) - {"noise"}
    assert seen > 0
    for text, why in (("", "0 tokens"), ("a " * 3000, "tokens, and 1 to 2,047 can be read")):
        with pytest.raises(BadInput, match=why):
            bench.text(units["unit"].iloc[0], text)


def test_a_judge_gives_its_own_verdicts_again_from_the_ledger_and_others_anew(
    run: Path, bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, scores = read_table(run / "judgements.parquet"), read_table(run / "scores.parquet")
    asked: list[int] = []
    generate = LocalModel.generate
    monkeypatch.setattr(LocalModel, "generate", lambda self, rs: asked.append(len(rs)) or generate(self, rs))  # type: ignore[func-returns-value]
    unit = _explained(run)["unit"].iloc[0]
    for judge in ("detection", "surprisal"):
        told = bench.judge(unit, None, judge, _tell)
        rows = kept[(kept["unit"] == unit) & (kept["judge"] == judge) & (kept["derangement"] == -1)]
        assert [item["context"] for item in told["items"]] == rows["context"].fillna(-1).astype(int).tolist()
        for item, probability in zip(told["items"], rows["probability"], strict=True):
            assert item["probability"] is None or item["probability"] == pytest.approx(probability, rel=1e-5)
        for cell in told["scores"]:
            own = scores[(scores["unit"] == unit) & (scores["scorer"] == judge) & (scores["pairing"] == "own")]
            assert _same(cell["value"], own.set_index("metric").loc[cell["metric"], "value"])
            assert _same(cell["run"], own.set_index("metric").loc[cell["metric"], "value"])
    assert asked == []
    bench.judge(unit, "words such as something else", "detection", _tell)
    assert asked
    told = bench.judge(unit, None, "fuzzing", _tell)
    assert {cell["run_reason"] for cell in told["scores"]} == {"not in the run"}
    assert "detection" in set(read_table(run / "browser" / "suggested.parquet")["scorer"])


def test_a_published_run_answers_what_it_can_says_why_not_the_rest_and_stays_as_it_is(run: Path) -> None:
    for name in ("work", "sae", "training"):
        shutil.rmtree(run / name, ignore_errors=True)
    for name in ("ledger.sqlite", "spending.sqlite"):
        (run / name).unlink()
    (run / "browser").mkdir()
    before = {**_hashes(run), "usage": hash_file(run / "usage.parquet")}
    bench = Workbench(run)
    told = bench.told()
    assert told["simulator"]["why_not"] is None
    assert not told["recorded"]
    assert told["texts"]["neuron"] is None
    assert "a published run leaves it out" in told["texts"]["feature"]
    judges: dict[str, Any] = {each["judge"]: each["why_not"] for each in told["judges"]}
    assert judges["detection"] is None
    assert "effects.parquet" in judges["promoted-tokens"]
    for unit, text in _explained(run)[["unit", "text"]].head(2).itertuples(index=False):
        again = bench.explanation(unit, text, _tell)
        for each in again["contexts"]:
            np.testing.assert_allclose(each["predicted"], each["run_predicted"], atol=0.05)
        with pytest.raises(BadInput, match="published run"):
            bench.text(unit, "a text")
    bench.close()
    assert {**_hashes(run), "usage": hash_file(run / "usage.parquet")} == before
    assert {path.name for path in (run / "browser").iterdir()} >= {
        "ledger.sqlite",
        "spending.sqlite",
        "suggested.parquet",
    }
    assert sorted(path.name for path in run.glob("*.sqlite")) == []
