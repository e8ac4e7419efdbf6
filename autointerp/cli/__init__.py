"""The command line: one verb per stage. Nothing heavy is imported until a verb needs it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from autointerp import __version__
from autointerp.cli import (
    attribution,
    benchmark,
    checkpoints,
    doctor,
    endpoints,
    exchange,
    folders,
    influencing,
    rating,
    runs,
    self_explaining,
    toys,
)
from autointerp.cli.help import Verbs
from autointerp.errors import Interrupted

_ABOUT = "How interpretable are the features of a sparse autoencoder, compared with raw neurons and with chance?"


_ORDER = (
    "demo", "run", "train", "collect", "explain", "simulate", "judge", "score", "compare",
    "estimate", "llm", "browse", "rate", "plot", "report", "power", "variance", "verify", "ledger", "export", "import",
    "sae", "attribute", "benchmark", "self-explain", "toy", "influence", "doctor",
)  # fmt: skip
"""In which verbs are used: a whole study, its stages, what comes before paying, what a run left, what stands beside."""


class _AllVerbs(Verbs):
    """All verbs. At Ctrl-C each of them ends with the same line."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Their names, in the order of use."""
        return sorted(super().list_commands(ctx), key=_ORDER.index)

    def invoke(self, ctx: Any) -> Any:
        """Carry out the verb that was asked for."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stopped:  # before Typer's own handler makes a silent exit of it
            raise Interrupted from stopped


app = typer.Typer(
    name="autointerp",
    cls=_AllVerbs,
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
    version: Annotated[
        bool | None, typer.Option("--version", callback=_version, is_eager=True, help="show the version and exit")
    ] = None,
) -> None:
    """Options of every verb."""


runs.register(app)
endpoints.register(app)
folders.register(app)
exchange.register(app)
rating.register(app)
influencing.register(app)
checkpoints.register(app)
attribution.register(app)
benchmark.register(app)
self_explaining.register(app)
toys.register(app)
doctor.register(app)
