"""`verify` on a part of the committed run that was doctored: every check finds what it is there for."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from autointerp.artifacts import hash_file
from autointerp.contexts.sharing import read_exemplars, share_out
from autointerp.errors import BadInput
from autointerp.run.verify import Check, verify
from autointerp.tables import EVIDENCE, read_arrow, read_table, write_table

REFERENCE = Path(__file__).parents[2] / "results" / "reference"
UNITS, ARMS = 3, 8
RANKED = "explanations are shown and ranked on evidence contexts alone"
OPENED = f"{EVIDENCE} holds evidence contexts alone"
Change = Callable[[pd.DataFrame], pd.DataFrame]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The committed run with three units of each arm."""
    folder = tmp_path_factory.mktemp("reference") / "run"
    shutil.copytree(REFERENCE, folder, ignore=shutil.ignore_patterns("figures"))
    units = read_table(folder / "units.parquet")
    kept = units[units["status"] == "ok"].groupby("arm", sort=False).head(UNITS)["unit"]
    for table in ("units", "evidence", "explanations", "simulations", "shuffled", "scores"):
        doctor(folder, table, lambda rows: rows[rows["unit"].isin(kept)])
    return folder


@pytest.fixture
def run(small: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    shutil.copytree(small, folder)
    return folder


def write(run: Path, name: str, rows: pd.DataFrame, schema: str) -> None:
    """Write a table of a run, and its hash into the manifest: whoever doctors a run does both."""
    (run / name).parent.mkdir(exist_ok=True)
    records = rows.astype(object).where(rows.notna(), None).to_dict("records")
    write_table(schema, run / name, [{str(key): value for key, value in record.items()} for record in records])
    manifest = json.loads((run / "manifest.json").read_text("utf8"))
    for stage in manifest["stages"].values():
        if name in stage["outputs"]:
            stage["outputs"][name] = hash_file(run / name)
    (run / "manifest.json").write_text(json.dumps(manifest), "utf8")


def doctor(run: Path, table: str, change: Change) -> None:
    write(run, f"{table}.parquet", change(read_table(run / f"{table}.parquet")), table)


def failed(run: Path) -> dict[str, str]:
    """The checks that fail, with what they say."""
    return {check.name: check.detail for check in verify(run) if not check.ok}


def splits(run: Path) -> "pd.Series[str]":
    return read_table(run / "contexts.parquet", ["context", "split"]).set_index("context")["split"]


def own_evidence(run: Path) -> pd.DataFrame:
    """The rows of the evidence split, as the table that explain opened holds them."""
    rows = read_table(run / "evidence.parquet")
    return rows[rows["context"].map(splits(run)) == "evidence"]


def test_a_run_passes_and_so_does_a_copy_that_was_written_anew(run: Path) -> None:
    checks = verify(run)
    assert not failed(run)
    names = [check.name for check in checks]
    assert len(names) == len(set(names))
    assert {RANKED, "splits share no document, source or text", "scores come from held-out contexts alone"} <= {*names}
    assert OPENED not in names, "that table is not kept in a published run"
    assert Check(RANKED, True, f"{UNITS * ARMS} units, {UNITS * ARMS} of them ranked") in checks
    for table in ("evidence", "contexts", "simulations", "explanations"):
        doctor(run, table, lambda rows: rows)
    write(run, EVIDENCE, own_evidence(run), "evidence")
    assert not failed(run)
    assert Check(OPENED, True, f"{UNITS * ARMS} units") in verify(run)


def test_a_folder_without_a_manifest_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"is not a run folder \(no manifest.json\)"):
        verify(tmp_path)


def test_a_changed_and_a_missing_file_are_named_and_nothing_else_is_read(run: Path) -> None:
    with (run / "scores.parquet").open("ab") as file:
        file.write(b" ")
    (run / "units.parquet").unlink()
    found = failed(run)
    assert list(found) == ["hash of units.parquet", "hash of scores.parquet"]
    assert found["hash of units.parquet"] == "missing, stage 'explain' wrote it"
    assert found["hash of scores.parquet"].endswith("wrote " + json_hash(run, "score", "scores.parquet"))


def json_hash(run: Path, stage: str, name: str) -> str:
    return str(json.loads((run / "manifest.json").read_text("utf8"))["stages"][stage]["outputs"][name])[:12]


@pytest.mark.parametrize("kind", ["names", "types"])
def test_columns_other_than_the_documented_ones_are_named(run: Path, kind: str) -> None:
    """Nothing in the manifest speaks of the table of what was spent."""
    rows = read_arrow(run / "usage.parquet")
    place = rows.schema.get_field_index("cached")
    if kind == "names":
        rows = rows.rename_columns(["saved" if name == "cached" else name for name in rows.column_names])
    else:
        rows = rows.set_column(place, "cached", rows["cached"].cast(pa.int64()))
    pq.write_table(rows, run / "usage.parquet")
    assert list(failed(run)) == ["columns of usage.parquet"]


@pytest.mark.parametrize(("table", "column"), [("evidence", "activations"), ("simulations", "predicted")])
def test_a_value_that_is_no_number_is_found(run: Path, table: str, column: str) -> None:
    def spoil(rows: pd.DataFrame) -> pd.DataFrame:
        place = rows[column].first_valid_index()
        values = np.array(rows.at[place, column], dtype=np.float32)
        values[1:3] = np.nan, np.inf
        rows.at[place, column] = values  # type: ignore[assignment]  # a list is one value here
        return rows

    doctor(run, table, spoil)
    assert failed(run) == {f"{column} of {table}.parquet are numbers": "2 are NaN, infinite or missing"}


PLACES = {"the first shown": 0, "the first that ranks": 1, "the last": -1}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("kind", ["top", "quantile-0", "random"])
def test_a_held_out_context_among_the_evidence_is_found(run: Path, kind: str, place: int) -> None:
    """One row of one unit points to a held-out context in place of its own: that context was shown, or ranked."""
    where = splits(run)
    held_out = int(where.index[where == "held-out"][0])
    unit = "feature/" + str(read_table(run / "units.parquet")["index"].iloc[0])

    def point_elsewhere(rows: pd.DataFrame) -> pd.DataFrame:
        own = rows[(rows["unit"] == unit) & (rows["kind"] == kind) & (rows["context"].map(where) == "evidence")]
        rows.loc[own.index[min(place, len(own) - 1)], "context"] = held_out
        return rows

    doctor(run, "evidence", point_elsewhere)
    found = failed(run)
    assert list(found) == [RANKED]
    assert found[RANKED].startswith(f"{unit}: ")


def test_a_held_out_context_that_is_the_last_of_the_hard_negatives_is_found(run: Path) -> None:
    """Between it and the held-out rows stands nothing that tells."""
    where = splits(run)
    rows = read_table(run / "evidence.parquet")
    unit = rows["unit"].iloc[0]
    last = rows.index[(rows["unit"] == unit) & (rows["context"].map(where) == "evidence")][-1]
    silent = rows.loc[[last, last]].assign(kind=["hard-negative-token", "hard-negative-nearest"], weight=1.0)
    whole = pd.concat([rows.loc[:last], silent, rows.loc[last + 1 :]], ignore_index=True)
    write(run, "evidence.parquet", whole, "evidence")
    assert not failed(run)
    whole.loc[last + 2, "context"] = int(where.index[where == "held-out"][0])
    write(run, "evidence.parquet", whole, "evidence")
    assert failed(run) == {
        RANKED: f"{unit}: its contexts of split 'held-out' are not in the order in which they are gathered"
    }


def test_a_context_of_the_evidence_that_is_said_to_be_held_out_is_found(run: Path) -> None:
    """Its document moves along, so that the corpus is in itself consistent: what ranked tells."""
    exemplars = read_exemplars(run / "evidence.parquet")
    where = splits(run)
    unit, rows = next(iter(exemplars.items()))
    ranking = share_out(unit, [row for row in rows if where[row.context] == "evidence"]).ranking
    contexts = read_table(run / "contexts.parquet")
    source = contexts.loc[contexts["context"] == ranking[0].context, "source"].item()

    def move(rows: pd.DataFrame) -> pd.DataFrame:
        rows.loc[rows["source"] == source, "split"] = "held-out"
        return rows

    doctor(run, "documents", move)
    doctor(run, "contexts", move)
    assert RANKED in failed(run)


@pytest.mark.parametrize("lacking", ["evidence", "held-out"])
def test_rows_that_were_taken_out_are_missed(run: Path, lacking: str) -> None:
    where = splits(run)
    unit = read_table(run / "units.parquet")["unit"].iloc[0]

    def take_out(rows: pd.DataFrame) -> pd.DataFrame:
        own = (rows["unit"] == unit) & (rows["context"].map(where) == lacking)
        if lacking == "held-out":
            own &= rows["kind"] == "random"
        left: pd.DataFrame = rows.drop(index=rows.index[own])
        return left

    doctor(run, "evidence", take_out)
    says = {"evidence": "is ranked, and no evidence context is there", "held-out": "stand for 0 of split 'held-out'"}
    assert says[lacking] in failed(run)[RANKED]


def test_an_explanation_of_a_unit_without_any_contexts_is_found(run: Path) -> None:
    unit = read_table(run / "units.parquet")["unit"].iloc[5]
    doctor(run, "evidence", lambda rows: rows[rows["unit"] != unit])
    assert failed(run)[RANKED] == f"{unit} is ranked, and no evidence context is there to rank it"


def test_a_held_out_context_in_the_table_that_explain_opened_is_found(run: Path) -> None:
    where = splits(run)
    held_out = int(where.index[where == "held-out"][0])
    rows = own_evidence(run)
    rows.loc[rows.index[7], "context"] = held_out
    write(run, EVIDENCE, rows, "evidence")
    assert failed(run) == {OPENED: f"{rows['unit'].iloc[7]}: context {held_out} is of split 'held-out'"}


def test_another_table_than_the_one_that_explain_opened_is_found(run: Path) -> None:
    rows = own_evidence(run)
    unit = rows["unit"].iloc[0]
    write(run, EVIDENCE, rows.drop(index=rows.index[rows["kind"] == "top"][0]), "evidence")
    assert failed(run) == {OPENED: f"{unit}: evidence.parquet tells other evidence than {EVIDENCE}"}


def _another(split: str, column: str) -> Callable[[pd.DataFrame, "pd.Series[str]"], pd.DataFrame]:
    def point(rows: pd.DataFrame, where: "pd.Series[str]") -> pd.DataFrame:
        rows.loc[rows.index[3], column] = int(where.index[where == split][0]) if split else -7
        return rows

    return point


def test_a_score_on_evidence_is_found(run: Path) -> None:
    where = splits(run)
    point = _another("evidence", "context")
    doctor(run, "simulations", lambda rows: point(rows, where))
    unit = read_table(run / "simulations.parquet")["unit"].iloc[3]
    assert failed(run) == {"scores come from held-out contexts alone": f"{unit} is scored elsewhere"}


def test_a_judgement_on_evidence_is_found(run: Path) -> None:
    where = splits(run)
    shared = {"unit": "feature/1", "explanation_of": "feature/1", "derangement": -1, "judge": "detection", "prompt": "",
              "replicate": 0, "shown": 0, "truth": True, "probability": 1.0, "status": "ok", "reason": ""}  # fmt: skip
    rows = [{**shared, "context": int(where.index[where == split][0])} for split in ("held-out", "evidence")]
    write(run, "judgements.parquet", pd.DataFrame(rows[:1]), "judgements")
    assert not failed(run)
    write(run, "judgements.parquet", pd.DataFrame(rows), "judgements")
    assert failed(run) == {"judges see held-out contexts alone": "feature/1 is judged elsewhere"}


def test_an_evidence_row_of_no_context_is_found(run: Path) -> None:
    point = _another("", "context")
    doctor(run, "evidence", lambda rows: point(rows, splits(run)))
    assert "every evidence row names a context" in failed(run)


def test_a_training_context_that_is_shown_is_found(run: Path) -> None:
    shown = int(read_table(run / "evidence.parquet")["context"].iloc[0])

    def train(rows: pd.DataFrame) -> pd.DataFrame:
        rows.loc[rows["context"] == shown, "split"] = "train"
        return rows

    doctor(run, "contexts", train)
    found = failed(run)
    assert found["no training context is shown or scored"] == "train"
    assert "every context has the split and source of its document" in found


def test_a_source_in_two_splits_is_found(run: Path) -> None:
    def share(rows: pd.DataFrame) -> pd.DataFrame:
        sources = rows.groupby("split")["source"].first()
        rows.loc[rows["source"] == sources["train"], "source"] = sources["evidence"]
        return rows

    doctor(run, "documents", share)
    assert "is in 2 splits" in failed(run)["splits share no document, source or text"]


def test_scores_without_a_row_a_reason_or_a_value_are_found(run: Path) -> None:
    scores = read_table(run / "scores.parquet")
    first = scores.iloc[0]
    write(run, "scores.parquet", scores.drop(index=scores.index[0]), "scores")
    told = " ".join(str(first[column]) for column in ("pairing", "scorer", "metric", "slice"))
    assert failed(run) == {f"a row per unit: {told}": f"{first['unit']} has neither score nor reason"}
    scores.loc[scores.index[0], "value"] = None
    write(run, "scores.parquet", scores, "scores")
    assert failed(run) == {"every scored row has a value": first["unit"]}
    scores.loc[scores.index[0], "status"] = "unscored"
    write(run, "scores.parquet", scores, "scores")
    assert failed(run) == {"every unscored row has a reason": first["unit"]}
    scores.loc[scores.index[0], "reason"] = "the request timed out"
    write(run, "scores.parquet", scores, "scores")
    assert not failed(run)
    arm = first["arm"]
    details = {check.name: check.detail for check in verify(run)}
    assert details[f"coverage of {arm} by {first['scorer']}"] == "2 of 3 scored; 1 x the request timed out"
