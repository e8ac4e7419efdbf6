"""The verb that puts the methods themselves to the test: units whose meaning is known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from autointerp.cli.arguments import Overrides
from autointerp.cli.help import add_verb

StudyFile = Annotated[
    Path | None,
    typer.Argument(metavar="[STUDY]", help="a study file, for its [llm.NAME]; none: offline", show_default=False),
]
Form = Annotated[
    list[str] | None,
    typer.Option("--form", metavar="FORM", help="description or list: explanations told in this form alone"),
]
Against = Annotated[
    list[str] | None,
    typer.Option(
        "--against",
        metavar="SORT",
        help="other, near-miss, too-broad or too-narrow: the true one against these wrong ones alone; may be given "
        "several times",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    add_verb(app, benchmark, "which simulators and judges can tell right from wrong")


def benchmark(
    study: StudyFile = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="the cheap methods alone: minutes, without any endpoint")
    ] = False,
    method: Annotated[
        list[str] | None, typer.Option("--method", metavar="NAME", help="this method; may be given several times")
    ] = None,
    units: Annotated[int | None, typer.Option("--units", min=1, help="planted units at most; default: all")] = None,
    foils: Annotated[
        int | None,
        typer.Option(
            "--foils", min=1, help="other units' explanations per unit; default: all where they cost nothing, else 2"
        ),
    ] = None,
    form: Form = None,
    against: Against = None,
    frozen: Annotated[bool, typer.Option("--frozen", help="meanings of the frozen half alone")] = False,
    out: Annotated[Path, typer.Option("--out", help="folder of the results")] = Path("results/benchmark"),
    overrides: Overrides = None,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="requests and tokens for endpoints, before anything is sent, and stop")
    ] = False,
) -> None:
    """Planted truth: which simulators and judges can tell a right explanation from a wrong one.

    Every method is measured that the study's models are enough for.

    Finished methods are kept: the same command continues, further ones may be measured on fewer units, and without
    OUT/work all is measured again.
    """
    from autointerp.errors import BadInput
    from autointerp.planted.findings import headline_lines
    from autointerp.planted.meanings import FORMS
    from autointerp.planted.pairings import Portion
    from autointerp.planted.results import PAGE, PICTURE, TABLE
    from autointerp.planted.stage import BenchmarkScope, benchmark_study, estimated
    from autointerp.planted.stage import benchmark as measure
    from autointerp.planted.units import WRONG

    if quick and method:
        raise BadInput("--quick and --method together", "give one of them")
    portion = Portion(units, foils, _some("--form", form, FORMS), _some("--against", against, WRONG), frozen)
    configured, asked = benchmark_study(study, overrides or ()), BenchmarkScope(tuple(method or ()), quick, portion)
    if estimate:
        for line in estimated(configured, out, asked) or ["no endpoint would be asked"]:
            typer.echo(line)
        return
    for line in headline_lines(measure(configured, out, asked)):
        typer.echo(line)
    typer.echo("")
    typer.echo(f"page     {out / PAGE}")
    typer.echo(f"table    {out / TABLE}")
    typer.echo(f"figure   {out / 'figures' / PICTURE}.svg")


def _some(option: str, names: Sequence[str] | None, known: Sequence[str]) -> tuple[str, ...]:
    """Those that are named, each once, in the order of all; all where none is. BadInput for one that is unknown."""
    from autointerp.errors import BadInput, nearest

    for name in names or ():
        if name not in known:
            raise BadInput(f"{option} {name}", nearest(name, known))
    return tuple(name for name in known if name in (names or known))
