"""The verb that puts a chat model's own account of its labels to the test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autointerp.cli.arguments import Overrides, Replay, StudyFile
from autointerp.cli.help import add_verb

if TYPE_CHECKING:  # help is shown without it
    from autointerp.self_explanation.explaining_itself import AccountChoice

LlmName = Annotated[
    str, typer.Option("--llm", metavar="NAME", help="the study's [llm.NAME], asked for all of it", show_default=False)
]
Orders = Annotated[
    list[str] | None,
    typer.Option("--order", metavar="ORDER", help="explain-then-predict or predict-then-explain alone; default: both"),
]
Reviews = Annotated[
    Path | None,
    typer.Option(
        "--reviews",
        metavar="FILE",
        help="your own, with the fields text and label (JSON lines, CSV, TSV, Parquet); default: generated ones",
    ),
]
Development = Annotated[bool, typer.Option("--development", help="the generated reviews that prompts were chosen on")]
Limit = Annotated[int, typer.Option("--limit", min=2, help="reviews at most")]
LimeDraws = Annotated[int, typer.Option("--lime-draws", min=2, help="random parts of each review that LIME asks about")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="another one draws other reviews and other nulls")]
ResultsOut = Annotated[Path, typer.Option("--out", help="folder of the results")]
Estimate = Annotated[
    bool, typer.Option("--estimate", help="requests, tokens and dollars, before anything is sent, and stop")
]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    add_verb(app, self_explain, "is a model's own account of its label true?", name="self-explain")


def self_explain(
    study: StudyFile,
    llm: LlmName,
    orders: Orders = None,
    reviews: Reviews = None,
    development: Development = False,
    limit: Limit = 40,
    lime_draws: LimeDraws = 64,
    seed: Seed = 0,
    out: ResultsOut = Path("results/self-explanation"),
    overrides: Overrides = None,
    estimate: Estimate = False,
    replay: Replay = False,
) -> None:
    """A chat model says which words of a review made its label: against occlusion and LIME of the same model.

    The same command asks nothing again; `autointerp report OUT` and `autointerp plot OUT` need no model.
    """
    from autointerp.self_explanation.account_findings import findings
    from autointerp.self_explanation.account_folder import PAGE, PICTURE, SUMMARY
    from autointerp.self_explanation.explaining_itself import estimate_text, estimated
    from autointerp.self_explanation.explaining_itself import self_explain as ask
    from autointerp.study_file import load_study

    choice = _choice(orders or (), reviews, development, limit, lime_draws, seed)
    configured = load_study(study, overrides or ())
    if estimate:
        for line in estimate_text(estimated(configured, llm, choice, out)):
            typer.echo(line)
        return
    for line in findings(ask(configured, llm, choice, out, replay=replay)):
        typer.echo(line)
    typer.echo("")
    typer.echo(f"page     {out / PAGE}")
    typer.echo(f"table    {out / SUMMARY}.parquet")
    typer.echo(f"figure   {out / 'figures' / PICTURE}.svg")


def _choice(
    orders: Sequence[str], reviews: Path | None, development: bool, limit: int, lime_draws: int, seed: int
) -> AccountChoice:
    """What the options say. BadInput for an order that is none, and for two sorts of reviews."""
    from autointerp.errors import BadInput, nearest
    from autointerp.self_explanation.explaining_itself import DEVELOPMENT, FROZEN, AccountChoice
    from autointerp.self_explanation.own_accounts import ORDERS

    for name in orders:
        if name not in ORDERS:
            raise BadInput(f"--order {name}", nearest(name, ORDERS))
    if development and reviews is not None:
        raise BadInput("--development and --reviews together", "give one of them")
    return AccountChoice(
        orders=tuple(order for order in ORDERS if order in (orders or ORDERS)),
        limit=limit,
        seed=seed,
        file=reviews,
        half=DEVELOPMENT if development else FROZEN,
        lime_draws=lime_draws,
    )
