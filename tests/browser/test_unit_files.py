"""What the files of the pages hold is what the tables hold."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from autointerp.browser.pages import make
from autointerp.browser.unit_files import levels_of, packed
from autointerp.errors import BadInput
from autointerp.run.manifest import StageEntry, read_manifest, write_manifest
from autointerp.tables import read_table
from tests.browser.made_run import UNREADABLE, made_run


def _value(path: Path) -> Any:
    return json.loads(path.read_text("ascii").split(",", 1)[1].removesuffix(");\n"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = made_run(tmp_path_factory.mktemp("made") / "run", undrawn=70, units=15)
    make([folder])
    return folder


@pytest.fixture(scope="module")
def index(run: Path) -> Any:
    return _value(run / "browser/data/0/index.js")


@pytest.fixture(scope="module")
def records(run: Path) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """unit -> its record, its shard."""
    found: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
    for path in sorted((run / "browser/data/0/shards").iterdir()):
        shard = _value(path)
        found |= {unit: (record, shard) for unit, record in shard["units"].items()}
    return found


def _unpacked(value: Any, length: int) -> np.ndarray:
    if isinstance(value, str):
        return np.frombuffer(base64.b64decode(value), dtype=np.uint8)
    found = np.zeros(length, dtype=np.uint8)
    found[value[::2]] = value[1::2]
    return found


@pytest.mark.parametrize("values", [
    [0.0, 0.0, 3.0, 0.0, 1e-9, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    list(np.linspace(0, 3, 64)), [0.0] * 64, [], [float("nan"), 3.0, -1.0],
])  # fmt: skip
def test_levels_keep_every_value_to_a_255th_and_silence_silent(values: list[float]) -> None:
    truth = np.array(values)
    back = _unpacked(packed(levels_of(truth, 3.0)), len(values))
    known = np.clip(np.nan_to_num(truth), 0, None)
    assert len(back) == len(values)
    assert ((back > 0) == (known > 0)).all()
    assert np.abs(back / 255 * 3.0 - known).max(initial=0) <= 3.0 / 255


def test_a_page_has_the_contexts_truths_and_predictions_of_the_tables(
    run: Path, records: dict[str, tuple[dict[str, Any], dict[str, Any]]]
) -> None:
    evidence = read_table(run / "evidence.parquet")
    contexts: Any = read_table(run / "contexts.parquet").set_index("context")
    simulated: Any = read_table(run / "simulations.parquet")
    simulated = simulated[simulated["simulator"] == "lift"].set_index(["unit", "context"])
    assert set(records) == set(read_table(run / "explanations.parquet")["unit"])
    for unit, (record, shard) in records.items():
        rows = evidence[evidence["unit"] == unit]
        assert [row[0] for row in record["contexts"]] == rows["context"].tolist()
        for row, true in zip(record["contexts"], rows.to_dict("records"), strict=True):
            places = np.frombuffer(base64.b64decode(shard["contexts"][str(row[0])][0]), dtype="<u2")
            pieces = [shard["texts"][place] for place in places]
            assert pieces == list(contexts.at[row[0], "pieces"])
            assert row[1:4] == [contexts.at[row[0], "split"], true["kind"], true["weight"]]
            back = _unpacked(row[4], len(pieces)) / 255 * record["top"]
            np.testing.assert_allclose(back, true["activations"], atol=record["top"] / 200)
            if row[5] is not None:
                values = np.clip(simulated.at[(unit, row[0]), "predicted"], 0, None)
                highest = record["predicted_top"] or 0.0
                guess = _unpacked(row[5], len(pieces)) / 255 * highest
                np.testing.assert_allclose(guess, values, atol=highest / 200)
            text = record["explanation"]["text"]
            named = set(text.removeprefix("words such as ").split(", ")) if text.startswith("words such as ") else set()
            plain = [place for place, piece in enumerate(pieces) if piece.strip().isalnum()]
            expected = [place for place in plain if pieces[place].strip() in named]
            if named:
                assert [place for place in row[6] if place in plain] == expected


def test_scores_nulls_and_ranks_are_those_of_the_tables(
    run: Path, index: Any, records: dict[str, tuple[dict[str, Any], dict[str, Any]]]
) -> None:
    scores = read_table(run / "scores.parquet")
    own: Any = scores[(scores["scorer"] == "lift") & (scores["metric"] == "pearson") & (scores["pairing"] == "own")
                 & (scores["slice"] == "top-and-random")].set_index("unit")  # fmt: skip
    shuffled = read_table(run / "shuffled.parquet")
    shuffled = shuffled[(shuffled["metric"] == "pearson") & (shuffled["slice"] == "top-and-random")]
    assert len(index["score"]) < len(index["units"]), "what nobody drew takes no room"
    for place, unit in enumerate(index["units"][: len(index["score"])]):
        if unit not in own.index or pd.isna(own.at[unit, "value"]):
            continue
        assert index["score"][place] == pytest.approx(own.at[unit, "value"], abs=6e-5)
        better = own[(own["arm"] == own.at[unit, "arm"]) & (own["value"] > own.at[unit, "value"])]
        assert index["rank"][place] == len(better) + 1
        assert index["of"][place] == own[own["arm"] == own.at[unit, "arm"]]["value"].notna().sum()
        nulls = shuffled[shuffled["unit"] == unit].set_index("explanation_of")["value"]
        for other, value, _ in records[unit][0]["shuffled"]:
            found = nulls[[other]].to_numpy()
            assert value is None or np.isclose(found, value).any()
        assert len(records[unit][0]["shuffled"]) == 16


def test_every_unit_is_listed_and_what_became_of_it(run: Path, index: Any) -> None:
    units = read_table(run / "units.parquet")
    assert index["count"] == len(index["units"]) == len(units) + 70
    assert len(set(index["units"])) == index["count"]
    status = dict(zip(index["units"], (index["status_names"][code] for code in index["status"]), strict=True))
    reason = dict(zip(index["units"], (index["reason_names"][code] for code in index["reason"]), strict=True))
    assert (status["feature/1"], reason["feature/1"]) == ("unexplained", "no word among its top tokens")
    assert (status["feature/2"], reason["feature/2"]) == ("unscored", "constant prediction")
    assert (status["neuron/900-"], reason["neuron/900-"]) == ("excluded", "dead")
    assert status["feature/1069"] == "not drawn"
    assert status["feature/4"] == "scored"


def test_failures_are_there_with_the_answer_that_could_not_be_read(run: Path) -> None:
    facts = _value(run / "browser/data/0/run.js")
    by_stage: dict[str, list[dict[str, Any]]] = {}
    for each in facts["failures"]:
        by_stage.setdefault(each["stage"], []).append(each)
    assert len(by_stage["proposal"]) == 15 * 5
    assert {each["answer"] for each in by_stage["proposal"]} == {UNREADABLE}
    assert [each["unit"] for each in by_stage["explanation"]] == ["feature/1"]
    assert {"feature/2", "neuron/0-"} <= {each["unit"] for each in by_stage["score"]}
    assert [(each["unit"], each["answer"]) for each in by_stage["simulation"]] == [("neuron/0-", UNREADABLE)]
    assert {each["unit"] for each in by_stage["unit"]} == {"neuron/900-", "neuron/901+"}


def test_old_pages_stay_until_new_ones_are_whole_and_others_say_what_is_wrong(run: Path, tmp_path: Path) -> None:
    before = (run / "browser/data/0/index.js").read_bytes()
    with pytest.raises(BadInput, match="no run folder"):
        make([run, tmp_path])
    assert (run / "browser/data/0/index.js").read_bytes() == before
    make([run])
    assert (run / "browser/data/0/index.js").read_bytes() == before, "the same tables give the same bytes"
    assert not (run / "browser/data.new").exists()


def test_a_published_folder_without_each_shuffled_score_still_has_every_null(tmp_path: Path) -> None:
    folder = made_run(tmp_path / "run")
    (folder / "shuffled.parquet").unlink()
    make([folder])
    facts = _value(folder / "browser/data/0/run.js")
    scores = read_table(folder / "scores.parquet")
    nulls = scores[(scores["scorer"] == "lift") & (scores["metric"] == "pearson") & (scores["pairing"] == "shuffled")
                   & (scores["slice"] == "top-and-random") & (scores["status"] == "ok")]  # fmt: skip
    for arm in facts["arms"]:
        of_arm = nulls[nulls["arm"] == arm["arm"]]["value"]
        assert arm["band"]["single"] is False
        assert arm["band"]["n"] == len(of_arm)
        assert arm["band"]["low"] == pytest.approx(of_arm.quantile(0.025))
    shard = _value(folder / "browser/data/0/shards/0000.js")
    for record in shard["units"].values():
        assert record["shuffled"] == []
        assert any(shard["texts"][row[1]] == "shuffled" for row in record["scores"])


def test_tables_about_units_of_before_are_not_shown(tmp_path: Path) -> None:
    folder = made_run(tmp_path / "run", undrawn=5)
    make([folder])
    shard = _value(folder / "browser/data/0/shards/0000.js")
    assert all(record["relations"] and record["histogram"] for record in shard["units"].values())
    entries = read_manifest(folder)
    write_manifest(folder, {**entries, "collect": StageEntry("", {"collect": "drawn anew"})})
    make([folder], compute=False)
    shard = _value(folder / "browser/data/0/shards/0000.js")
    assert not any(record["relations"] or record["histogram"] for record in shard["units"].values())
    assert "does not hold the SAE" in _value(folder / "browser/data/0/run.js")["near"]
    assert _value(folder / "browser/data/0/index.js")["count"] == len(read_table(folder / "units.parquet"))
