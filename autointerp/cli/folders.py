"""Verbs on what a run left: browse, plot, report, power, variance, verify, and the ledger."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from autointerp.cli.arguments import BY_FACTOR, COMPARED, RunFolder, Simulators, run_folders
from autointerp.cli.help import Verbs, add_verb
from autointerp.errors import BadInput, CheckFailed

LedgerOf = Annotated[Path, typer.Argument(metavar="RUN", help="a run folder, or a ledger's file", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    add_verb(app, browse, "look at every unit, in a browser")
    add_verb(app, plot, "every figure again, from the tables alone")
    add_verb(app, report, "report.md and report.html again, from the tables")
    add_verb(app, power, "what more units, replicates or hours would find")
    add_verb(app, variance, "where a score's variance comes from, of several runs")
    add_verb(app, verify, "check hashes, splits and coverage of a run")
    ledger = typer.Typer(cls=Verbs, help="The answers of language models that a run has paid for", no_args_is_help=True)
    add_verb(ledger, show, "answers, failures and tokens, per endpoint and model")
    add_verb(ledger, export, "every request and its answer as JSON lines")
    add_verb(ledger, prune, "remove answers, so that they are asked for again")
    app.add_typer(ledger, name="ledger", short_help="show, export, prune: the answers that were paid for")


def browse(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...", help="run folders: the first one's pages, the others to compare with", show_default=False
        ),
    ],
    serve: Annotated[
        bool, typer.Option("--serve", help="a local server besides: explanations and texts of your own")
    ] = False,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="of the server; 0: a free one")] = 0,
    tables_only: Annotated[
        bool, typer.Option("--tables-only", help="load no model: what units stand beside each other stays unknown")
    ] = False,
) -> None:
    """Pages of every unit, in RUN/browser: they open from the folder, without a server and without a network."""
    from autointerp.browser.pages import index, make

    page = make(runs, compute=not tables_only)
    typer.echo(f"pages    {page.resolve().as_uri()}")
    if serve:
        from autointerp.browser.server import serve as serve_pages

        serve_pages(runs[0], port=port, index=index)


def plot(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="a run folder, or several", show_default=False)],
    out: Annotated[Path | None, typer.Option("--out", help="folder for the figures of several runs")] = None,
    style: Annotated[
        str | None, typer.Option("--style", metavar="NAME|FILE", help="a style of matplotlib; default: the house's")
    ] = None,
    size: Annotated[str | None, typer.Option("--size", metavar="paper|slides", help="how wide they are shown")] = None,
    simulators: Simulators = False,
) -> None:
    """Every figure of a run, or of the folder of `benchmark`, `variance` or `self-explain`, again, from tables alone.

    Of several runs: every arm run by run, and the differences from the first; into results/compared, or --out.
    """
    from autointerp.between_runs.comparing import plot_runs
    from autointerp.between_runs.factor_results import is_by_factor
    from autointerp.between_runs.putting_together import draw_by_factor
    from autointerp.planted.figure import draw as draw_benchmark
    from autointerp.planted.results import is_benchmark
    from autointerp.plot.stage import plot as draw
    from autointerp.self_explanation.account_folder import is_self_explanation
    from autointerp.self_explanation.figure import draw_accounts

    if len(runs) > 1:
        folder = COMPARED if out is None else out
        figures = plot_runs(run_folders(runs), folder, simulators=simulators, style=style, size=size)
    elif out is not None or simulators:
        raise BadInput("--out and --simulators are for several runs", "leave them out: a run has its figures in itself")
    elif is_by_factor(runs[0]):
        figures = draw_by_factor(runs[0], style, size)
    elif is_self_explanation(runs[0]):
        figures = draw_accounts(runs[0], style, size)
    else:
        figures = (draw_benchmark if is_benchmark(runs[0]) else draw)(runs[0], style, size)
    for figure in figures:
        typer.echo(figure)


def report(run: RunFolder) -> None:
    """report.md and report.html of a run, the page of a benchmark, of `variance` or `self-explain`, from the tables."""
    from autointerp.between_runs.factor_results import is_by_factor
    from autointerp.between_runs.putting_together import write_page_by_factor
    from autointerp.planted.page import write_page
    from autointerp.planted.results import is_benchmark
    from autointerp.report.provenance import write_sources
    from autointerp.report.stage import report as write
    from autointerp.self_explanation.account_folder import is_self_explanation
    from autointerp.self_explanation.account_report import write_report

    if is_self_explanation(run):
        typer.echo(write_report(run))
        return
    if is_benchmark(run) or is_by_factor(run):
        typer.echo((write_page if is_benchmark(run) else write_page_by_factor)(run))
        return
    written = write(run)
    for path in (written, written.with_suffix(".html"), write_sources(run)):
        typer.echo(path)


def power(
    run: RunFolder,
    difference: Annotated[
        float, typer.Option("--difference", min=0.001, help="that is to be found, on the scale of the score")
    ] = 0.1,
    tau: Annotated[
        float | None,
        typer.Option(
            "--tau", min=0, help="standard deviation of it between replicates; default: as measured, else 0 to 0.06"
        ),
    ] = None,
    hours: Annotated[
        float | None, typer.Option("--hours", min=0, help="to be spent; default: what five replicates take")
    ] = None,
) -> None:
    """The smallest difference that more units and replicates find, the units for one, and the best split of hours.

    By the spread of the run's own scores, in the headline's cell.
    """
    from autointerp.compare.outcome import read_outcome
    from autointerp.compare.planning import power_lines

    for line in power_lines(read_outcome(run), difference, tau, hours):
        typer.echo(line)


def variance(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="run folders", show_default=False)],
    out: Annotated[Path, typer.Option("--out", help="folder for the table, the page and the figure")] = BY_FACTOR,
) -> None:
    """How much of a score's variance is due to corpus, SAE seed, draw of units or contexts, explainer and simulator.

    Of finished runs of one study, each of which has replicates that draw one of these anew; from their tables alone.
    """
    from autointerp.between_runs.answer_by_factor import lines_of
    from autointerp.between_runs.factor_results import PAGE, PICTURE, TABLE
    from autointerp.between_runs.putting_together import put_together

    for line in lines_of(put_together(run_folders(runs), out)):
        typer.echo(line)
    typer.echo("")
    typer.echo(f"page     {out / PAGE}")
    typer.echo(f"figure   {out / 'figures' / PICTURE}.png")
    typer.echo(f"table    {out / TABLE}")


def verify(run: RunFolder) -> None:
    """Check hashes, disjoint splits and coverage; exit 1 names what is wrong."""
    from autointerp.run.verify import verify as look

    checks = look(run)
    for check in checks:
        typer.echo(f"{'ok  ' if check.ok else 'FAIL'}  {check.name}: {check.detail}")
    wrong = [check for check in checks if not check.ok]
    if wrong:
        raise CheckFailed(f"{len(wrong)} of {len(checks)} checks failed, first: {wrong[0].name}: {wrong[0].detail}")
    typer.echo(f"all {len(checks)} checks passed")


def show(ledger: LedgerOf) -> None:
    """What a ledger holds: answers, failures and tokens, per endpoint and model."""
    from autointerp.llm.ledger.maintenance import ledger_file, summary

    for line in summary(ledger_file(ledger)):
        typer.echo(line)


def export(
    ledger: LedgerOf,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="default: standard output")] = None,
) -> None:
    """Every request and its answer as JSON lines."""
    from autointerp.artifacts import atomic_path
    from autointerp.llm.ledger.maintenance import export_lines, ledger_file

    lines = export_lines(ledger_file(ledger))
    if out is None:
        for line in lines:
            typer.echo(line)
        return
    count = 0
    with atomic_path(out) as temporary, temporary.open("w", encoding="utf8") as file:
        for line in lines:
            file.write(f"{line}\n")
            count += 1
    typer.echo(f"{count:,} answers in {out}")


def prune(
    ledger: LedgerOf,
    failures: Annotated[bool, typer.Option("--failures", help="refusals, cut answers: they are asked again")] = False,
    before: Annotated[datetime | None, typer.Option("--before", formats=["%Y-%m-%d"], help="older answers")] = None,
    model: Annotated[str | None, typer.Option("--model", help="this model's answers")] = None,
    endpoint: Annotated[
        str | None, typer.Option("--endpoint", help="this endpoint's answers, as `show` names it")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="every answer")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="do it; without, only say what would go")] = False,
) -> None:
    """Remove answers; the next run of the folder asks, and pays, them again.

    Conditions narrow each other.
    """
    from autointerp.llm.ledger.maintenance import Chosen, ledger_file, remove
    from autointerp.run.manifest import forget
    from autointerp.run.stages import ASKING

    chosen = Chosen(failures, before, model, endpoint, everything)
    count = remove(ledger_file(ledger), chosen, really=yes)
    if yes and count and ledger.is_dir():
        forget(ledger, ASKING)
    typer.echo(f"{count:,} answers removed" if yes else f"{count:,} answers would go: add --yes to remove them")
