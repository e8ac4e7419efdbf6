"""A run, as the library hands it out: a folder whose tables are data frames."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from autointerp.run.unit_view import UnitView
from autointerp.study import Study

if TYPE_CHECKING:  # the command line imports this module, and answers --help at once
    import pandas as pd


@dataclass(frozen=True)
class Run:
    """A run folder."""

    folder: Path
    study: Study

    def table(self, name: str) -> "pd.DataFrame":
        """A table of the run by name: `units`, `scores`, `comparison`...

        Raises BadInput when the stage that writes it has not run.
        """
        from autointerp.tables import read_table

        return read_table(self.folder / f"{name}.parquet")

    def unit(self, name: str) -> UnitView:
        """A unit by its id, `feature/1234`: it shows itself in a notebook, and holds its scores and contexts as tables.

        Raises BadInput, with the nearest id, for one that the run has not.
        """
        view = UnitView(self.folder, name)
        _ = view.facts
        return view

    def headline(self) -> str:
        """The answer in plain words, with its intervals."""
        from autointerp.report.stage import headline

        return headline(self.folder)

    def figures(self) -> list[Path]:
        """The pictures, as PNG."""
        return sorted((self.folder / "figures").glob("*.png"))
