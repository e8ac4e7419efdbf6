"""Comparing run folders: a table, a page and two figures in a folder of their own, from tables alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from autointerp.artifacts import write_text
from autointerp.between_runs.compared import ComparedRuns, compared_runs
from autointerp.between_runs.figures import distribution_by_run, forest_of_runs
from autointerp.between_runs.page_of_runs import page_of_runs
from autointerp.errors import BadInput
from autointerp.plot.style import house_style, save
from autointerp.run.manifest import NAME
from autointerp.tables import write_table

TABLE, PAGE = "comparison-of-runs.parquet", "comparison-of-runs.md"


def compare_runs(runs: Sequence[str | Path], out: str | Path, *, simulators: bool = False) -> ComparedRuns:
    """Compare finished runs, the first being the one that the others are held against, and write it to folder `out`.

    No model and no network. `simulators`: compare scores of different simulators too. Raises BadInput where `out` is a
    run folder, and where the comparison would be meaningless.
    """
    folder = _writable(out)
    compared = compared_runs([Path(run) for run in runs], simulators)
    write_table("comparison-of-runs", folder / TABLE, compared.rows)
    _draw(compared, folder)
    write_text(folder / PAGE, page_of_runs(compared))
    return compared


def plot_runs(
    runs: Sequence[str | Path],
    out: str | Path,
    *,
    simulators: bool = False,
    style: str | None = None,
    size: str | None = None,
) -> list[Path]:
    """The figures of that comparison alone, in `figures/` of folder `out`; `style` and `size` as in `house_style`."""
    folder = _writable(out)
    return _draw(compared_runs([Path(run) for run in runs], simulators), folder, style, size)


def _writable(out: str | Path) -> Path:
    folder = Path(out)
    if (folder / NAME).is_file():
        raise BadInput(f"{folder} is a run folder", "name another folder with --out, for example results/compared")
    return folder


def _draw(compared: ComparedRuns, folder: Path, style: str | None = None, size: str | None = None) -> list[Path]:
    with house_style(style, size):
        return [
            *save(distribution_by_run(compared), folder / "figures", "distribution-by-run"),
            *save(forest_of_runs(compared), folder / "figures", "differences-of-runs"),
        ]
