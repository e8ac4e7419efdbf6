"""What goes out comes back: the same units, contexts, activations and texts, so that the same scores come out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from autointerp.exchange.exporting import export
from autointerp.exchange.importing import import_published
from autointerp.records import Status
from autointerp.run.folder import Run
from autointerp.run.verify import verify
from autointerp.study_file import parse_study, study_of
from autointerp.tables import read_table
from tests.exchange.doubles import cut

COMMITTED = Path(__file__).parents[2] / "results" / "reference"
ARMS = ("feature", "neuron", "direction")


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some units of each arm of the committed run."""
    return cut(COMMITTED, tmp_path_factory.mktemp("there") / "reference", 12)


@pytest.fixture(scope="module")
def back(there: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The run's own explanations, read literally once more after the way there and back."""
    folder = tmp_path_factory.mktemp("back")
    export(there, folder, arms=ARMS)
    study = parse_study({"simulate": {"method": "literal"}, "compare": {"resamples": 1000, "derangements": 2}})
    return import_published(folder / "bulk", folder / "back", study)


def _sampled(there: Path) -> pd.DataFrame:
    units = read_table(there / "units.parquet")
    return units[units["arm"].isin(ARMS) & (units["status"] != Status.EXCLUDED)].set_index("unit").sort_index()


@pytest.mark.pipeline
def test_the_units_are_the_same(back: Run, there: Path) -> None:
    found, own = back.table("units").set_index("unit").sort_index(), _sampled(there)
    assert found.drop(columns=["single_token"]).equals(own.drop(columns=["single_token"]))
    assert np.allclose(found["single_token"], own["single_token"])
    texts = [read_table(folder / "explanations.parquet").set_index("unit") for folder in (back.folder, there)]
    for column in ("text", "status", "reason", "kind", "arm", "explainer"):
        assert texts[0][column].sort_index().equals(texts[1].loc[own.index, column].sort_index()), column


@pytest.mark.pipeline
def test_the_contexts_and_activations_are_the_same_in_the_same_splits(back: Run, there: Path) -> None:
    told = []
    for folder in (back.folder, there):
        contexts = read_table(folder / "contexts.parquet", ["context", "split", "pieces"]).set_index("context")
        rows = read_table(folder / "evidence.parquet")
        rows = rows[rows["unit"].isin(_sampled(there).index)].sort_values("unit", kind="stable")
        rows["split"] = rows["context"].map(contexts["split"])
        rows["pieces"] = rows["context"].map(contexts["pieces"]).map(tuple)
        rows["values"] = rows["activations"].map(lambda values: values.tobytes())
        told.append(rows[["unit", "kind", "weight", "split", "pieces", "values"]].reset_index(drop=True))
    assert len(told[0]) > 2_000
    assert told[0].equals(told[1])


@pytest.mark.pipeline
def test_the_explanations_score_the_same(back: Run, there: Path) -> None:
    keys = ["unit", "metric", "slice"]
    own = [
        frame.query("scorer == 'literal' and pairing == 'own' and slice != 'unlisted'").set_index(keys)["value"]
        for frame in (back.table("scores"), read_table(there / "scores.parquet"))
    ]
    both = pd.concat(own, axis=1, keys=["back", "own"], join="inner")
    assert len(both) == 4 * len(_sampled(there))
    assert np.allclose(both["back"], both["own"], equal_nan=True, rtol=0, atol=1e-12)
    assert [check.name for check in verify(back.folder) if not check.ok] == []
    assert study_of(back.folder).subject.model == "neuronpedia:smollm2-135m"


@pytest.mark.pipeline
def test_an_import_can_be_sent_on(back: Run, tmp_path: Path) -> None:
    sent = export(back.folder, tmp_path / "on")
    assert sent.model == "smollm2-135m"
    assert {source.name for source in sent.sources} == {"5-sae", "5-neuron", "5-neuron-negated"}
