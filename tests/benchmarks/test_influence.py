"""The comparison with retraining: it runs, counts worlds, and gives every method and the ceiling."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest


@pytest.mark.slow
def test_every_method_is_measured_in_every_world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import influence

    monkeypatch.setattr(influence, "SEQUENCES", 48)
    monkeypatch.setattr(influence, "QUERIES", 4)
    monkeypatch.setattr(influence, "REMOVED", 4)
    monkeypatch.setattr(influence, "_DOCUMENTS", 60)
    monkeypatch.setattr(influence, "RECIPE", influence.RECIPE.model_copy(update={"passes": 8}))
    found = influence.measure(influence.Scale(2, 1, 2, 4), first_seed=500, damping=0.1)
    for what, more in (("copies", []), ("removal", []), ("subsets", ["ceiling"])):
        assert {row["method"] for row in found[what]} == {*influence.METHODS, *more}
        assert {row["worlds"] for row in found[what]} == {2}
    copies = {row["method"]: row["mean"] for row in found["copies"]}
    assert copies["ekfac"] > copies["random"]


def test_an_interval_is_students_over_worlds_and_a_correlation_is_a_mean_over_queries() -> None:
    import influence

    row = influence._row("ekfac", [0.1, 0.2, 0.6])
    assert (row["low"], row["mean"], row["high"]) == pytest.approx((-0.3572, 0.3, 0.9572), abs=1e-3)
    predicted = np.array([[1.0, 3.0], [2.0, 2.0], [3.0, 1.0]])
    assert influence._correlation(predicted, predicted[:, [0, 0]]) == pytest.approx(0.0)
