"""Stages that resume: one runs only when what it depends on has changed, and lands whole or not at all."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from autointerp.artifacts import hash_file, hash_value
from autointerp.errors import BadInput
from autointerp.progress import say
from autointerp.run.manifest import StageEntry, read_manifest, versions, write_manifest


@dataclass(frozen=True)
class Stage:
    """One step from files to files."""

    name: str
    reads: tuple[str, ...]
    """Outputs of earlier stages, by path in the run folder."""
    settings: Any
    """The part of the study that it depends on, JSON-like."""
    writes: tuple[str, ...]
    bulk: tuple[str, ...]
    """Those of `writes` that only a continued run needs."""
    work: Callable[[], None]
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What the manifest records of this stage alone."""


def input_hash(stage: Stage, hashes: dict[str, str]) -> str:
    """Hash of everything the stage depends on; BadInput when a parent is missing."""
    missing = [path for path in stage.reads if path not in hashes]
    if missing:
        raise BadInput(f"stage '{stage.name}' needs {missing[0]}", "run the stages before it: autointerp run STUDY")
    return hash_value([stage.name, stage.settings, {path: hashes[path] for path in stage.reads}])


def execute(
    run: Path,
    stages: Sequence[Stage],
    facts: dict[str, Any],
    *,
    again: frozenset[str] = frozenset(),
    unanswered: Callable[[], int] = lambda: 0,
) -> list[str]:
    """Run the stages that are not up to date, in order; return the names of those that ran.

    The manifest is written after each stage, so an interrupted run continues with the stage it was in. Stages named
    in `again` run in any case. `unanswered` gives the number of requests so far that no answer came back for: a stage
    that had some is done, and counted as not up to date, so that the next call asks those requests again.
    """
    entries = read_manifest(run)
    hashes: dict[str, str] = {}
    ran = []
    for stage in stages:
        inputs = input_hash(stage, hashes)
        entry = entries.get(stage.name)
        if (
            stage.name in again
            or entry is None
            or entry.inputs != inputs
            or entry.facts.get("unanswered")
            or not all((run / path).exists() for path in stage.writes)
        ):
            say(f"{stage.name} ...")
            start, before = time.monotonic(), unanswered()
            stage.work()
            seconds = round(time.monotonic() - start, 1)
            when = datetime.now(UTC).isoformat(timespec="seconds")
            recorded = {**facts, **stage.facts, "seconds": seconds, "finished": when, "versions": versions()}
            if lost := unanswered() - before:
                recorded["unanswered"] = lost
                say(f"{stage.name}: {lost} requests got no answer; the same command asks them again")
            outputs = {name: hash_file(run / name) for name in stage.writes}
            entry = StageEntry(inputs, outputs, stage.bulk, recorded)
            entries[stage.name] = entry
            write_manifest(run, entries)
            say(f"{stage.name} done in {seconds:g} s")
            ran.append(stage.name)
        hashes |= entry.outputs
    return ran
