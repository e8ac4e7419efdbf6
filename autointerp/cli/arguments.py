"""Arguments and options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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


def folder_of(study: Path, out: Path | None) -> Path:
    """The run folder of a study file."""
    return out if out is not None else Path("results") / study.stem
