"""Verbs about sparse autoencoders themselves: how good one is, and the same one in another tool's layout."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autointerp.cli.help import Verbs, add_verb

Where = Annotated[
    list[str], typer.Argument(metavar="WHERE", help="run folders, checkpoint folders, hub ids", show_default=False)
]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    saes = typer.Typer(cls=Verbs, help="Sparse autoencoders, of a run or of others", no_args_is_help=True)
    add_verb(saes, evaluate, "L0, variance, dead latents and loss recovered", name="eval")
    add_verb(saes, convert, "the same SAE in another tool's layout")
    app.add_typer(saes, name="sae", short_help="eval, convert: how good an SAE is, and other layouts")


def evaluate(
    where: Where,
    model: Annotated[str | None, typer.Option("--model", help="subject of checkpoints; default: as they say")] = None,
    hook: Annotated[str | None, typer.Option("--hook", help="hook of checkpoints; default: as they say")] = None,
    corpus: Annotated[str | None, typer.Option("--corpus", help="text for checkpoints; default builtin")] = None,
    tokens: Annotated[
        int | None, typer.Option("--tokens", min=1, help="tokens at most; default: a run's held-out split, else 32,768")
    ] = None,
    context: Annotated[
        int | None, typer.Option("--context", min=2, help="tokens per context for checkpoints; default 64")
    ] = None,
    against: Annotated[
        str | None, typer.Option("--against", metavar="CHECKPOINT", help="an SAE whose decoder theirs is held against")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="of checkpoints' text; default 0")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="folder; default RUN/sae-eval for one run, else results/sae-eval")
    ] = None,
) -> None:
    """L0, variance, dead latents, and the loss that a reconstruction keeps when it is spliced into the subject.

    The SAEs of a run are evaluated on the run's own subject, hooks and held-out contexts.
    """
    from autointerp.sae_eval.evaluating import evaluate_saes
    from autointerp.sae_eval.evaluation_tables import evaluation_lines, write_evaluation
    from autointerp.sae_eval.places import EvaluationRequest, is_run

    rows = evaluate_saes(where, EvaluationRequest(model, hook, corpus, tokens, context, seed), against)
    if out is None:
        out = Path(where[0]) / "sae-eval" if len(where) == 1 and is_run(where[0]) else Path("results/sae-eval")
    for line in evaluation_lines(rows):
        typer.echo(line)
    typer.echo("")
    for path in write_evaluation(rows, out):
        typer.echo(path)


def convert(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="a checkpoint folder or hub id", show_default=False)],
    target: Annotated[Path, typer.Argument(metavar="TARGET", help="folder to write", show_default=False)],
    to: Annotated[
        str, typer.Option("--to", metavar="LAYOUT", help="saelens, dictionary_learning or sparsify", show_default=False)
    ],
) -> None:
    """The same SAE in another tool's layout: its encodings stay the same."""
    from autointerp.errors import BadInput
    from sae.checkpoint import convert as write
    from sae.errors import SaeError

    try:
        made = write(source, target, to)
    except SaeError as error:
        raise BadInput(error.what, error.remedy) from error
    typer.echo(f"{made.architecture} of {made.width:,} latents on vectors of {made.d_in:,}, for {to}: {target}")
