"""The memory of a process and of the machine, from /proc. Standard library only."""

from __future__ import annotations

from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"


def memory_mb(name: str) -> float | None:
    """`VmRSS` (resident now) or `VmHWM` (most ever resident) of this process in MB; None where there is no /proc."""
    return _field(_STATUS, name)


def available_mb() -> float | None:
    """What the machine has left for new processes in MB; None where there is no /proc."""
    return _field(Path("/proc/meminfo"), "MemAvailable")


def forget_peak() -> None:
    """Let `VmHWM` start again from what is resident now, where the system can."""
    if _CLEAR.exists():
        _CLEAR.write_text(_RESET_PEAK)


def _field(path: Path, name: str) -> float | None:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(name + ":")), None)
