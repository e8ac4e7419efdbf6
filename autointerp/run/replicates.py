"""Replicates: runs of their own below a run, which draw anew what the study names and share the rest with it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from autointerp.artifacts import hash_file, seed_of
from autointerp.compare.replicates import VARIANCE, hold_replicates
from autointerp.compare.scrambled import OVER_REPLICATES, hold_replicates_against_scrambled
from autointerp.errors import BadInput
from autointerp.llm.open import Mode
from autointerp.llm.providers import LOCAL
from autointerp.progress import say
from autointerp.run.checks import used_llms
from autointerp.run.hashed import compared
from autointerp.run.manifest import REPLICATES, read_manifest
from autointerp.run.memory import available, cores
from autointerp.run.plan import Stage, execute, up_to_date
from autointerp.run.resources import SPENDING, Resources, note_threads
from autointerp.run.side_by_side import call_side_by_side
from autointerp.run.stages import carry_out, stages
from autointerp.study import Study
from autointerp.train.peers import together

_READ = ("scores.parquet", "comparison.parquet")
"""Tables of every replicate that are held together."""


def check_replicates(study: Study) -> None:
    """Raise BadInput where several processes would have to carry out several replicates."""
    if study.compare.replicates > 1 and together():
        raise BadInput(
            f"compare.replicates = {study.compare.replicates}, and this run has several processes",
            "start it without torchrun, or set compare.replicates = 1",
        )


def redrawn(study: Study, replicate: int) -> Study:
    """The study of one replicate, from 1: of one replicate itself, and with seeds of its own for what is drawn anew.

    With the SAEs the scrambled subjects are drawn anew: of seeds 0 and 1, the first replicate has 2 and 3.
    """
    seeds: dict[str, int] = {
        factor: seed_of(study.seed_for(factor), "replicate", replicate, factor) % 2**31
        for factor in study.compare.redraw
    }
    changed = {
        "seeds": study.seeds.model_copy(update=seeds),
        "compare": study.compare.model_copy(update={"replicates": 1, "redraw": (), "side_by_side": 0}),
    }
    if "sae" in study.compare.redraw and study.scrambled.seeds:
        others = tuple(seed + replicate * (max(study.scrambled.seeds) + 1) for seed in study.scrambled.seeds)
        changed["scrambled"] = study.scrambled.model_copy(update={"seeds": others})
    return study.model_copy(update=changed)


def redraws_explanations(study: Study) -> bool:
    """Whether explanations are asked for anew: what ranks them may change without that."""
    return bool(set(study.compare.redraw) - {"simulate"})


def folder_of(run: Path, replicate: int) -> Path:
    """Where a replicate is; 0 is the run itself."""
    return run / REPLICATES / str(replicate) if replicate else run


def carry_out_replicates(resources: Resources, run: Path, again: frozenset[str] = frozenset()) -> None:
    """Carry out what a finished run's replicates lack, several side by side, and hold them together.

    Raises what a replicate raises, after those that run beside it have come to their end; what is finished is kept.
    """
    study = resources.study
    number = study.compare.replicates
    if number < 2:
        return
    due = [replicate for replicate in range(1, number) if _is_due(resources, run, replicate, again)]
    at_once = min(_fitting(resources, run), len(due))
    drawn = f"{', '.join(study.compare.redraw)} drawn anew"
    for replicate in range(1, number):
        if replicate not in due or at_once < 2:
            say(f"{_named(replicate)} of {number}: {drawn}")
            _carry_out_one(resources, run, replicate, again)
    if at_once > 1:
        threads = max(1, note_threads(study.threads) // at_once)
        say(f"{len(due)} of {number} replicates, {at_once} at a time, threads of each {threads}: {drawn}")
        mode = replace(resources.mode, side_by_side=at_once)
        apart = partial(_carry_out_apart, study, run, mode, resources.ledger_path, again, threads)
        fewer = f"set compare.side_by_side = {at_once - 1}"
        try:
            call_side_by_side([(_named(one), partial(apart, one)) for one in due], at_once, fewer)
        finally:
            if (run / SPENDING).exists():
                resources.usage.rows()  # opened, so that what all spent is written when the resources are closed
    read = [f"{REPLICATES}/{replicate}/{name}" for replicate in range(1, number) for name in _READ]
    hashes = {name: hash_file(run / name) for name in (*_READ, *read)}
    held = (VARIANCE, OVER_REPLICATES) if study.scrambled_subjects else (VARIANCE,)
    stage = Stage(
        REPLICATES,
        reads=(),
        settings={"compare": compared(study), "redraw": sorted(study.compare.redraw), "tables": hashes},
        writes=(*held, *read),  # what it read is recorded too, so that `verify` sees it change
        bulk=(),
        work=lambda: _hold(study, run),
    )
    execute(run, [stage], {"seed": study.seed})


def _named(replicate: int) -> str:
    return f"replicate {replicate + 1}"


def _is_due(resources: Resources, run: Path, replicate: int, again: frozenset[str]) -> bool:
    folder, study = folder_of(run, replicate), redrawn(resources.study, replicate)
    return not up_to_date(folder, stages(study, resources.of_replicate(study, folder), folder), again)


def _carry_out_one(
    resources: Resources, run: Path, replicate: int, again: frozenset[str] = frozenset(), threads: int = 0
) -> None:
    folder = folder_of(run, replicate)
    own = resources.of_replicate(redrawn(resources.study, replicate), folder)
    carry_out(own, folder, "compare", again, base=run, threads=threads)


def _carry_out_apart(
    study: Study, run: Path, mode: Mode, ledger: Path, again: frozenset[str], threads: int, replicate: int
) -> None:
    """`_carry_out_one` in a process of its own, which opens everything anew: `study`, `run` are those of the run."""
    resources = Resources(study, run, mode, ledger)
    try:
        _carry_out_one(resources, run, replicate, again, threads)
    finally:
        resources.close()


def _fitting(resources: Resources, run: Path) -> int:
    """How many replicates may run at a time."""
    study = resources.study
    if study.compare.side_by_side:
        return study.compare.side_by_side
    asks = not resources.mode.replay and any(llm.provider != LOCAL for llm in used_llms(study).values())
    if asks or resources.check_subject().type != "cpu":
        return 1
    free, needed = available(), [int(entry.facts.get("resident", 0)) for entry in read_manifest(run).values()]
    return min(cores(), free // max(needed)) if free and needed and all(needed) else 1


def _hold(study: Study, run: Path) -> None:
    numbers = range(study.compare.replicates)
    hold_replicates(study, run, [folder_of(run, number) for number in numbers])
    if study.scrambled_subjects:
        studies = [redrawn(study, number) if number else study for number in numbers]
        hold_replicates_against_scrambled([(one, folder_of(run, n)) for n, one in enumerate(studies)])
