"""The demo on the GPU, as a user runs it, beside the same on the processor; and what `autointerp verify` says of it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from on_gpu.sheet import Line, Sheet

_NOT = "NOT"
"""How the words begin for what was not measured."""


def measure(sheet: Sheet, folder: Path, devices: Sequence[str], quick: bool, seconds: float) -> Path | None:
    """One demo per device; the folder of the first, None where that failed. `seconds`: most that all may take."""
    name = "demo --quick" if quick else "demo"
    end = time.monotonic() + seconds
    runs = {device: folder / f"{'quick' if quick else 'demo'}-{device}" for device in devices}
    taken: dict[str, dict[str, float]] = {}
    for device, run in runs.items():
        options = ["--quick"] if quick else []
        why = _call(["demo", *options, "--set", f"subject.device={device}", "--out", str(run)], end)
        verified = why or _call(["verify", str(run)], end)
        holds = None if verified.startswith(_NOT) else not verified  # what there was no time for proves nothing
        sheet.lines.append(Line(f"{name} on {device}, and verify", verified or "passes", 1, holds))
        if verified:
            break
        taken[device] = _stages(run)
    sheet.numbers[f"{name}, seconds"] = taken
    if len(taken) == 2:
        stages = _ratios(taken["cpu"], taken["cuda"])
        sheet.lines.append(Line(f"{name}: GPU to CPU, sum of the stages", stages, 1))
    return runs[devices[0]] if devices[0] in taken else None


def _call(arguments: Sequence[str], end: float) -> str:
    """Why a command of ours failed; '' when it did not."""
    left = end - time.monotonic()
    if left < 5:
        return f"{_NOT} RUN: no time was left"
    command = [sys.executable, "-m", "autointerp", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=left, check=False)
    except subprocess.TimeoutExpired:
        return f"{_NOT} FINISHED in {left:.0f} s"
    lines = (done.stderr.strip() or done.stdout.strip() or "no word").splitlines()
    return f"FAILED: {lines[-1][:200]}" if done.returncode else ""


def _stages(run: Path) -> dict[str, float]:
    manifest = json.loads((run / "manifest.json").read_text("utf8"))
    return {name: stage["facts"]["seconds"] for name, stage in manifest["stages"].items()}


def _ratios(slow: Mapping[str, float], fast: Mapping[str, float]) -> str:
    each = ", ".join(f"{name} {slow[name] / max(fast[name], 0.05):.1f}x" for name in slow if slow[name] > 1)
    return f"{sum(slow.values()) / sum(fast.values()):.1f}x ({each})"
