"""The exact settings of a run, and how to make it again: commands, versions, hashes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from autointerp.artifacts import read_json
from autointerp.compare.outcome import Outcome
from autointerp.quoting import visible
from autointerp.report.imported import imported_of
from autointerp.report.markdown import code, table
from autointerp.report.provenance import provenance
from autointerp.study_file import RUN_STUDY

_HASH = 16
"""Characters of a hash that are shown; `manifest.json` has them whole."""


def settings(outcome: Outcome) -> str:
    """The run's `study.toml`, every key with its value."""
    text = (outcome.run_dir / RUN_STUDY).read_text("utf8")
    return f"## Exact settings\n\nEvery key, those at their defaults too.\n\n{fenced(text, 'toml')}"


def fenced(text: str, language: str) -> str:
    """A block of code whose fence nothing in `text` can end; what can't be seen is escaped."""
    lines = "\n".join(visible(line) for line in text.rstrip("\n").split("\n"))
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", lines)), default=0))
    return f"{fence}{language}\n{lines}\n{fence}"


def reproduce(outcome: Outcome) -> str:
    """The commands that make the run again, what it ran with, and the hashes of what it read and wrote."""
    words = (
        "The settings above are the file `study.toml` of this folder. With the versions below installed, in this "
        "folder:"
    )
    commands = "autointerp verify .   # the tables are those that the hashes below name\n"
    told = imported_of(outcome.run_dir)
    verb = "run study.toml" if told is None else f"import neuronpedia FOLDER --study study.toml --seen {told['seen']}"
    if (outcome.run_dir / "ledger.sqlite").is_file():
        commands += f"autointerp {verb} --out ../again --ledger ledger.sqlite --replay   # no answer is paid for\n"
    commands += f"autointerp {verb} --out ../again\nautointerp verify ../again\n"
    hosted = (
        "The same machine, installation and number of threads give the same tables; another machine may change the "
        "last bits of sums, and a hosted model may answer differently another day: its ledger keeps what it said."
    )
    parts = ["## How to reproduce it", words, fenced(commands, "sh"), hosted, provenance(outcome)]
    return "\n\n".join([*parts, *_hashes(outcome.run_dir)])


def _hashes(run: Path) -> Iterator[str]:
    path = run / "manifest.json"
    if not path.is_file():
        yield "This folder has no `manifest.json`: the hashes of its files are not known."
        return
    stages = read_json(path).get("stages", {})
    rows = [
        [code(str(stage)), code(str(name)), code(str(found)[:_HASH]), code(str(entry.get("inputs", ""))[:_HASH])]
        for stage, entry in stages.items()
        if isinstance(entry, Mapping)
        for name, found in _mapping(entry.get("outputs")).items()
    ]
    words = f"SHA-256 of every file that a stage wrote and of all that it depends on, the first {_HASH} characters:"
    yield words
    yield table(["stage", "file", "hash", "its inputs"], rows, left=4)


def _mapping(value: Any) -> Mapping[Any, Any]:
    return value if isinstance(value, Mapping) else {}
