"""Verbs about endpoints: what one can do, and what a study will cost."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autointerp.cli.arguments import LedgerFile, Out, Overrides, StudyFile, folder_of
from autointerp.cli.help import Verbs, add_verb
from autointerp.study_file import load_study

StudyOption = Annotated[
    Path | None, typer.Option("--study", metavar="STUDY", help="the study with the section [llm.NAME]")
]


_ABOUT = "The endpoints of language models"


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    add_verb(app, estimate, "requests, tokens and dollars, before anything is spent")
    llm = typer.Typer(cls=Verbs, no_args_is_help=True)
    llm.callback(help=_ABOUT)(_group)
    add_verb(llm, check, "a few small real calls: what an endpoint can do")
    app.add_typer(llm, name="llm", short_help="check: what a language model's endpoint can do")


def _group() -> None:
    """Makes `check` a verb of its own, though it is alone."""


def estimate(study: StudyFile, out: Out = None, overrides: Overrides = None, ledger: LedgerFile = None) -> None:
    """Requests, tokens and dollars per stage, and the smallest difference, before anything is spent: no call is made.

    Corpus, SAE and units are prepared first if they are not there yet (the run then takes them up).
    """
    from autointerp.compare.planning import planned_lines
    from autointerp.run.estimating import estimate as count
    from autointerp.run.estimating import estimate_lines

    configured = load_study(study, overrides or ())
    folder = folder_of(study, out)
    for line in (
        *estimate_lines(count(configured, folder, ledger=ledger), configured),
        *planned_lines(configured, folder),
    ):
        typer.echo(line)


def check(
    name: Annotated[str, typer.Argument(metavar="NAME", help="a section [llm.NAME]", show_default=False)],
    study: StudyOption = None,
    overrides: Overrides = None,
) -> None:
    """A few small real calls: what an endpoint can do and how fast it is; what is found is remembered."""
    from autointerp.errors import BadInput, nearest
    from autointerp.llm.check import check as look
    from autointerp.study_file import parse_study

    configured = load_study(study, overrides or ()) if study is not None else parse_study({}, overrides or ())
    if name not in configured.llm:
        raise BadInput(f"no section [llm.{name}] in the study", nearest(name, configured.llm))
    found = look(configured.llm[name], name)
    width = max(len(label) for label, _ in found.rows)
    for label, value in found.rows:
        typer.echo(f"{label:<{width}}  {value}")
    if found.problem is not None:
        raise found.problem
