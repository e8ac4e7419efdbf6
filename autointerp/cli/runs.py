"""Verbs that run a study: demo, run, and one per stage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from autointerp.cli.arguments import (
    COMPARED,
    Batch,
    LedgerFile,
    Out,
    Overrides,
    Replay,
    Simulators,
    StudyFile,
    folder_of,
    run_folders,
)
from autointerp.cli.help import add_verb
from autointerp.errors import BadInput
from autointerp.study import Study
from autointerp.study_file import load_study, parse_study

_STAGES = {
    "train": "split the corpus and train the SAEs",
    "collect": "survey and sample units, gather their contexts",
    "explain": "propose explanations, choose one per unit on evidence",
    "simulate": "predict activations on held-out contexts",
    "judge": "let judges tell active contexts by the explanation",
    "score": "correlate predicted with true activations",
}


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    add_verb(app, demo, "the embedded example: no key and no network")
    add_verb(app, run, "every stage of a study that is not up to date")
    for name, line in _STAGES.items():
        about = f"{line[0].upper()}{line[1:]}, and carry out the stages before it that are not up to date"
        add_verb(app, _stage(name), line, name=name, text=about)
    add_verb(app, compare, "compare the arms of a study, or several runs")


def demo(
    out: Annotated[Path, typer.Option("--out", help="run folder")] = Path("results/demo"),
    quick: Annotated[bool, typer.Option("--quick", help="fewer tokens and units: 90 seconds, wide intervals")] = False,
    overrides: Overrides = None,
) -> None:
    """The embedded example: SmolLM2-135M, no key and no network."""

    _go(demo_study(quick, overrides or ()), out, pages=True)


def run(
    study: StudyFile,
    out: Out = None,
    overrides: Overrides = None,
    ledger: LedgerFile = None,
    replay: Replay = False,
    batch: Batch = False,
) -> None:
    """Every stage of a study; stages that are up to date are not run again."""
    _go(load_study(study, overrides or ()), folder_of(study, out), ledger=ledger, replay=replay, batch=batch)


def _stage(name: str) -> Callable[..., None]:
    def command(
        study: StudyFile, out: Out = None, overrides: Overrides = None, ledger: LedgerFile = None, batch: Batch = False
    ) -> None:
        _go(load_study(study, overrides or ()), folder_of(study, out), until=name, ledger=ledger, batch=batch)

    return command


def compare(
    what: Annotated[
        list[Path],
        typer.Argument(metavar="STUDY | RUN...", help="a study file, or two run folders or more", show_default=False),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="default results/NAME-OF-THE-STUDY, the run folder; of runs results/compared"),
    ] = None,
    overrides: Overrides = None,
    ledger: LedgerFile = None,
    batch: Batch = False,
    simulators: Simulators = False,
) -> None:
    """Of a study: compare its arms, with intervals, and carry out the stages before it that are not up to date.

    Of run folders: hold every run against the first, from their tables alone, unit by unit where units are the same.
    """
    if len(what) == 1 and not what[0].is_dir():
        if simulators:
            raise BadInput("--simulators is for run folders", "leave it out")
        _go(load_study(what[0], overrides or ()), folder_of(what[0], out), until="compare", ledger=ledger, batch=batch)
        return
    runs = run_folders(what)
    for name, given in (("--set", overrides), ("--ledger", ledger), ("--batch", batch)):
        if given:
            raise BadInput(f"{name} is for a study, and run folders are compared as they are", "leave it out")
    from autointerp.between_runs.answer_of_runs import lines_of
    from autointerp.between_runs.comparing import PAGE, TABLE, compare_runs

    folder = COMPARED if out is None else out
    for line in lines_of(compare_runs(runs, folder, simulators=simulators)):
        typer.echo(line)
    typer.echo("")
    typer.echo(f"page     {folder / PAGE}")
    for figure in sorted((folder / "figures").glob("*-run*.png")):
        typer.echo(f"figure   {figure}")
    typer.echo(f"table    {folder / TABLE}")


def _go(
    study: Study,
    out: Path,
    until: str | None = None,
    ledger: Path | None = None,
    replay: bool = False,
    batch: bool = False,
    pages: bool = False,
) -> None:
    from autointerp.run import run
    from autointerp.train.peers import follows

    finished = run(study, out, until=until, ledger=ledger, replay=replay, batch=batch)
    if follows():
        return  # the first process says it
    if until is None:
        typer.echo(finished.headline())
        typer.echo("")
        for name in ("report.md", "report.html"):
            typer.echo(f"report   {finished.folder / name}")
        for figure in finished.figures():
            typer.echo(f"figure   {figure}")
        if pages:
            from autointerp.browser.pages import make

            typer.echo(f"pages    {make([finished.folder]).resolve().as_uri()}")
        else:
            typer.echo(f"pages    autointerp browse {finished.folder}")
        typer.echo(f"tables   {finished.folder}/*.parquet   check them: autointerp verify {finished.folder}")
    else:
        typer.echo(f"{until}: done, in {finished.folder}")


_DEMO: dict[str, Any] = {
    "corpus": {"tokens": 220_000},
    "scrambled": {"features": 16, "neurons": 16},
    "units": {"features": 32, "neurons": 32, "directions": 12, "sparse": 12},
}
_QUICK: dict[str, Any] = {
    "corpus": {"tokens": 28_000, "train": 0.4, "evidence": 0.35, "held_out": 0.25},
    "sae": [{"hook": "layers.5.mlp.neurons", "train": {"width": 1024, "passes": 4, "batch": 512}}],
    "scrambled": {"features": 6, "neurons": 6},
    "units": {"features": 8, "neurons": 8, "directions": 6, "controls": ["direction"]},
    "explain": {"candidates": 4},
    "compare": {"resamples": 2000},
}


def demo_study(quick: bool = False, overrides: Sequence[str] = ()) -> Study:
    """The demo's study: the defaults but for half of the units and less text, or one that is smaller still."""
    return parse_study(_QUICK if quick else _DEMO, overrides)
