"""A run's collect stage on the GPU beside the processor: the same contexts, subject and SAE; seconds and results."""

from __future__ import annotations

import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from autointerp.collect.stage import collect
from autointerp.collect.token_table import read_token_tables
from autointerp.contexts.sharing import read_exemplars
from autointerp.llm.open import Mode
from autointerp.run.resources import Resources
from autointerp.study import Study
from autointerp.tables import CANDIDATES, EVIDENCE, HELD_OUT, read_table
from on_gpu.sheet import Line, Sheet, times

_NEAR, _DENSITIES = 1e-3, 1e-3
"""Tolerances: activations, and their means per token, relative to the unit's largest; densities absolute."""
_APART = 1e-3
"""Share of the values that may be further apart: a latent within rounding of its threshold is on here and off there."""
_SHARED = 0.99
"""Share of the contexts of every sort that must be the same ones: two that nearly tie may change places."""


def measure(sheet: Sheet, study: Study, run: Path, folder: Path, rounds: int) -> None:
    """`run`: a folder whose corpus and SAEs are made; `folder`: for what is collected here."""
    found: dict[str, list[float]] = {"cpu": [], "cuda": []}
    opened = {device: _opened(study, run, folder / device, device) for device in found}
    for _ in range(rounds):
        for device, seconds in found.items():
            resources = opened[device]
            start = time.perf_counter()
            collect(resources.study, resources.subject, resources.encoders(), resources.run)
            seconds.append(time.perf_counter() - start)
    for resources in opened.values():
        resources.close()
    sheet.numbers["collect, seconds"] = found
    sheet.lines.append(Line("collect: GPU to CPU", times(found["cpu"], found["cuda"]), rounds))
    _compare(sheet, folder / "cpu", folder / "cuda")


def _opened(study: Study, run: Path, own: Path, device: str) -> Resources:
    """The run's inputs in a folder of its own, and the subject on that device, with its first pass behind it."""
    own.mkdir(parents=True)
    shutil.copy(run / "contexts.parquet", own / "contexts.parquet")
    shutil.copytree(run / "sae", own / "sae")
    settings = study.subject.model_copy(update={"device": device})
    resources = Resources(study.model_copy(update={"subject": settings}), own, Mode())
    resources.subject.activations(np.full((study.subject.batch, study.corpus.context), 5))
    return resources


def _compare(sheet: Sheet, ours: Path, theirs: Path) -> None:
    """The tables of both: `ours` of the processor, `theirs` of the GPU."""
    left, right = (_units(run) for run in (ours, theirs))
    same = list(left.index) == list(right.index)
    both = left.index.intersection(right.index)
    density = float((left.loc[both, "density"] - right.loc[both, "density"]).abs().max())
    peaks = left.loc[both, "max_activation"]
    found = _exemplars(ours, theirs, peaks.to_dict())
    table = _tables(ours, theirs)
    sheet.numbers["collect, differences"] = {
        "same units": same,
        "density": density,
        **asdict(found),
        "share of token tables apart": table,
    }
    peak = float(((right.loc[both, "max_activation"] - peaks).abs() / peaks.clip(lower=1e-6)).max())
    apart, shared = found.apart / max(found.tokens, 1), found.shared / max(found.contexts, 1)
    rule = f"beyond {_NEAR:g} of the unit's largest, at most {_APART:.1%}"
    for what, measured, n, holds in (
        ("the same units are drawn", f"{len(both)} of {len(left)}", len(left), same),
        (f"largest difference of densities, within {_DENSITIES:g}", f"{density:.1g}", len(both), density <= _DENSITIES),
        (f"largest relative difference of peaks, within {_NEAR:g}", f"{peak:.1g}", len(both), peak <= _NEAR),
        (f"contexts in common, at least {_SHARED:.0%}", f"{shared:.2%}", found.contexts, shared >= _SHARED),
        (f"activations in these that differ {rule}", f"{apart:.3%}", found.tokens, apart <= _APART),
        (f"entries of the token tables that differ {rule}", f"{table:.3%}", len(both), table <= _APART),
    ):
        sheet.lines.append(Line(f"collect: {what}", measured, n, holds))


def _units(run: Path) -> pd.DataFrame:
    units = read_table(run / CANDIDATES)
    kept: pd.DataFrame = units[units["status"] == "ok"].set_index("unit")
    return kept


@dataclass
class _Found:
    """Counts over all gathered contexts of all units."""

    contexts: int = 0
    shared: int = 0
    """Contexts that both have under the same unit and kind."""
    tokens: int = 0
    """Of the shared contexts."""
    apart: int = 0
    """Those of them on which the activations differ."""


def _exemplars(ours: Path, theirs: Path, peaks: dict[str, float]) -> _Found:
    found = _Found()
    for name in (EVIDENCE, HELD_OUT):
        here, there = (read_exemplars(run / name) for run in (ours, theirs))
        for unit, exemplars in here.items():
            others = {(one.kind, one.context): np.asarray(one.activations) for one in there.get(unit, ())}
            for one in exemplars:
                found.contexts += 1
                if (other := others.get((one.kind, one.context))) is not None:
                    found.shared += 1
                    found.tokens += len(other)
                    found.apart += int((np.abs(other - one.activations) > _NEAR * peaks.get(unit, 0.0)).sum())
    return found


def _tables(ours: Path, theirs: Path) -> float:
    """The share of the token tables' means that differ; 1 where the tables are of different tokens."""
    here, there = (read_token_tables(run / "work" / "token_tables.safetensors") for run in (ours, theirs))
    apart = total = 0
    for arm, table in here.items():
        other = there[arm]
        if not np.array_equal(table.tokens, other.tokens) or table.means.shape != other.means.shape:
            return 1.0
        apart += int((np.abs(other.means - table.means) > _NEAR * table.means.max(axis=0)).sum())
        total += table.means.size
    return apart / max(total, 1)
