"""The runs that are compared, as their folders hold them: whole and finished, or refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from autointerp.artifacts import hash_file, hash_value
from autointerp.compare.outcome import Outcome, read_outcome
from autointerp.errors import BadInput
from autointerp.records import Split
from autointerp.run.manifest import NAME, REPLICATES, StageEntry, read_manifest
from autointerp.run.replicates import folder_of
from autointerp.study import Study
from autointerp.tables import read_arrow, read_table
from autointerp.train.saes import sae_folder
from autointerp.train.subject import SUBJECT

_LAST = "compare"


@dataclass(frozen=True)
class ContextsOf:
    """The contexts of one split."""

    tokens: str
    """Hash over their token ids."""
    text: str
    """Hash over their text."""
    count: int
    length: int
    """Tokens of the longest."""


@dataclass(frozen=True)
class Side:
    """A finished run that is held against others."""

    label: str
    """What it is called in sentences, tables and figures."""
    folder: Path
    outcome: Outcome
    stages: Mapping[str, StageEntry]

    @property
    def study(self) -> Study:
        """Its study."""
        return self.outcome.study

    @property
    def replicates(self) -> int:
        """How many draws it has."""
        return self.study.compare.replicates

    def made(self, path: str | Path) -> str:
        """Hash of what a stage wrote at this path of the folder; '' where none did."""
        return next((e.outputs[str(path)] for e in self.stages.values() if str(path) in e.outputs), "")

    def sae(self, name: str) -> str:
        """Hash of an SAE's weights; '' where the run has no such SAE."""
        return self.made(sae_folder(name))

    @property
    def trained_subject(self) -> str:
        """Hash of a subject that the run trained itself; '' of one that was loaded."""
        return self.made(SUBJECT)

    @cached_property
    def of_replicates(self) -> list[Path]:
        """The folder of every draw, the run's own first."""
        return [folder_of(self.folder, number) for number in range(self.replicates)]

    @cached_property
    def scores(self) -> list[pd.DataFrame]:
        """The table `scores` of every replicate."""
        return [self.outcome.scores, *(read_table(f / "scores.parquet") for f in self.of_replicates[1:])]

    @cached_property
    def explanations(self) -> dict[str, str]:
        """Text by unit, of those that have one, in the run itself."""
        rows = read_arrow(self.folder / "explanations.parquet", ["unit", "text"]).to_pylist()
        return {row["unit"]: row["text"] for row in rows if row["text"]}

    def contexts(self, split: Split, replicate: int = 0) -> ContextsOf:
        """What identifies the contexts of a split."""
        path = self.of_replicates[replicate] / "contexts.parquet"
        rows = read_arrow(path, ["tokens", "pieces"], filters=[("split", "=", split.value)]).to_pylist()
        tokens = [row["tokens"] for row in rows]
        text = ["".join(row["pieces"]) for row in rows]
        return ContextsOf(hash_value(tokens), hash_value(text), len(rows), max(map(len, tokens), default=0))


def read_sides(folders: Sequence[Path]) -> list[Side]:
    """The runs in their order, the first the base.

    Raises BadInput for fewer than two, for a folder that holds no run, an unfinished one or one whose tables are not
    what its stages wrote, and for a run that is there twice.
    """
    if len(folders) < 2:
        raise BadInput(
            f"{len(folders)} run to compare", "give two run folders or more, the first being what the rest is held to"
        )
    sides = read_finished(folders)
    for place, side in enumerate(sides):
        for earlier in sides[:place]:
            _check_another(earlier, side)
    return sides


def read_finished(folders: Sequence[Path]) -> list[Side]:
    """Runs in their order; BadInput for a folder that holds no run, an unfinished or a damaged one."""
    for folder in folders:
        _check_finished(folder)
    return [
        Side(label, folder, read_outcome(folder), read_manifest(folder))
        for label, folder in zip(labels_of(folders), folders, strict=True)
    ]


def labels_of(folders: Sequence[Path]) -> list[str]:
    """The last part of each path, or as many parts as tell all apart."""
    paths = [folder.resolve() for folder in folders]
    for count in range(1, max(len(path.parts) for path in paths) + 1):
        labels = ["/".join(path.parts[-count:]) for path in paths]
        if len(set(labels)) == len(labels):
            break
    return labels


def _check_finished(folder: Path) -> None:
    if not (folder / NAME).is_file():
        raise BadInput(f"{folder} is not a run folder (no {NAME})", "give the folder that `autointerp run` wrote")
    stages = read_manifest(folder)
    again = f"again: autointerp run STUDY --out {folder}"
    finish = f"finish it: autointerp run STUDY --out {folder}"
    if _LAST not in stages:
        raise BadInput(f"{folder} is unfinished: its stage '{_LAST}' has not run", finish)
    for name, entry in stages.items():
        if entry.facts.get("unanswered"):
            raise BadInput(f"{folder} is unfinished: stage '{name}' has requests without an answer", finish)
        for path, expected in entry.outputs.items():
            if path in entry.bulk or not path.endswith(".parquet"):
                continue
            if not (folder / path).is_file():
                raise BadInput(f"{folder} is damaged: {path} is missing", f"make it {again}")
            if hash_file(folder / path) != expected:
                raise BadInput(
                    f"{folder} is damaged: {path} is not what stage '{name}' wrote", f"remove it and make it {again}"
                )


def _check_another(first: Side, second: Side) -> None:
    """A run has nothing to be held against in itself, nor in a copy of it."""
    tables = ("units.parquet", "explanations.parquet", "simulations.parquet", "scores.parquet")
    if all(first.made(name) == second.made(name) for name in tables):
        raise BadInput(
            f"{first.folder} and {second.folder} hold the same run (scores {first.made(tables[-1])[:12]})",
            "give two runs that differ in what is to be compared",
        )


def check_replicates(base: Side, other: Side) -> None:
    """Raise BadInput where one run has replicates that the other has no counterpart for."""
    found = [(side.replicates, sorted(side.study.compare.redraw)) for side in (base, other)]
    for side in (base, other):
        check_replicated(side)
    if found[0] != found[1]:
        told = " against ".join(f"{count} ({', '.join(redraw) or 'nothing'} drawn anew)" for count, redraw in found)
        raise BadInput(
            f"{base.folder} and {other.folder} have other replicates: {told}",
            "run both with the same compare.replicates and compare.redraw, or both with compare.replicates = 1",
        )


def check_replicated(side: Side) -> None:
    """Raise BadInput where a run's replicates have not run."""
    if side.replicates > 1 and REPLICATES not in side.stages:
        raise BadInput(
            f"{side.folder} is unfinished: its replicates have not run",
            f"finish it: autointerp run STUDY --out {side.folder}",
        )
