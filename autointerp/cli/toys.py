"""The verb of toy models: features that are known, and SAEs that are held against them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autointerp.cli.help import add_verb


def register(app: typer.Typer) -> None:
    """Add the verb."""
    add_verb(app, toy, "known features in superposition, and whether SAEs find them")


def toy(
    study: Annotated[
        Path | None, typer.Argument(metavar="[STUDY]", help="a toy study (TOML); none: defaults", show_default=False)
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="folder of the results")] = Path("results/toy"),
    redraw: Annotated[
        bool, typer.Option("--redraw", help="report and figures of what is in the folder; nothing is trained")
    ] = False,
) -> None:
    """Toy models of superposition: geometry, dimensions per feature, phases, and what SAEs recover of known features.

    A folder that is finished with the same study is not trained again.
    """
    from autointerp.errors import BadInput
    from autointerp.progress import aligned
    from autointerp.toy.experiment import carry_out, read_results
    from autointerp.toy.toy_figures import draw_toys
    from autointerp.toy.toy_report import headline, write_toy_report
    from autointerp.toy.toy_study import load_toy_study

    if redraw and study is not None:
        raise BadInput(f"--redraw with the study {study}", "leave the study out: the folder has its own")
    results = read_results(out) if redraw else carry_out(load_toy_study(study), out)
    draw_toys(results, out / "figures")
    for line in aligned(list(headline(results))):
        typer.echo(line)
    typer.echo("")
    typer.echo(f"report   {write_toy_report(results, out)}")
    typer.echo(f"tables   {out / 'toy.parquet'} and beside it")
    typer.echo(f"figures  {out / 'figures'}")
