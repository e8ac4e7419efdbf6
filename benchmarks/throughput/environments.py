"""Environments of the rivals: a venv each, made once, in the user's cache folder. Never ours."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

_MINUTES = 15


@dataclass(frozen=True)
class Environment:
    """What is installed beside nothing else."""

    name: str
    package: str
    """The rival, pinned; installed without its dependencies, most of which are for work that is not measured here."""
    needs: tuple[str, ...]
    """What its client imports."""


class Unavailable(Exception):
    """A contestant that could not take part, and why, in one line."""


def python_of(environment: Environment, cache: Path) -> Path:
    """The environment's Python, installed first where that has not been done. Raises Unavailable."""
    folder = cache / environment.name
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    recipe = "\n".join((sys.version, environment.package, *environment.needs))
    stamp = folder / "recipe.txt"
    if stamp.is_file() and stamp.read_text() == recipe and python.exists():
        return python
    print(f"installing {environment.package} into {folder}", file=sys.stderr, flush=True)
    try:
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Unavailable(f"no environment for {environment.package} ({error})") from error
    _pip(python, "--no-deps", environment.package)
    _pip(python, *environment.needs)
    stamp.write_text(recipe)
    return python


def _pip(python: Path, *what: str) -> None:
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *what]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_MINUTES * 60, check=False)
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{' '.join(what)} was not installed in {_MINUTES} minutes") from error
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["pip gave no reason"]
        raise Unavailable(f"{' '.join(what)} can't be installed ({lines[-1]})")
