"""Arguments and options that several verbs share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from autointerp.errors import BadInput

StudyFile = Annotated[Path, typer.Argument(metavar="STUDY", help="a study file (TOML)", show_default=False)]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="a run folder", show_default=False)]
Out = Annotated[Path | None, typer.Option("--out", help="run folder; default results/NAME-OF-THE-STUDY")]
Overrides = Annotated[list[str] | None, typer.Option("--set", metavar="section.key=value", help="override a key")]
LedgerFile = Annotated[
    Path | None, typer.Option("--ledger", metavar="FILE", help="ledger of answers; default RUN/ledger.sqlite")
]
Replay = Annotated[
    bool, typer.Option("--replay", help="answers from the ledger alone: no provider, no key, nothing to pay")
]
Batch = Annotated[
    bool,
    typer.Option("--batch", help="explain and judge through the provider's batch interface: half price, slower"),
]

Simulators = Annotated[
    bool, typer.Option("--simulators", help="compare scores of different simulators too, of several runs")
]
COMPARED = Path("results/compared")
"""Where a comparison of several runs goes by default."""
BY_FACTOR = Path("results/variance")
"""Where several runs that redraw one factor each are put together by default."""


def run_folders(paths: Sequence[Path]) -> Sequence[Path]:
    """`paths`, all of them run folders; BadInput where one is none."""
    for path in paths:
        if not path.is_dir():
            raise BadInput(
                f"{path} is {'a file' if path.exists() else 'not there'}, and several things can only be compared if "
                "they are run folders",
                "give one study file, or run folders alone",
            )
    return paths


def folder_of(study: Path, out: Path | None) -> Path:
    """The run folder of a study file."""
    return out if out is not None else Path("results") / study.stem
