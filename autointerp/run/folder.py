"""A run, as the library hands it out: a folder whose tables are data frames."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from autointerp.study import Study
from autointerp.tables import read_table


@dataclass(frozen=True)
class Run:
    """A run folder."""

    folder: Path
    study: Study

    def table(self, name: str) -> pd.DataFrame:
        """A table of the run by name: `units`, `scores`, `comparison`...

        Raises BadInput when the stage that writes it has not run.
        """
        return read_table(self.folder / f"{name}.parquet")

    def headline(self) -> str:
        """The answer in plain words, with its intervals."""
        from autointerp.report.stage import headline

        return headline(self.folder)

    def figures(self) -> list[Path]:
        """The pictures, as PNG."""
        return sorted((self.folder / "figures").glob("*.png"))
