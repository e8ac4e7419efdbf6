"""The page of the most influential sequences, `RUN/influence/`: each token coloured by its part."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autointerp.artifacts import write_text
from autointerp.influence.most_influential import Answer, agreement_lines, method_line
from autointerp.influence.run_material import TrainedRun
from autointerp.influence.tracing import TraceChoice
from autointerp.pages.writing import assets_of, copy_assets, data_script, page

FOLDER = "influence"
_PACKAGE = "autointerp.influence"
_SCRIPT, _STYLE = "influence.js", "influence.css"


def write_influence(run: TrainedRun, answers: Sequence[Answer], choice: TraceChoice) -> Path:
    """Write the page; the same answers give the same bytes. It opens from the folder, and shows text as text."""
    folder = run.folder / FOLDER
    copy_assets(folder, _PACKAGE, (_SCRIPT,))
    value = {
        "run": run.folder.name, "method": method_line(run, choice), "has_fits": choice.method == "ekfac",
        "answers": [_as_shown(answer, run, choice) for answer in answers],
    }  # fmt: skip
    write_text(folder / "data.js", data_script("influence", value))
    style = (assets_of(_PACKAGE) / _STYLE).read_text("utf8")
    write_text(folder / "index.html", page("Influence of training text", [f"assets/{_SCRIPT}"], style))
    return folder / "index.html"


def _as_shown(answer: Answer, run: TrainedRun, choice: TraceChoice) -> dict[str, Any]:
    return {
        "query": answer.query, "measurement": answer.measurement, "half": answer.half, "sequences": len(run.ids),
        "top_share": answer.top_share, "beside": [" ".join(line.split()) for line in agreement_lines(answer, choice)],
        "rows": [
            {name: getattr(row, name) for name in _COLUMNS} for row in answer.rows
        ],
    }  # fmt: skip


_COLUMNS = (
    "place", "context", "source", "influence", "influence_low", "influence_high", "standardised", "null_p",
    "n_null", "bm25_place", "dot_place", "pieces", "parts",
)  # fmt: skip
