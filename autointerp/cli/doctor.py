"""The verb for bug reports: what is installed here, and what answers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autointerp.cli.arguments import Overrides
from autointerp.cli.help import add_verb
from autointerp.quoting import visible
from autointerp.study_file import load_study

Study = Annotated[
    Path | None,
    typer.Argument(metavar="[STUDY]", help="a study, whose endpoints are looked at too", show_default=False),
]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    add_verb(app, doctor, "what is installed, and what answers: for a bug report")


def doctor(study: Study = None, overrides: Overrides = None) -> None:
    """What is installed, which devices, caches and offline models are there, and which endpoints of a study answer.

    Nothing is paid for or downloaded, and no secret is shown; exit 1 where something is in the way.
    """
    from autointerp.run.diagnosis import diagnose

    configured = None if study is None else load_study(study, overrides or ())
    wrong = 0
    for finding in diagnose(configured):
        wrong += finding.wrong
        typer.echo(f"{'!' if finding.wrong else ' '} {finding.about:<16} {visible(finding.found)}")
    if wrong:
        raise typer.Exit(1)
