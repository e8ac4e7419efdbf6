"""Several runs that redraw one factor each, put together: a table, a page and a figure in a folder of their own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from autointerp.artifacts import write_text
from autointerp.between_runs.factor_results import PAGE, PICTURE, FactorResults, read_results, write_results
from autointerp.between_runs.figure_by_factor import by_factor
from autointerp.between_runs.page_by_factor import page_by_factor
from autointerp.between_runs.redrawn import read_redrawn
from autointerp.errors import BadInput
from autointerp.plot.style import house_style, save
from autointerp.run.manifest import NAME


def put_together(runs: Sequence[str | Path], out: str | Path) -> FactorResults:
    """Say where the variance of a score comes from, by finished runs that redraw one factor each, into folder `out`.

    From their tables alone: no model and no network. Raises BadInput where `out` is a run folder, and where runs can't
    be put together (`read_redrawn`).
    """
    folder = Path(out)
    if (folder / NAME).is_file():
        raise BadInput(f"{folder} is a run folder", "name another folder with --out, for example results/variance")
    results = write_results(read_redrawn([Path(run) for run in runs]), folder)
    draw_by_factor(folder)
    write_page_by_factor(folder)
    return results


def draw_by_factor(folder: Path, style: str | None = None, size: str | None = None) -> list[Path]:
    """The figure of such a folder again, from its table; `style` and `size` as in `house_style`."""
    with house_style(style, size):
        return save(by_factor(read_results(folder)), folder / "figures", PICTURE)


def write_page_by_factor(folder: Path) -> Path:
    """The page of such a folder again, from its table."""
    path = folder / PAGE
    write_text(path, page_by_factor(read_results(folder)))
    return path
