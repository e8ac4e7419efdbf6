"""Verbs that bring units, contexts and explanations to other places and from there: export, import."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autointerp.cli.arguments import LedgerFile, Overrides, Replay, RunFolder
from autointerp.cli.help import Verbs, add_verb

Arms = Annotated[
    list[str] | None,
    typer.Option("--arm", metavar="ARM", help="an arm that goes out; default: the subject's features and neurons"),
]
Published = Annotated[
    Path, typer.Argument(metavar="FOLDER", help="a folder of their bulk layout", show_default=False, exists=False)
]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    going = typer.Typer(
        cls=Verbs, help="A run's units, contexts and explanations for other tools", no_args_is_help=True
    )
    add_verb(going, to_neuronpedia, "upload batches and the bulk layout", name="neuronpedia")
    app.add_typer(going, name="export", short_help="neuronpedia: a run's units and explanations, for others")
    coming = typer.Typer(cls=Verbs, help="Published explanations, scored here", no_args_is_help=True)
    add_verb(coming, from_neuronpedia, "score published explanations", name="neuronpedia")
    app.add_typer(coming, name="import", short_help="neuronpedia: published explanations, to score them here")


def to_neuronpedia(
    run: RunFolder,
    out: Annotated[Path | None, typer.Option("--out", help="default RUN/neuronpedia")] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="ID", help="the model's id there; default: made of the study's name"),
    ] = None,
    arms: Arms = None,
    creator: Annotated[
        str | None, typer.Option("--creator", metavar="ID", help="the user whom records belong to, in the bulk layout")
    ] = None,
) -> None:
    """Write a run's units as Neuronpedia takes them: upload batches, the bulk layout, and a page about both.

    Their API takes no score; the bulk layout has `scoreV2` and `notes` for it.
    """
    from autointerp.exchange.exporting import CREATOR, PAGE, export

    found = export(run, out, model, arms or (), creator or CREATOR)
    for line in found.lines():
        typer.echo(line)
    typer.echo("scores: their API takes none; the bulk layout has them in scoreV2 and notes")
    typer.echo(f"page     {found.folder / PAGE}")
    typer.echo(f"uploads  {found.folder / 'upload'}   {len(found.uploads.files)} batches")
    typer.echo(f"bulk     {found.folder / 'bulk'}")


def from_neuronpedia(
    folder: Published,
    out: Annotated[Path | None, typer.Option("--out", help="run folder; default results/NAME-OF-THE-FOLDER")] = None,
    study: Annotated[
        Path | None,
        typer.Option("--study", metavar="STUDY", help="whose simulator, judges and metrics; default: the defaults"),
    ] = None,
    overrides: Overrides = None,
    seen: Annotated[
        int, typer.Option("--seen", min=0, help="contexts with the largest maxima that count as seen, per feature")
    ] = 20,
    tables_only: Annotated[bool, typer.Option("--tables-only", help="import, and score nothing yet")] = False,
    ledger: LedgerFile = None,
    replay: Replay = False,
) -> None:
    """Score explanations that others published, held out and beside chance, without their model and their SAE.

    FOLDER: public exports of Neuronpedia, or of `autointerp export neuronpedia`, unpacked or as they are.

    The same command goes on where it stopped, and does again only what is not up to date.
    """
    from autointerp.exchange.importing import import_published
    from autointerp.report.imported import sentences
    from autointerp.study_file import load_study, parse_study

    settings = parse_study({}, overrides or ()) if study is None else load_study(study, overrides or ())
    place = Path("results") / folder.resolve().name if out is None else out
    found = import_published(
        folder, place, settings, seen=seen, tables_only=tables_only, ledger=ledger, replay=replay
    )  # fmt: skip
    if tables_only:
        for line in sentences(found.folder):
            typer.echo(line)
        typer.echo(f"import: done, in {found.folder}")
        return
    typer.echo(found.headline())
    typer.echo("")
    for name in ("report.md", "report.html"):
        typer.echo(f"report   {found.folder / name}")
    typer.echo(f"tables   {found.folder}/*.parquet   check them: autointerp verify {found.folder}")
