"""The verb with which people, or a model, rate the units of a run blindly."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autointerp.cli.arguments import Replay, RunFolder
from autointerp.cli.help import add_verb
from autointerp.errors import BadInput

if TYPE_CHECKING:  # help is shown without it
    from autointerp.rate.drawing import PageChoice


def register(app: typer.Typer) -> None:
    """Add the verb."""
    add_verb(app, rate, "a page on which people rate units blindly; their answers")


def rate(
    run: RunFolder,
    add: Annotated[
        list[Path] | None, typer.Option("--add", metavar="FILE", help="take answers; may be given several times")
    ] = None,
    rater: Annotated[str | None, typer.Option("--rater", metavar="NAME", help="take them under this name")] = None,
    model: Annotated[
        str | None, typer.Option("--model", metavar="LLM", help="have the study's [llm.LLM] rate the same items")
    ] = None,
    units: Annotated[int, typer.Option("--units", min=1, help="of each arm at most")] = 12,
    decoys: Annotated[
        float, typer.Option("--decoys", min=0, max=1, help="share that shows another unit's explanation")
    ] = 0.25,
    without_logits: Annotated[
        bool, typer.Option("--without-logits", help="no promoted tokens: 11 points in place of 14")
    ] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="another one draws other units and another order")] = 0,
    replay: Replay = False,
) -> None:
    """A page on which people rate units blindly, in RUN/rating; with --add, their answers into RUN/ratings.parquet.

    The page opens without a server and tells no arm: hand out its folder alone; `autointerp report` shows the ratings
    """
    from autointerp.rate.drawing import PageChoice

    if add:
        if model is not None:
            raise BadInput("--add and --model in one call", "take answers first, then ask the model")
        _take(run, add, rater)
        return
    if rater is not None:
        raise BadInput(f"--rater {rater} without answers", "name their files with --add")
    if replay and model is None:
        raise BadInput("--replay without a model", "name one of the study's with --model")
    choice = PageChoice(units=units, decoys=decoys, logits=False if without_logits else None, seed=seed)
    if model is None:
        _hand_out(run, choice)
    else:
        _ask(run, model, choice, replay)


def _hand_out(run: Path, choice: PageChoice) -> None:
    from autointerp.rate.handing_out import hand_out

    made = hand_out(run, choice)
    items, arms, decoys = made.counts
    typer.echo(f"page        {made.page.resolve().as_uri()}")
    typer.echo(
        f"items       {items} of {arms} arms, {made.sheet.points} points each; {decoys} show another unit's explanation"
    )
    if not made.drawn.logits:
        typer.echo(
            "            promoted tokens are not shown"
            + ("" if choice.logits is False else ": the run has not kept them")
        )
    for (arm, reason), count in sorted(made.drawn.left_out.items()):
        typer.echo(f"left out    {arm}: {count} ({reason})")
    typer.echo(f"hand out    {made.page.parent}, all of it and nothing else: {made.key.name} says which unit is which")
    typer.echo(f"bring back  autointerp rate {run} --add FILE-OF-A-RATER")


def _take(run: Path, files: list[Path], rater: str | None) -> None:
    from autointerp.rate.taking import RATINGS, take

    for each in take(run, files, rater):
        more = [
            f"{count} {what}"
            for count, what in (
                (each.known, "were there"), (each.changed, "changed"), (each.older, "older than what is there"),
                (each.skipped, "passed over"), (each.still_open, "still open"),
            )
            if count
        ]  # fmt: skip
        typer.echo(
            f"{each.path.name}: {each.rater}, {each.added} ratings added" + "".join(f", {part}" for part in more)
        )
    typer.echo(f"table   {run / RATINGS}")
    typer.echo(f"next    autointerp plot {run} && autointerp report {run}")


def _ask(run: Path, model: str, choice: PageChoice, replay: bool) -> None:
    from autointerp.rate.asking import ask, failures
    from autointerp.rate.taking import RATINGS

    rows = ask(run, model, choice, replay=replay)
    failed = failures(rows)
    typer.echo(f"{rows[0].rater}: {len(rows) - sum(failed.values())} of {len(rows)} items rated")
    for reason, count in failed.items():
        typer.echo(f"unscored  {count}: {reason}")
    typer.echo(f"table     {run / RATINGS}")
