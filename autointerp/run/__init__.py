"""The roof: `run(study)` wires the stages and resumes what was begun."""

from __future__ import annotations

from pathlib import Path

from autointerp.run.folder import Run
from autointerp.study import Study
from autointerp.train.peers import follows, joined, summoned

ENDS = {
    "train": "train",
    "collect": "collect",
    "explain": "settle",
    "simulate": "simulate",
    "judge": "judge",
    "score": "score",
}
"""Verb -> the last stage that it runs."""


def run(
    study: Study,
    out: str | Path = "results/run",
    until: str | None = None,
    *,
    ledger: str | Path | None = None,
    replay: bool = False,
    batch: bool = False,
) -> Run:
    """Run a study in folder `out`, from where an earlier run of it stopped; return its tables.

    `until`: stop after that stage (train, collect, explain, simulate, judge, score, compare); without it, figures and
    report are made too. `ledger`: file of answers, when not the one in `out`. `replay`: explain, simulate and judge
    again from the ledger alone, with no provider. `batch`: explain and judge through the provider's batch interface.
    Under `torchrun` the first process does all of it; the others only train along, and return when its run has ended.

    Raises BadInput before the first stage when the study can't be run as it is, UnrecordedRequest (a BadInput)
    when a replay meets what the ledger does not hold, and BudgetReached at a limit; everything finished is kept.
    """
    from autointerp.llm.open import Mode
    from autointerp.plot.stage import plot
    from autointerp.report.provenance import write_sources
    from autointerp.report.stage import report
    from autointerp.run.checks import check_study, find_capabilities
    from autointerp.run.replicates import carry_out_replicates, check_replicates
    from autointerp.run.resources import BATCHES, Resources, note_threads
    from autointerp.run.stages import ASKING, carry_out
    from autointerp.train.saes import train_along

    check_replicates(study)
    folder = Path(out)
    resources = Resources(
        study, folder, Mode(replay, folder / BATCHES if batch else None), None if ledger is None else Path(ledger)
    )
    try:
        with joined(study.subject.device):
            if follows():
                note_threads(study.threads)
                while summoned():
                    train_along(study, lambda: resources.subject, folder)
                return Run(folder, study)
            check_study(resources)
            find_capabilities(resources, until)
            end = ENDS.get(until, until) if until else "compare"
            again = frozenset(ASKING if replay else ())
            carry_out(resources, folder, end, again)
            if end == "compare":
                carry_out_replicates(resources, folder, again)
    finally:
        resources.close()
    if until is None:
        plot(folder)
        report(folder)
        write_sources(folder)
    return Run(folder, study)
