"""Noise: the values of features on tokens that have nothing to do with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import autointerp
from autointerp.errors import BadInput
from autointerp.records import Status, Unit, Unscored
from autointerp.run.folder import Run
from autointerp.units.interface import Activations
from autointerp.units.noise import NoiseReadout
from autointerp.units.registry import check_units
from tests.small import small_study

WIDTH, TOKENS = 6, 8


class Latents:
    """Latent j is where coordinate j is positive."""

    W_dec = torch.eye(WIDTH)

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        return x.clamp_min(0)

    def encode_latents(self, x: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
        return x[:, latents].clamp_min(0)


def activations(contexts: list[int], seed: int = 0) -> Activations:
    generator = torch.Generator().manual_seed(seed)
    hooked = torch.randn(len(contexts), TOKENS, WIDTH, generator=generator)
    return Activations({"h": hooked}, torch.tensor(contexts), torch.zeros(len(contexts), TOKENS, dtype=torch.int64))


def readout(*indices: int, seed: int = 0) -> NoiseReadout:
    made = NoiseReadout("noise", "h", np.array(indices), Latents(), seed)
    made.prepare(activations(list(range(40))))
    made.prepare(activations(list(range(40, 60)), seed=1))
    return made


def test_values_are_those_of_the_latents_as_often_as_there() -> None:
    made = readout(1, 4)
    pool = torch.cat(made.pool)
    read = made.read(activations(list(range(2000)), seed=2)).reshape(-1, 2)
    for column in range(2):
        assert set(read[:, column].tolist()) <= set(pool[:, column].tolist())
        for level in (0.1, 0.5, 0.9):
            bound = pool[:, column].quantile(level)
            shares = [float((values[:, column] > bound).float().mean()) for values in (read, pool)]
            assert shares[0] == pytest.approx(shares[1], abs=0.02)


def test_they_depend_on_context_place_latent_and_seed_alone() -> None:
    made, ids = readout(1, 4), [7, 3, 11]
    whole = made.read(activations(ids, seed=5))
    for row, context in enumerate(ids):  # whatever else is in the batch, and whatever the subject did there
        assert torch.equal(made.read(activations([context], seed=9))[0], whole[row])
    alone = made.narrowed([Unit("noise/4", 0, "noise", "h", "", 4, 1, 0.0, 0.5, 1.0, 0.5, Status.OK, "")])
    assert torch.equal(alone.read(activations(ids))[..., 0], whole[..., 1])
    assert not torch.equal(readout(1, 4, seed=1).read(activations(ids)), whole)
    assert whole.min() >= 0


def test_places_do_not_go_together() -> None:
    """Neither neighbours in a context, nor the same place of other contexts, nor two latents."""
    read = readout(1, 4).read(activations(list(range(3000)))).numpy()
    assert abs(np.corrcoef(read[:, :-1, 0].ravel(), read[:, 1:, 0].ravel())[0, 1]) < 0.03
    assert abs(np.corrcoef(read[:-1, :, 0].ravel(), read[1:, :, 0].ravel())[0, 1]) < 0.03
    assert abs(np.corrcoef(read[..., 0].ravel(), read[..., 1].ravel())[0, 1]) < 0.03


def test_it_writes_nothing_and_has_no_twins(tmp_path: Path) -> None:
    assert isinstance(readout(1).writes(WIDTH), Unscored)
    with pytest.raises(BadInput, match="no control 'noise-sparse'"):
        check_units(small_study(tmp_path, "units.controls=['noise-sparse']"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("noise")
    study = small_study(folder, "units.controls=['noise']", "units.directions=12", "units.features=12")
    return autointerp.run(study, folder / "run")


@pytest.mark.pipeline
def test_a_run_scores_noise_beside_the_features_and_says_what_selection_is_worth(run: Run) -> None:
    units = run.table("units")
    noise = units[(units["arm"] == "noise") & (units["status"] == "ok")]
    assert len(noise) == 12
    features = units[(units["arm"] == "feature") & (units["status"] == "ok")]
    assert noise["density"].median() == pytest.approx(features["density"].median(), rel=0.7)
    scores = run.table("scores")
    own = scores[(scores["arm"] == "noise") & (scores["pairing"] == "own") & (scores["metric"] == "pearson")]
    assert abs(own["value"].mean()) < 0.05
    table = scores[(scores["scorer"] == "lookup") & (scores["metric"] == "pearson")].groupby("arm")["value"].mean()
    assert table["noise"] < 0.5 * table["feature"], "no table of tokens knows it either"
    report = (run.folder / "report.md").read_text("utf8")
    assert "noise units" in report
    assert ("scores nothing by itself: noise units" in report) or ("Noise units, whose values have nothing" in report)


@pytest.mark.pipeline
def test_evidence_of_noise_is_what_is_read_again(run: Run) -> None:
    """The same values on a context whichever pass reads it: they are in the table as the readout gives them."""
    evidence = run.table("evidence")
    noise = evidence[evidence["unit"].str.startswith("noise/")]
    values = noise.groupby(["unit", "context"])["activations"].apply(lambda rows: len({tuple(row) for row in rows}))
    assert set(values) == {1}
    assert pd.Series([row.max() for row in noise[noise["kind"] == "top"]["activations"]]).min() > 0
