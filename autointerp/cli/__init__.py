"""The command line: one verb per stage. Nothing heavy is imported until a verb needs it."""

from __future__ import annotations

from typing import Annotated

import typer

from autointerp import __version__
from autointerp.cli import endpoints, folders, runs

_ABOUT = "How interpretable are the features of a sparse autoencoder, compared with raw neurons and with chance?"

app = typer.Typer(
    name="autointerp",
    help=_ABOUT,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(asked: bool | None) -> None:
    if asked:
        typer.echo(f"autointerp {__version__}")
        raise typer.Exit


@app.callback(help=_ABOUT)
def root(
    version: Annotated[bool | None, typer.Option("--version", callback=_version, is_eager=True)] = None,
) -> None:
    """Options of every verb."""


runs.register(app)
endpoints.register(app)
folders.register(app)
