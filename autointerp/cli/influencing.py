"""The verb that asks which training text a run's subject owes something to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autointerp.cli.arguments import RunFolder
from autointerp.cli.help import add_verb
from autointerp.errors import BadInput, nearest


def register(app: typer.Typer) -> None:
    """Add the verb."""
    add_verb(app, influence, "which training text made a trained subject say this")


def influence(
    run: RunFolder,
    text: Annotated[
        list[str] | None, typer.Argument(metavar="[PROMPT COMPLETION]", help="what is asked about", show_default=False)
    ] = None,
    unit: Annotated[
        list[str] | None, typer.Option("--unit", metavar="UNIT", help="a feature or neuron; several times for several")
    ] = None,
    queries: Annotated[
        Path | None, typer.Option("--queries", metavar="FILE", help='JSON lines of {"prompt": ..., "completion": ...}')
    ] = None,
    method: Annotated[str, typer.Option("--method", help="ekfac, dot, cosine, tracin or bm25")] = "ekfac",
    top: Annotated[int, typer.Option("--top", min=1, help="sequences from either end")] = 10,
    rank: Annotated[int | None, typer.Option("--rank", min=1, help="of the queries' matrices; default: whole")] = None,
    damping: Annotated[
        float, typer.Option("--damping", min=1e-6, help="added to eigenvalues, in units of their mean")
    ] = 0.1,
    fitted: Annotated[int, typer.Option("--fitted", min=2, help="sequences that the curvature is measured on")] = 4096,
    nulls: Annotated[int, typer.Option("--nulls", min=0, help="null queries for each query")] = 19,
    seed: Annotated[int, typer.Option("--seed", min=0, help="of sampled labels and null queries")] = 0,
) -> None:
    """The training sequences that raised or lowered log P(completion | prompt), or a unit's activation, most.

    Of a run that trained its subject, into RUN/influence.parquet and a page in RUN/influence; the same command goes on
    where it was interrupted
    """
    from autointerp.influence.asking_for import read_queries
    from autointerp.influence.influence_page import write_influence
    from autointerp.influence.most_influential import answer_lines, answer_of, method_line, table_path
    from autointerp.influence.run_material import open_trained
    from autointerp.influence.tracing import METHODS, TraceChoice, trace
    from autointerp.tables import write_table

    if method not in METHODS:
        raise BadInput(f"--method {method} is unknown", nearest(method, METHODS))
    choice = TraceChoice(method, damping, rank, fitted, top, nulls, seed)
    opened = open_trained(run)
    asked = read_queries(opened, text or [], unit or [], queries)
    answers = [answer_of(opened, found, choice) for found in trace(opened, asked, choice)]
    typer.echo(f"method   {method_line(opened, choice)}")
    for answer in answers:
        typer.echo("")
        for line in answer_lines(answer, opened, choice):
            typer.echo(line)
    write_table("influence", table_path(run), [row for answer in answers for row in answer.rows])
    typer.echo("")
    typer.echo(f"table    {table_path(run)}")
    typer.echo(f"page     {write_influence(opened, answers, choice).resolve().as_uri()}")
