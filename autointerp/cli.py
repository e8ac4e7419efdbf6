"""The command line: one verb per stage. Nothing heavy is imported until a verb needs it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autointerp import __version__
from autointerp.errors import CheckFailed, Interrupted
from autointerp.study import Study, load_study

app = typer.Typer(
    name="autointerp",
    help="How interpretable are the features of a sparse autoencoder, compared with raw neurons and with chance?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

StudyFile = Annotated[Path, typer.Argument(metavar="STUDY", help="a study file (TOML)", show_default=False)]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="a run folder", show_default=False)]
Out = Annotated[Path | None, typer.Option("--out", help="run folder; default results/NAME-OF-THE-STUDY")]
Overrides = Annotated[list[str] | None, typer.Option("--set", metavar="section.key=value", help="override a key")]


def _version(asked: bool | None) -> None:
    if asked:
        typer.echo(f"autointerp {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[bool | None, typer.Option("--version", callback=_version, is_eager=True)] = None,
) -> None:
    """How interpretable are the features of a sparse autoencoder, compared with raw neurons and with chance?"""


def _go(study: Study, out: Path, until: str | None = None) -> None:
    from autointerp.run import run

    try:
        finished = run(study, out, until=until)
    except KeyboardInterrupt as stopped:  # before the command line's own handler makes an exit of 1 of it
        raise Interrupted from stopped
    if until is None:
        typer.echo(finished.headline())
        typer.echo("")
        typer.echo(f"report   {finished.folder / 'report.md'}")
        for figure in finished.figures():
            typer.echo(f"figure   {figure}")
        typer.echo(f"tables   {finished.folder}/*.parquet   check them: autointerp verify {finished.folder}")
    else:
        typer.echo(f"{until}: done, in {finished.folder}")


def _out(study: Path, out: Path | None) -> Path:
    return out if out is not None else Path("results") / study.stem


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", help="run folder")] = Path("results/demo"),
    quick: Annotated[
        bool, typer.Option("--quick", help="fewer tokens and units: under 90 seconds, wide intervals")
    ] = False,
    overrides: Overrides = None,
) -> None:
    """The embedded example: SmolLM2-135M, no key and no network."""
    from autointerp.demo import demo_study

    _go(demo_study(quick, overrides or ()), out)


@app.command()
def run(study: StudyFile, out: Out = None, overrides: Overrides = None) -> None:
    """Every stage of a study; stages that are up to date are not run again."""
    _go(load_study(study, overrides or ()), _out(study, out))


def _stage(name: str, text: str) -> None:
    def command(study: StudyFile, out: Out = None, overrides: Overrides = None) -> None:
        _go(load_study(study, overrides or ()), _out(study, out), until=name)

    app.command(name=name, help=f"{text} (and the stages before it that are not up to date)")(command)


for _name, _text in (
    ("train", "Split the corpus and train the SAEs"),
    ("collect", "Survey and sample units, gather their contexts"),
    ("explain", "Propose explanations, choose one per unit on evidence"),
    ("simulate", "Predict activations on held-out contexts"),
    ("score", "Correlate predicted with true activations"),
    ("compare", "Compare the arms, with intervals"),
):
    _stage(_name, _text)


@app.command()
def plot(run: RunFolder) -> None:
    """Every figure again, from the tables alone: no model and no network."""
    from autointerp.plot.stage import plot as draw

    for figure in draw(run):
        typer.echo(figure)


@app.command()
def report(run: RunFolder) -> None:
    """report.md again, from the tables alone."""
    from autointerp.report.sources import write_sources
    from autointerp.report.stage import report as write

    typer.echo(write(run))
    typer.echo(write_sources(run))


@app.command()
def verify(run: RunFolder) -> None:
    """Check hashes, disjoint splits and coverage; exit 1 names what is wrong."""
    from autointerp.verify import verify as look

    checks = look(run)
    for check in checks:
        typer.echo(f"{'ok  ' if check.ok else 'FAIL'}  {check.name}: {check.detail}")
    wrong = [check for check in checks if not check.ok]
    if wrong:
        raise CheckFailed(f"{len(wrong)} of {len(checks)} checks failed, first: {wrong[0].name}: {wrong[0].detail}")
    typer.echo(f"all {len(checks)} checks passed")
