"""Stages that resume: one runs only when what it depends on has changed, and lands whole or not at all."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from autointerp.artifacts import hash_file, hash_value
from autointerp.errors import BadInput
from autointerp.progress import say
from autointerp.run.manifest import StageEntry, read_manifest, versions, write_manifest
from autointerp.run.memory import most_resident


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
    base: Path | None = None,
) -> list[str]:
    """Run the stages that are not up to date, in order; return the names of those that ran.

    The manifest is written after each stage, so an interrupted run continues with the stage it was in. Stages named
    in `again` run in any case. `unanswered` gives the number of requests so far that no answer came back for: a stage
    that had some is done, and counted as not up to date, so that the next call asks those requests again. What the
    run folder `base` has made of the same inputs is taken over from it.
    """
    entries, made = read_manifest(run), read_manifest(base) if base is not None else {}
    hashes: dict[str, str] = {}
    ran = []
    for stage in stages:
        inputs = input_hash(stage, hashes)
        entry = entries.get(stage.name)
        if entry is None or _due(run, stage, entry, inputs, again):
            if base is not None:
                there = made.get(stage.name)
                if there is not None and there.inputs == inputs and _whole(base, stage, there):
                    entry = entries[stage.name] = _taken_over(run, base, stage, there)
                    write_manifest(run, entries)
                    hashes |= entry.outputs
                    continue
                for path in stage.writes:  # it may be a link, and is not written into
                    _remove(run / path)
            say(f"{stage.name} ...")
            start, before = time.monotonic(), unanswered()
            stage.work()
            seconds = round(time.monotonic() - start, 1)
            when = datetime.now(UTC).isoformat(timespec="seconds")
            recorded = {**facts, **stage.facts, "seconds": seconds, "finished": when, "versions": versions()}
            if (resident := most_resident()) is not None:
                recorded["resident"] = resident
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


def up_to_date(run: Path, stages: Sequence[Stage], again: frozenset[str] = frozenset()) -> bool:
    """Whether `execute` would run none of these stages, and take over none."""
    entries = read_manifest(run)
    hashes: dict[str, str] = {}
    for stage in stages:
        entry = entries.get(stage.name)
        if entry is None or _due(run, stage, entry, input_hash(stage, hashes), again):
            return False
        hashes |= entry.outputs
    return True


def _due(run: Path, stage: Stage, entry: StageEntry, inputs: str, again: frozenset[str]) -> bool:
    return stage.name in again or entry.inputs != inputs or not _whole(run, stage, entry)


def _whole(run: Path, stage: Stage, entry: StageEntry) -> bool:
    """Whether a finished stage left nothing unanswered, and all that it wrote is there."""
    return not entry.facts.get("unanswered") and all((run / path).exists() for path in stage.writes)


def _taken_over(run: Path, base: Path, stage: Stage, entry: StageEntry) -> StageEntry:
    """Link what `base` has of a stage, or copy it where there are no links; nothing is written into such a file."""
    for path in stage.writes:
        source, target = base / path, run / path
        _remove(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, copy_function=_link)
        else:
            _link(source, target)
    return replace(entry, facts={**entry.facts, "seconds": 0.0, "taken over": True})


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _link(source: str | Path, target: str | Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
