"""What leaves a run for Neuronpedia: within its schema and limits, scores where they can be kept, nothing made up."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from autointerp.errors import BadInput
from autointerp.exchange.exporting import Exported, export
from autointerp.exchange.layout import model_id
from autointerp.tables import read_table, write_table
from tests.exchange.doubles import cut
from tests.fake_run import Plan, finished

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "results" / "reference"
SCHEMA = json.loads((Path(__file__).parent / "fixtures" / "neuronpedia_upload_batch.schema.json").read_text("utf8"))
OF_FEATURE = """modelId layer index creatorId sourceSetName maxActApprox hasVector vector vectorLabel hookName
    vectorDefaultSteerStrength topkCosSimIndices topkCosSimValues neuron_alignment_indices neuron_alignment_values
    neuron_alignment_l1 correlated_neurons_indices correlated_neurons_pearson correlated_neurons_l1
    correlated_features_indices correlated_features_pearson correlated_features_l1 pos_str pos_values neg_str neg_values
    frac_nonzero freq_hist_data_bar_heights freq_hist_data_bar_values logits_hist_data_bar_heights
    logits_hist_data_bar_values decoder_weights_dist""".split()
OF_ACTIVATION = """id tokens index layer modelId maxValue maxValueTokenIndex minValue values creatorId dataSource
    dataIndex binMin binMax binContains qualifyingTokenIndex""".split()
OF_EXPLANATION = """id modelId layer index description authorId typeName explanationModelName notes scoreV1 scoreV2
    embedding""".split()


def lines(folder: Path, kind: str) -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for path in sorted((folder / kind).glob("batch-*.jsonl.gz"))
        for line in gzip.decompress(path.read_bytes()).decode().splitlines()
    ]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folder = tmp_path_factory.mktemp("export")
    return export(cut(REFERENCE, folder / "reference", 16), folder / "out")


def batches(found: Exported) -> list[dict[str, Any]]:
    return [json.loads(path.read_text("utf8")) for path in found.uploads.files]


@pytest.mark.slow
def test_every_batch_is_what_their_schema_takes(reference: Exported) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    told = batches(reference)
    for batch in told:
        jsonschema.validate(batch, SCHEMA)
        assert len(batch["features"]) <= 128
        indices = [feature["index"] for feature in batch["features"]]
        assert len(set(indices)) == len(indices)
        for feature in batch["features"]:
            assert all(len(row["tokens"]) == len(row["values"]) for row in feature["activations"])
            assert [(one["methodName"], one["modelName"]) for one in feature["explanations"]] == [(None, None)]
    assert sum(len(batch["features"]) for batch in told) == 2 * 16
    assert {batch["source"] for batch in told} == {"5-sae", "5-neuron", "5-neuron-negated"}


@pytest.mark.slow
def test_the_bulk_layout_has_every_field_and_every_number(reference: Exported) -> None:
    folder = reference.folder / "bulk" / "5-sae"
    for kind, fields in (("features", OF_FEATURE), ("activations", OF_ACTIVATION), ("explanations", OF_EXPLANATION)):
        for record in lines(folder, kind):
            assert set(fields) <= set(record), kind
            assert (record["modelId"], record["layer"]) == ("smollm2-135m", "5-sae")
            assert record["index"].isdigit()
    about = {
        name: json.loads((folder / f"{name}.jsonl").read_text("utf8"))
        for name in ("model", "source", "sourceset", "release")
    }
    assert about["source"]["id"] == f"5-{about['source']['setName']}" == "5-sae"
    assert about["sourceset"]["name"] == "sae"
    assert about["sourceset"]["releaseName"] == about["release"]["name"] == "autointerp-reference"
    assert about["model"]["id"] == "smollm2-135m"

    evidence = read_table(REFERENCE / "evidence.parquet")
    contexts = read_table(REFERENCE / "contexts.parquet", ["context", "pieces"]).set_index("context")["pieces"]
    unit = read_table(REFERENCE / "units.parquet").query("arm == 'feature' and status == 'ok'").iloc[3]
    rows = [row for row in lines(folder, "activations") if row["index"] == str(unit["index"])]
    told = evidence[evidence["unit"] == unit["unit"]]
    assert len(rows) == len(told)
    for row, (_, own) in zip(rows, told.iterrows(), strict=True):
        assert np.array_equal(np.array(row["values"], dtype=np.float32), own["activations"])
        assert row["tokens"] == list(contexts[own["context"]])
        assert row["maxValue"] == max(row["values"]) == row["values"][row["maxValueTokenIndex"]]
    kinds = dict(zip(told["kind"], ((row["binMin"], row["binContains"]) for row in rows), strict=True))
    assert kinds["top"] == (-1, -1)
    assert kinds["random"] == (0, 1)
    assert 0 < kinds["quantile-3"][1] < 0.1
    (feature,) = (one for one in lines(folder, "features") if one["index"] == str(unit["index"]))
    assert feature["hookName"] == "blocks.5.mlp.hook_post"
    assert feature["frac_nonzero"] == unit["density"]
    assert sum(feature["freq_hist_data_bar_heights"]) == pytest.approx(unit["density"], abs=0.02)


@pytest.mark.slow
def test_scores_are_where_they_can_be_kept_and_the_page_says_that_the_api_takes_none(reference: Exported) -> None:
    scores = read_table(REFERENCE / "scores.parquet").query(
        "scorer == 'reader' and metric == 'pearson' and slice == 'top-and-random'"
    )
    own, null = (scores[scores["pairing"] == pairing].set_index("unit")["value"] for pairing in ("own", "shuffled"))
    mean = read_table(REFERENCE / "comparison.parquet").query(
        "scorer == 'reader' and metric == 'pearson' and slice == 'top-and-random' and stratum == 'all' "
        "and pairing == 'own' and arm == 'feature' and baseline == ''"
    )
    (low,) = mean["low"]
    for told in lines(reference.folder / "bulk" / "5-sae", "explanations"):
        unit = f"feature/{told['index']}"
        assert told["scoreV2"] == own[unit]
        with_others = f"{null[unit]:.2f}".replace("-0.00", "0.00").replace("-", "−")
        assert f"with other units' explanations {with_others}, chance 0.00" in told["notes"]
        assert f"[{low:.2f}, " in told["notes"]
        assert told["typeName"] is told["explanationModelName"] is None
    uploaded = "".join(path.read_text("utf8") for path in reference.uploads.files)
    assert "scoreV2" not in uploaded
    assert "Their API takes no score" in (reference.folder / "README.md").read_text("utf8")


def test_what_is_too_long_empty_or_unscored_is_said_and_the_batches_stay_within_the_limits(tmp_path: Path) -> None:
    run = finished(tmp_path / "run", Plan(units=3, unexplained=("feature/1",)))
    explanations = read_table(run / "explanations.parquet").to_dict("records")
    explanations[0]["text"] = "é" * 600
    write_table("explanations", run / "explanations.parquet", explanations)
    contexts = read_table(run / "contexts.parquet").to_dict("records")
    for context in contexts:
        context["pieces"] = ["\0", *context["pieces"][1:]]
    write_table("contexts", run / "contexts.parquet", contexts)
    found = export(run, tmp_path / "out", model="a-model")
    for batch in batches(found):
        jsonschema.validate(batch, SCHEMA)
        assert batch["modelId"] == "a-model"
    (cut,) = (one for batch in batches(found) for feature in batch["features"] for one in feature["explanations"]
              if one["text"].startswith("éé"))  # fmt: skip
    assert len(cut["text"]) == 512
    assert found.uploads.changed["explanations cut to 512 characters"] == 1
    assert found.uploads.changed["tokens without a text of their own, told as U+FFFD"] > 0
    source = next(one for one in found.sources if one.arm == "feature")
    assert len(lines(found.folder / "bulk" / source.name, "explanations")) == 2
    assert [unit.told.value for unit in source.units if not isinstance(unit.text, str)] == [None]
    again = export(run, tmp_path / "again", model="a-model")
    for path in sorted(p for p in found.folder.rglob("*") if p.is_file()):
        assert path.read_bytes() == (again.folder / path.relative_to(found.folder)).read_bytes(), path


def test_more_than_128_units_are_in_several_batches_and_named_arms_alone_go_out(tmp_path: Path) -> None:
    found = export(finished(tmp_path / "many", Plan(units=130, quality={"feature": 0.9})), tmp_path / "out")
    assert [len(batch["features"]) for batch in batches(found)] == [128, 2]
    assert {source.arm for source in found.sources} == {"feature"}
    run = finished(tmp_path / "few", Plan(units=2))
    assert {source.arm for source in export(run, tmp_path / "usual").sources} == {"feature", "neuron"}
    controls = export(run, tmp_path / "controls", arms=("direction", "neuron-sparse"))
    assert {source.arm for source in controls.sources} == {"direction", "neuron-sparse"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"arms": ("featur",)}, "did you mean 'feature'"),
        ({"model": "Gemma 2"}, "is no id of a model"),
        ({"model": "x"}, "is no id of a model"),
    ],
)
def test_what_can_not_be_told_over_there_is_refused_in_one_line(change: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        export(REFERENCE, REFERENCE / "never", **change)
    assert not (REFERENCE / "never").exists()


def test_ids_of_models_are_made_of_names_of_ours() -> None:
    assert model_id("google/gemma-2-2b", None) == "gemma-2-2b"
    assert model_id("/data/My Model_v1.0/", None) == "my-model-v1.0"
    with pytest.raises(BadInput, match="give one with --model"):
        model_id("2b", None)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is not a run folder"):
        export(tmp_path)
