"""Make the pages of runs: `RUN/browser/`, which opens from the folder without a server, a network or a build step."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autointerp.artifacts import write_json, write_text
from autointerp.browser.columns import columns
from autointerp.browser.facts import facts
from autointerp.browser.neighbours import neighbours
from autointerp.browser.run_tables import RunTables
from autointerp.browser.unit_files import UNITS, Sharder
from autointerp.errors import BadInput
from autointerp.pages.writing import assets_of, copy_assets, data_script, page
from autointerp.progress import bar
from autointerp.study_file import RUN_STUDY, load_study

FOLDER = "browser"
INDEX = "index.html"
_PACKAGE = "autointerp.browser"
_SCRIPTS = ("parts.js", "charts.js", "overview.js", "list.js", "unit.js", "beside.js", "compare.js", "failures.js",
            "live.js", "app.js")  # fmt: skip
_STYLE = "browser.css"


def make(runs: Sequence[Path], *, compute: bool = True) -> Path:
    """Write the pages of the first run, with those of the others to compare with; return the page to open.

    With `compute`, relations between units are computed first where they are not there and the run has its SAEs.
    Raises BadInput for a folder that is no finished run; what was there before stays until all is made.
    """
    for run in runs:
        if not (run / RUN_STUDY).is_file():
            raise BadInput(f"{run} is no run folder: it has no {RUN_STUDY}", "give a folder that `autointerp run` made")
    if len({run.resolve() for run in runs}) < len(runs):
        raise BadInput("the same run folder is named twice", "name each run once")
    folder = runs[0] / FOLDER
    made = folder / "data.new"
    shutil.rmtree(made, ignore_errors=True)
    for place, run in enumerate(runs):
        near = neighbours(run, load_study(run / RUN_STUDY), compute=compute)
        _write_run(RunTables(run, related=not near), near, made / str(place), place)
    copy_assets(folder, _PACKAGE, [name for name in _SCRIPTS if (assets_of(_PACKAGE) / name).is_file()])
    shutil.rmtree(folder / "data", ignore_errors=True)
    made.rename(folder / "data")
    write_text(folder / "data" / "runs.js", data_script("runs", _names(runs)))
    write_text(folder / INDEX, index())
    return folder / INDEX


def _names(runs: Sequence[Path]) -> list[str]:
    """What runs are called on the pages: the folder's name, with its parent's where two are called alike."""
    names = [run.resolve().name for run in runs]
    return [
        f"{run.resolve().parent.name}/{name}" if names.count(name) > 1 else name
        for run, name in zip(runs, names, strict=True)
    ]


def index(token: str | None = None) -> str:
    """The page itself; with the token of a server, the form that it serves."""
    assets = assets_of(_PACKAGE)
    scripts = [f"assets/{name}" for name in _SCRIPTS if (assets / name).is_file()]
    style = (assets / _STYLE).read_text(encoding="utf8")
    return page("autointerp", ["data/runs.js", *scripts], style, token=token)


def _write_run(tables: RunTables, near: str, folder: Path, place: int) -> None:
    write_text(folder / "run.js", data_script(f"run-{place}", facts(tables, near)))
    write_text(folder / "index.js", data_script(f"index-{place}", columns(tables)))
    sharder, units = Sharder(tables), tables.sampled
    with bar("write pages", len(units), "units") as progress:
        for start in range(0, len(units), UNITS):
            part = units[start : start + UNITS]
            name = f"shard-{place}-{start // UNITS}"
            content: dict[str, Any] = sharder.shard(part)
            write_text(folder / "shards" / f"{start // UNITS:04d}.js", data_script(name, content))
            progress.advance(len(part))
    write_json(folder / "about.json", {"run": tables.run.resolve().name, "units": len(units)})
