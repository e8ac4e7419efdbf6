"""Runs to compare in no time: fake ones on one text, with a manifest as a finished run has it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from autointerp.artifacts import hash_file, write_text
from autointerp.compare.stage import compare
from autointerp.run.manifest import StageEntry, write_manifest
from autointerp.study_file import dump_study, load_study, parse_study
from autointerp.tables import read_table, write_table
from tests.fake_run import QUALITY, Plan, finished

EXPLAINER = {"explain": {"methods": ["exemplars"]}}
PLAIN = {arm: QUALITY[arm] for arm in ("feature", "neuron", "direction")}
BETTER = {**PLAIN, "feature": 0.95, "neuron": 0.8}
_WRITES = {
    "corpus": ("contexts",),
    "explain": ("units", "explanations"),
    "settle": ("evidence",),
    "simulate": ("simulations", "shuffled"),
    "score": ("scores",),
    "compare": ("comparison", "covariates", "adjusted"),
}


def made(folder: Path, plan: Plan | None = None, sae: str = "a" * 64) -> Path:
    """A fake run that looks finished; `sae`: what its SAE hashes to."""
    return sealed(finished(folder, plan or Plan(quality=PLAIN)), sae)


def sealed(folder: Path, sae: str = "a" * 64, **more: StageEntry) -> Path:
    """Write the manifest of the tables as they are."""
    entries = {
        stage: StageEntry("", {f"{t}.parquet": hash_file(folder / f"{t}.parquet") for t in tables})
        for stage, tables in _WRITES.items()
    }
    write_manifest(folder, {"train": StageEntry("", {"sae/sae": sae}, ("sae/sae",)), **entries, **more})
    return folder


def changed(run: Path, folder: Path, settings: Mapping[str, Any], **replaced: pd.DataFrame) -> Path:
    """A copy of a run with other settings and other tables, compared anew."""
    shutil.copytree(run, folder)
    dump = load_study(run / "study.toml").model_dump(mode="json", exclude_none=True)
    for section, keys in settings.items():
        dump[section] = {**dump[section], **keys} if isinstance(keys, dict) else keys
    write_text(folder / "study.toml", dump_study(parse_study(dump)))
    for name, frame in replaced.items():
        write_table(
            name, folder / f"{name}.parquet", frame.astype(object).where(frame.notna(), None).to_dict("records")
        )
    compare(load_study(folder / "study.toml"), folder)
    return sealed(folder)


def values(run: Path, arm: str, metric: str = "pearson", slice_name: str = "top-and-random") -> pd.Series:
    """Scored values of an arm by unit, read off the table alone; a neuron without its sign."""
    scores = read_table(run / "scores.parquet")
    chosen = scores[
        (scores["arm"] == arm) & (scores["metric"] == metric) & (scores["slice"] == slice_name)
        & (scores["scorer"] == "lift") & (scores["pairing"] == "own") & (scores["status"] == "ok")
    ]  # fmt: skip
    return chosen.set_index(chosen["unit"].str.rstrip("+-"))["value"]


def redrawing(base: Path, folder: Path, factor: str, draws: Sequence[pd.DataFrame], **more: Any) -> Path:
    """A copy of a run whose replicates redraw `factor`: `draws` are the scores of each after the run's own.

    `more`: further keys of its section `compare`.
    """
    shutil.copytree(base, folder)
    dump = load_study(base / "study.toml").model_dump(mode="json", exclude_none=True)
    dump["compare"] |= {"replicates": len(draws) + 1, "redraw": [factor], **more}
    write_text(folder / "study.toml", dump_study(parse_study(dump)))
    paths = []
    for number, frame in enumerate(draws, start=1):
        paths.append(f"replicates/{number}/scores.parquet")
        records = frame.astype(object).where(frame.notna(), None).to_dict("records")
        write_table("scores", folder / paths[-1], records)
    return sealed(folder, replicates=StageEntry("", {path: hash_file(folder / path) for path in paths}))
