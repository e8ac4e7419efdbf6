"""The two-way check: our `digits` and `detection` beside the packages that they come from, on one server.

The same planted units, explanations and contexts, and one loopback server (examples/echo_server.py), scored by the real
thing, by ours, and by ours with the other's prompt: the last two differ in how an answer is read, and in what becomes
of one that can't be. Rivals are installed once, into environments of their own under --cache.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from common.arguments import benchmark_parser
from common.environments import Unavailable
from common.machine import machine, sentence
from methods.checking import CHECKS, Checked
from methods.ours import Place
from methods.serving import echo_server
from methods.summary import shown
from methods.units import asking, meaningful, right_and_wrong

_UNITS, _QUICK_UNITS = 12, 2
_SEED = 0


def main() -> int:
    arguments = _arguments()
    computer = machine("autointerp", "torch", "transformers")
    print(sentence(computer))
    try:
        checked, absent = measure(arguments.model, arguments.units, arguments.only, Path(arguments.cache))
    except Unavailable as missing:
        print(f"NOT MEASURED: {missing}")
        return 1
    for one in checked:
        print("\n" + "\n".join(shown(one)))
    for name, reason in absent.items():
        print(f"\n{name}: NOT MEASURED: {reason}")
    if arguments.json:
        results = {
            "machine": computer,
            "model": arguments.model,
            "units": arguments.units,
            "checks": [asdict(one) for one in checked],
            "not_measured": absent,
        }
        Path(arguments.json).write_text(json.dumps(results, indent=2) + "\n")
    return 1 if absent else 0


def measure(model: str, units: int, only: list[str], cache: Path) -> tuple[list[Checked], dict[str, str]]:
    """The checks of these names, and the reasons of those that could not be made. Raises Unavailable."""
    found: list[Checked] = []
    absent: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder, echo_server(model) as url:
        study, work = asking(url), Path(folder) / "text"
        planted = meaningful(study, work, units)
        pairings = right_and_wrong(planted, _SEED)
        print(f"{len(planted)} planted units, each with its own explanation and with another unit's")
        for check in CHECKS:
            if check.__name__ in only:
                try:
                    place = Place(study, work, Path(folder))
                    found.append(check(place, url, pairings, cache.expanduser().resolve()))
                except Unavailable as reason:
                    absent[check.__name__] = str(reason)
    return found, absent


def _arguments() -> argparse.Namespace:
    names = [check.__name__ for check in CHECKS]
    parser = benchmark_parser(__doc__, f"{_QUICK_UNITS} units")
    parser.add_argument("--units", type=int, help=f"planted units, of every kind in turn (default {_UNITS})")
    parser.add_argument("--model", default="builtin", help="what the server serves (default %(default)s)")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=names, default=names, help="these alone")
    arguments = parser.parse_args()
    arguments.units = arguments.units or (_QUICK_UNITS if arguments.quick else _UNITS)
    if arguments.units < 2:
        parser.error("--units must be at least 2: every unit is given another one's explanation")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
