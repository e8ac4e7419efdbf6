"""Replicates: runs of their own below a run, which draw anew what the study names and share the rest with it."""

from __future__ import annotations

from pathlib import Path

from autointerp.artifacts import hash_file, seed_of
from autointerp.compare.replicates import VARIANCE, hold_replicates
from autointerp.compare.scrambled import OVER_REPLICATES, hold_replicates_against_scrambled
from autointerp.errors import BadInput
from autointerp.progress import say
from autointerp.run.hashed import compared
from autointerp.run.manifest import REPLICATES
from autointerp.run.plan import Stage, execute
from autointerp.run.resources import Resources
from autointerp.run.stages import carry_out
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
        "compare": study.compare.model_copy(update={"replicates": 1, "redraw": ()}),
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
    """Carry out what a finished run's replicates lack, one after the other, and hold them together."""
    study = resources.study
    number = study.compare.replicates
    if number < 2:
        return
    for replicate in range(1, number):
        say(f"replicate {replicate + 1} of {number}: {', '.join(study.compare.redraw)} drawn anew")
        folder = folder_of(run, replicate)
        carry_out(resources.of_replicate(redrawn(study, replicate), folder), folder, "compare", again, base=run)
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


def _hold(study: Study, run: Path) -> None:
    numbers = range(study.compare.replicates)
    hold_replicates(study, run, [folder_of(run, number) for number in numbers])
    if study.scrambled_subjects:
        studies = [redrawn(study, number) if number else study for number in numbers]
        hold_replicates_against_scrambled([(one, folder_of(run, n)) for n, one in enumerate(studies)])
