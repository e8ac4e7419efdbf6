"""Which units are near which: held against plain loops over the same draw of contexts."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from jaxtyping import Float

import autointerp
from autointerp.artifacts import rng_of
from autointerp.browser.neighbours import neighbours
from autointerp.collect.relations import BUCKETS, CONTEXTS, HISTOGRAMS, RELATIONS, SURVEY, relate
from autointerp.contexts.reading import context_ids, load_contexts
from autointerp.llm.open import Mode
from autointerp.records import Split
from autointerp.run.manifest import read_manifest
from autointerp.run.resources import Resources
from autointerp.study import Study
from autointerp.tables import read_table
from tests.small import HOOK, small_study

pytestmark = pytest.mark.pipeline


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return small_study(tmp_path_factory.mktemp("input"))


@pytest.fixture(scope="module")
def opened(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Resources]]:
    folder = tmp_path_factory.mktemp("out") / "run"
    autointerp.run(study, folder, until="explain")
    resources = Resources(study, folder, Mode())
    relate(study, resources.subject, resources.encoders(), folder)
    yield folder, resources
    resources.close()


@pytest.fixture(scope="module")
def run(opened: tuple[Path, Resources]) -> Path:
    """Not to be written to."""
    return opened[0]


@pytest.fixture(scope="module")
def resources(opened: tuple[Path, Resources]) -> Resources:
    return opened[1]


@pytest.fixture(scope="module")
def true(study: Study, run: Path, resources: Resources) -> dict[str, Float[np.ndarray, " token"]]:
    """Activations of every latent and of every neuron in both orientations, token by token, contexts in order."""
    ids = context_ids(run / "contexts.parquet", Split.EVIDENCE)
    chosen = rng_of(study.seed_for("evidence"), "relations").choice(ids, min(CONTEXTS, len(ids)), replace=False)
    contexts = load_contexts(run / "contexts.parquet", chosen.tolist())
    tokens = np.stack([contexts[int(context)].tokens for context in ids if int(context) in contexts])
    hooked = resources.subject.activations(tokens)[HOOK]
    vectors = hooked.reshape(-1, hooked.shape[-1])
    codes = resources.encoders()["sae"][0].encode(vectors).numpy()
    found = {f"feature/{place}": codes[:, place] for place in range(codes.shape[1])}
    for place in range(vectors.shape[1]):
        values = vectors[:, place].numpy()
        found |= {f"neuron/{place}+": np.maximum(values, 0), f"neuron/{place}-": np.maximum(-values, 0)}
    return found


def _pearson(x: Float[np.ndarray, " token"], y: Float[np.ndarray, " token"]) -> float:
    return float(np.corrcoef(x.astype(np.float64), y.astype(np.float64))[0, 1]) if x.std() and y.std() else np.nan


def test_correlations_and_their_order_are_those_of_a_plain_loop(
    run: Path, true: dict[str, Float[np.ndarray, " token"]]
) -> None:
    rows = read_table(run / RELATIONS)
    near = rows[(rows["by"] == "correlation") & rows["unit"].str.match(r"(feature|neuron)/")]
    assert len(near["unit"].unique()) == 9
    for (unit, arm), part in near.groupby(["unit", "arm"]):
        base = str(unit).rstrip("+-")
        others = {name: _pearson(true[str(unit)], values) for name, values in true.items()
                  if name.startswith(f"{arm}/") and name.rstrip("+-") != base}  # fmt: skip
        best = pd.Series(others).dropna().sort_values(ascending=False).head(len(part))
        np.testing.assert_allclose(part.sort_values("place")["correlation"], best.to_numpy(), atol=1e-4)
        for other, value in zip(part["other"], part["correlation"], strict=True):
            assert value == pytest.approx(others[other], abs=1e-4)


def test_a_neuron_is_in_a_feature_by_its_share_of_the_decoder_row(run: Path, resources: Resources) -> None:
    decoder = resources.encoders()["sae"][0].W_dec.numpy()
    rows = read_table(run / RELATIONS)
    made_of = rows[(rows["by"] == "cosine") & (rows["arm"] == "neuron") & rows["unit"].str.startswith("feature/")]
    assert len(made_of)
    for unit, part in made_of.groupby("unit"):
        row = decoder[int(str(unit).split("/")[1])]
        shares = row / np.linalg.norm(row)
        np.testing.assert_allclose(part["cosine"], np.sort(np.abs(shares))[::-1][: len(part)], atol=1e-5)
        for other, cosine in zip(part["other"], part["cosine"], strict=True):
            place, sign = int(other.split("/")[1][:-1]), 1 if other.endswith("+") else -1
            assert cosine == pytest.approx(sign * shares[place], abs=1e-5)
    uses = rows[(rows["by"] == "cosine") & (rows["arm"] == "feature") & rows["unit"].str.startswith("neuron/")]
    for row in uses.to_dict("records"):
        place, sign = int(row["unit"].split("/")[1][:-1]), 1 if row["unit"].endswith("+") else -1
        vector = decoder[int(row["other"].split("/")[1])]
        assert row["cosine"] == pytest.approx(sign * vector[place] / np.linalg.norm(vector), abs=1e-5)


def test_chance_is_what_an_unrelated_unit_finds_and_never_the_truth_itself(run: Path) -> None:
    rows = read_table(run / RELATIONS)
    first = rows[rows["place"] == 0].dropna(subset="chance")
    found = first[first["by"] == "correlation"]
    # Units of the tiny model are related, and their activations moved to another context are not.
    assert (found["chance"] < found["correlation"]).mean() > 0.9
    noise = rows[(rows["unit"].str.startswith("direction/")) & (rows["by"] == "cosine") & (rows["arm"] == "feature")]
    assert len(noise)
    nearest = noise[noise["place"] == 0]
    # A random direction is as near to the features as a random direction.
    assert (nearest["cosine"] - nearest["chance"]).abs().max() < 0.35


def test_survey_and_histograms_are_those_of_a_plain_loop(
    run: Path, true: dict[str, Float[np.ndarray, " token"]]
) -> None:
    survey = read_table(run / SURVEY).set_index("unit")
    assert set(survey.index) == set(true)
    for unit, values in true.items():
        assert survey.at[unit, "density"] == pytest.approx((values > 0).mean(), abs=2e-4)
        assert survey.at[unit, "max_activation"] == pytest.approx(values.max(), abs=1e-5)
    histograms = read_table(run / HISTOGRAMS).set_index("unit")
    for unit in histograms.index:
        if unit not in true:
            continue
        values = true[str(unit)]
        active, top = values[values > 0], values.max()
        assert histograms.at[unit, "top"] == pytest.approx(top, abs=1e-5)
        counts = np.asarray(histograms.at[unit, "counts"])
        assert counts.sum() == pytest.approx(len(active), abs=1)
        expected, _ = np.histogram(active, bins=BUCKETS, range=(0, top))
        assert np.abs(counts - expected).sum() <= 4  # on the edges of buckets alone


def test_it_is_made_once_and_again_when_the_units_change(study: Study, run: Path, tmp_path: Path) -> None:
    own = tmp_path / "run"
    shutil.copytree(run, own)
    assert neighbours(own, study, compute=False).startswith("not computed")
    assert neighbours(own, study) == ""
    made = (own / RELATIONS).stat().st_mtime_ns
    assert neighbours(own, study, compute=False) == ""
    assert (own / RELATIONS).stat().st_mtime_ns == made
    assert set(read_manifest(own)["relate"].outputs) == {SURVEY, HISTOGRAMS, RELATIONS}
    assert (own / RELATIONS).read_bytes() == (run / RELATIONS).read_bytes(), "the same run gives the same bytes"
    (own / "sae" / "sae").rename(own / "away")
    assert neighbours(own, study) == "", "a published run may hold the tables without the SAE"
    (own / RELATIONS).unlink()
    assert "does not hold the SAE 'sae'" in neighbours(own, study)
