"""Memory and cores, as far as the system tells: how many processes fit beside each other."""

from __future__ import annotations

import os
from pathlib import Path

_PROCESS, _MACHINE = Path("/proc/self/status"), Path("/proc/meminfo")


def most_resident() -> int | None:
    """Bytes of memory that this process had in use at most so far (VmHWM); None where the system does not tell."""
    return _told(_PROCESS, "VmHWM")


def available() -> int | None:
    """Bytes of memory that can be had without swapping (MemAvailable); None where the system does not tell."""
    return _told(_MACHINE, "MemAvailable")


def cores() -> int:
    """Processors that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _told(file: Path, name: str) -> int | None:
    """A line `NAME: NUMBER kB` of one of Linux's files, in bytes."""
    try:
        lines = file.read_text("utf8").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), None)
