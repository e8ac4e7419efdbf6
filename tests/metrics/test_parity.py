"""The same inputs, the same number as the packages whose published scores ours are compared with.

The fixtures hold the inputs and the references' numbers; `parity/make.py` made them, with the packages themselves.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autointerp.judge.saebench import read_numbers
from autointerp.llm.request import Response, Unreadable
from autointerp.metrics.calibration import FittedLine, fit
from autointerp.metrics.classification import classify
from autointerp.metrics.metrics import score_one

KNOWN = json.loads((Path(__file__).parent / "parity" / "scores.json").read_text())
OURS = {
    "ev_correlation_score": "pearson",
    "rsquared_score": "r2_uncentred",
    "absolute_dev_explained_score": "absolute_deviation",
}


@pytest.mark.parametrize("row", KNOWN["simulations"]["rows"])
@pytest.mark.parametrize("name", list(OURS))
def test_scores_of_simulations(name: str, row: dict[str, Any]) -> None:
    truth, predicted = np.array(row["truth"]), np.array(row["predicted"])
    assert score_one(OURS[name], truth, predicted) == pytest.approx(row[name], abs=1e-6)


@pytest.mark.parametrize("row", KNOWN["simulations"]["rows"])
def test_calibration_on_the_same_tokens(row: dict[str, Any]) -> None:
    """Theirs lets the line fall; on these inputs it rises, and the two agree."""
    line = fit(np.array(row["truth"]), np.array(row["predicted"]))
    assert isinstance(line, FittedLine)
    assert line.slope > 0
    assert line(np.array(row["predicted"])) == pytest.approx(np.array(row["calibrated"]), abs=1e-6)


@pytest.mark.parametrize("row", KNOWN["judgements"]["rows"])
@pytest.mark.parametrize(
    ("theirs", "ours"), [("balanced_accuracy", "balanced_accuracy"), ("f1_score", "f1"), ("auc", "auroc")]
)
def test_scores_of_judgements(theirs: str, ours: str, row: dict[str, Any]) -> None:
    assert classify(ours, np.array(row["truth"]), np.array(row["probability"])) == pytest.approx(row[theirs], abs=1e-6)


@pytest.mark.parametrize("row", KNOWN["lists"]["rows"])
def test_scores_of_lists_of_numbers(row: dict[str, Any]) -> None:
    """What SAEBench can't read it leaves out of its mean; here it is asked again."""
    answer = read_numbers(Response(row["answer"], 1, 1), len(row["truth"]))
    if row["score"] is None:
        assert isinstance(answer, Unreadable)
    else:
        assert classify("share_right", np.array(row["truth"]), np.array(answer)) == pytest.approx(row["score"])


def test_the_fixtures_are_not_all_alike() -> None:
    for rows, names in ((KNOWN["simulations"]["rows"], OURS), (KNOWN["judgements"]["rows"], ("f1_score", "auc"))):
        for name in names:
            assert len({round(row[name], 3) for row in rows}) == len(rows) >= 4
