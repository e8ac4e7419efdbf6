"""Verbs about sparse autoencoders themselves: how good one is, and the same one in another tool's layout."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autointerp.cli.help import Verbs, add_verb
from autointerp.quoting import visible

if TYPE_CHECKING:
    from sae.published.registry import Published

Where = Annotated[
    list[str], typer.Argument(metavar="WHERE", help="run folders, checkpoint folders, hub ids", show_default=False)
]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    saes = typer.Typer(cls=Verbs, help="Sparse autoencoders, of a run or of others", no_args_is_help=True)
    add_verb(saes, evaluate, "L0, variance, dead latents and loss recovered", name="eval")
    add_verb(saes, show_published, "published SAEs: what there is, and whether it loads here", name="list")
    add_verb(saes, show, "one SAE: where it reads, and what its checkpoint says")
    add_verb(saes, convert, "the same SAE in another tool's layout")
    app.add_typer(saes, name="sae", short_help="eval, list, show, convert: how good, and which there are")


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


def show_published(
    pattern: Annotated[
        str | None,
        typer.Argument(
            metavar="[PATTERN]",
            help="part of a release, id, model or hook; * and ? stand for any text",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Published SAEs by the names of SAELens' registry, which a study takes as checkpoints.

    Without a pattern one line per release; nothing is downloaded.
    """
    from autointerp.errors import BadInput
    from sae.published.registry import every_published, published_like, registry_version

    found = list(every_published()) if pattern is None else published_like(pattern)
    if not found:
        raise BadInput(f"no published SAE is like '{pattern}'", "'autointerp sae list' shows every release")
    if pattern is None:
        for release in dict.fromkeys(known.release for known in found):
            here = [known for known in found if known.release == release]
            typer.echo(f"{release}  {len(here):,} of {here[0].model}  {_loads(here[0])}")
    else:
        for known in found:
            sparsity = "" if known.l0 is None else f"  L0 {known.l0:g}"
            hook = known.hook or "its files say the hook"
            typer.echo(f"{known.name}  {known.model}  {hook}{sparsity}  {_loads(known)}")
    count = sum(known.layout is not None for known in found)
    typer.echo(
        f"{len(found):,} SAEs, {count:,} of them in layouts that load here (registry of SAELens {registry_version()})"
    )


def _loads(known: Published) -> str:
    kind = "transcoder, " if known.transcodes else ""
    return f"{kind}{known.layout}" if known.layout else f"{kind}can't be loaded: layout {known.conversion}"


def show(
    checkpoint: Annotated[
        str,
        typer.Argument(metavar="SAE", help="saelens:RELEASE/ID, a checkpoint folder or a hub id", show_default=False),
    ],
) -> None:
    """What a name of the registry means, or what a checkpoint says of itself.

    Of a name the registry alone is asked, and nothing is downloaded; of a hub id its files are.
    """
    from autointerp.errors import BadInput
    from autointerp.hook_names import short_name
    from sae.checkpoint import load, read_metadata
    from sae.errors import SaeError
    from sae.published.registry import PREFIX, published

    try:
        if checkpoint.startswith(PREFIX):
            known = published(checkpoint)
            said: dict[str, Any] = {
                "files": f"{known.repo}/{known.path}", "layout": _loads(known), "model": known.model,
                "hook": known.hook, "factor": known.factor, "L0": known.l0, **known.overrides,
            }  # fmt: skip
        else:
            made = load(checkpoint)
            kind = "transcoder" if made.transcodes else "SAE"
            said = {
                "form": f"{made.architecture} {kind} of {made.width:,} latents on vectors of {made.d_in:,}",
                "normalisation": made.normalisation, **read_metadata(checkpoint),
            }  # fmt: skip
    except SaeError as error:
        raise BadInput(error.what, error.remedy) from error
    hook = said.get("hook", said.get("hook_name"))
    if isinstance(hook, str) and short_name(hook) != hook:
        said["hook here"] = short_name(hook)
    for name, value in said.items():
        if value is not None:
            typer.echo(f"{name:<18} {visible(str(value))}")


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
