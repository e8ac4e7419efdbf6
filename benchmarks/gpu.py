"""A CUDA GPU beside the same machine's processor: SAE training, collecting, and whole runs, in speed and in result.

Everything is measured in one run of this, rounds interleaved; what is written after every section stays if it is
stopped. `benchmarks/gpu.sh` runs the tests first.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import torch
from common.machine import cores, machine, sentence
from on_gpu import collecting, training, whole
from on_gpu.sheet import Sheet

from autointerp.cli.runs import demo_study
from autointerp.report.stage import headline


def main() -> int:
    arguments = _arguments()
    if not torch.cuda.is_available():
        print(f"torch {torch.__version__} finds no CUDA GPU: install a build of torch for your GPU", file=sys.stderr)
        return 2
    began, out = time.monotonic(), Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    computer = machine("torch", "transformers", "numpy", "numba")
    computer |= {"gpu": torch.cuda.get_device_name(), "gpus": torch.cuda.device_count(), "threads": cores()}
    sheet = Sheet(numbers={"machine": computer})
    title = f"{computer['gpu']}; {sentence(computer)}, torch {torch.__version__}"
    print(title, end="\n\n", flush=True)

    def note(section: str) -> None:
        sheet.numbers.setdefault("seconds since the start", {})[section] = round(time.monotonic() - began, 1)
        _write(out, title, sheet)
        print(f"{section}: done after {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)

    training.measure(sheet, arguments.rounds, arguments.seeds)
    note("training")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        left = arguments.seconds - (time.monotonic() - began)
        run, study = whole.measure(sheet, folder, ["cuda", "cpu"], quick=True, seconds=left), demo_study(True)
        note("demo --quick")
        left = arguments.seconds - (time.monotonic() - began)
        if run is not None and not arguments.quick:
            full = whole.measure(sheet, folder, ["cuda"], quick=False, seconds=left - 90)
            run, study = (full, demo_study()) if full is not None else (run, study)
            note("demo")
        if run is not None:
            sheet.numbers["headline on cuda"] = headline(run)
            collecting.measure(sheet, study, run, folder / "collect", arguments.rounds - 1)
            note("collect")
    print(f"\n{sheet.table()}")
    return 0 if sheet.fine else 1


def _write(out: Path, title: str, sheet: Sheet) -> None:
    (out / "gpu.json").write_text(json.dumps(sheet.as_json(), indent=2) + "\n", encoding="utf8")
    (out / "gpu.md").write_text(f"{title}\n\n```\n{sheet.table()}\n```\n", encoding="utf8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", help="folder for gpu.json and gpu.md")
    parser.add_argument("--quick", action="store_true", help="demo --quick alone, and what is collected in it")
    parser.add_argument("--rounds", type=int, default=3, help="of every speed; one less of collecting (%(default)s)")
    parser.add_argument("--seeds", type=int, default=3, help="of quality (default %(default)s)")
    parser.add_argument("--seconds", type=float, default=400, help="after which no demo goes on (default %(default)s)")
    arguments = parser.parse_args()
    if min(arguments.rounds - 1, arguments.seeds) < 1:
        parser.error("--rounds must be at least 2, and --seeds at least 1")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
