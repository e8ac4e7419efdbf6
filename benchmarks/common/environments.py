"""Environments of the rivals: a venv each, made once, in the user's cache folder. Never ours."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

_MINUTES = 15
_CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"
_CUDA = ("nvidia-", "cuda-", "triton")
"""How the names of the packages start that only a GPU needs: gigabytes, never installed here."""


@dataclass(frozen=True)
class Environment:
    """What is installed beside nothing else."""

    name: str
    package: str
    """The rival, pinned; installed without its dependencies, most of which are for work that is not measured here."""
    needs: tuple[str, ...]
    """What its code imports. The package once more stands for all its dependencies."""


class Unavailable(Exception):
    """A contestant that could not take part, and why, in one line."""


def loopback_only() -> dict[str, str]:
    """This process's environment without proxies and keys: everything is asked of loopback, with a made-up key."""
    return {name: value for name, value in os.environ.items() if not name.lower().endswith(("_proxy", "_api_key"))}


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
    if environment.needs:
        _refuse_cuda(python, environment)
        _pip(python, *environment.needs)
    stamp.write_text(recipe)
    return python


def pinned(package: str) -> str:
    """What pip is to be asked for so that it is the version that the project is tested with."""
    return next(line for line in _CONSTRAINTS.read_text().splitlines() if line.startswith(f"{package}=="))


def _refuse_cuda(python: Path, environment: Environment) -> None:
    """Look at the plan before anything is installed: on some indexes torch is the build for CUDA."""
    plan = _pip(python, "--dry-run", "--report", "-", *environment.needs)
    names = [item["metadata"]["name"].lower() for item in json.loads(plan)["install"]]
    if unwanted := [name for name in names if name.startswith(_CUDA)]:
        raise Unavailable(
            f"{environment.package} would bring {unwanted[0]} and {len(unwanted) - 1} more packages for a GPU: "
            "give pip an index with torch for the CPU"
        )


def _pip(python: Path, *what: str) -> str:
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *what]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_MINUTES * 60, check=False)
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{' '.join(what)} was not installed in {_MINUTES} minutes") from error
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["pip gave no reason"]
        raise Unavailable(f"{' '.join(what)} can't be installed ({lines[-1]})")
    return done.stdout
