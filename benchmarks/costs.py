"""What every explainer, simulator and judge costs: prompt and answer tokens per unit, at its default size.

Nothing is asked. The requests are made for planted units, by the code that makes them in a run, and counted with the
offline model's tokenizer. Beside them stand the requests of the field, where its packages can be installed (once, into
environments of their own under --cache), and its published sizes.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from common.arguments import benchmark_parser
from methods.cost_table import shown
from methods.counting import rows
from methods.rival_costs import PUBLISHED, measured
from methods.units import asking, meaningful

from autointerp.planted.stage import benchmark_study

_UNITS, _QUICK_UNITS = 6, 2
_NOWHERE = "http://127.0.0.1:9/v1"
"""An address for requests that are not sent."""


def main() -> int:
    arguments = _arguments()
    asked, inside = asking(_NOWHERE), benchmark_study(None)
    with tempfile.TemporaryDirectory() as folder:
        scratch, work = Path(folder), Path(folder) / "text"
        units = meaningful(asked, work, arguments.units)
        ours = list(rows(asked, inside, units, work, scratch))
    theirs, absent = measured(units, Path(arguments.cache).expanduser().resolve())
    print("\n".join(shown(ours, theirs, len(units))))
    for name, reason in absent.items():
        print(f"{name}: NOT MEASURED: {reason}")
    if arguments.json:
        results = {
            "units": [unit.unit for unit in units],
            "ours": [asdict(row) for row in ours],
            "rivals": [asdict(row) for row in theirs],
            "published": [asdict(row) for row in PUBLISHED],
            "not_measured": absent,
        }
        Path(arguments.json).write_text(json.dumps(results, indent=2) + "\n")
    return 1 if any(row.missed for row in ours) else 0


def _arguments() -> argparse.Namespace:
    parser = benchmark_parser(__doc__, f"{_QUICK_UNITS} units")
    parser.add_argument("--units", type=int, help=f"planted units, of every kind in turn (default {_UNITS})")
    arguments = parser.parse_args()
    arguments.units = arguments.units or (_QUICK_UNITS if arguments.quick else _UNITS)
    if arguments.units < 1:
        parser.error("--units must be positive")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
