"""The roof: `run(study)` wires the stages and resumes what was begun."""

from __future__ import annotations

from pathlib import Path

from autointerp.artifacts import write_text
from autointerp.errors import BadInput
from autointerp.run.folder import Run
from autointerp.study import Study, dump_study

ENDS = {"train": "train", "collect": "collect", "explain": "settle", "simulate": "simulate", "score": "score"}
"""Verb -> the last stage that it runs."""


def run(study: Study, out: str | Path = "results/run", until: str | None = None) -> Run:
    """Run a study in folder `out`, from where an earlier run of it stopped; return its tables.

    `until`: stop after that stage (train, collect, explain, simulate, score, compare); without it, figures and
    report are made too. Raises BadInput before anything is written when the study can't be run as it is.
    """
    from autointerp.llm.open import check_llm
    from autointerp.plot.stage import plot
    from autointerp.report.sources import write_sources
    from autointerp.report.stage import report
    from autointerp.run.bench import Bench, note_threads
    from autointerp.run.explaining import check_explain
    from autointerp.run.plan import execute
    from autointerp.run.stages import stages
    from autointerp.simulate.registry import check_simulator

    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder} is a file", "give a folder with --out")
    for llm in study.llm.values():
        check_llm(llm)
    check_simulator(study)
    check_explain(study)
    threads = note_threads(study)
    bench = Bench(study, folder)
    plan = stages(study, bench, folder)
    _ = bench.subject.widths  # a wrong model or hook is said before anything is written
    write_text(folder / "study.toml", dump_study(study))
    last = ENDS.get(until or "", "compare")
    names = [stage.name for stage in plan]
    facts = {"threads": threads, "seed": study.seed, "device": str(bench.subject.device)}
    try:
        execute(folder, plan[: names.index(last) + 1], facts)
    finally:
        bench.close()
    if until is None:
        plot(folder)
        report(folder)
        write_sources(folder)
    return Run(folder, study)
