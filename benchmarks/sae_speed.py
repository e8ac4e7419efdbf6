"""Speed of training TopK and BatchTopK autoencoders: ours beside the libraries of the field, on the same vectors.

Rounds are interleaved (every contestant once a round, in the same order), and matrix products are timed between them.
Every contestant trains through its own code in its own process; the rivals are installed once, into environments of
their own under --cache. What can't be measured is listed with its reason.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from common.arguments import benchmark_parser
from common.machine import cores, machine, sentence
from saes.contestants import EVERYBODY, OURS
from saes.crew import Crew
from saes.feeding import feeding_share
from saes.speed import ARCHITECTURES, Measured, Setting, as_json, goals, heading, measure, table

_WIDTHS = (4096, 16_384, 65_536)
_QUICK_WIDTHS = (4096,)
_LARGE = 16_384
"""From this width on, fewer steps and rounds: a step takes seconds."""


def main() -> int:
    arguments = _arguments()
    computer = machine("autointerp", "torch")
    print(sentence(computer), end="\n\n")
    sizes: list[Measured] = []
    with Crew(Path(arguments.cache).expanduser().resolve(), at_once=1) as crew:
        for width in arguments.width:
            rounds = arguments.rounds if width < _LARGE else min(arguments.rounds, 2)
            sizes.append(
                measure(_setting(arguments, width), rounds, crew, arguments.only, every_way=not arguments.quick)
            )
            print("\n".join((heading(sizes[-1]), table(sizes[-1]), *goals(sizes[-1]))), flush=True)
            for entry, reason in sizes[-1].absent.items():
                print(f"{entry.architecture}, {entry.name}: NOT MEASURED: {reason}")
            print()
    feeding = feeding_share(_setting(arguments, arguments.width[0]), 8 if arguments.quick else 32)
    print(f"{feeding.sentence()} (autointerp, M={arguments.width[0]:,})\n")
    chosen = [contestant for contestant in EVERYBODY if contestant.name in arguments.only]
    for contestant in chosen:
        print(f"{contestant.name}: {contestant.how}")
    lacking = {
        f"{architecture}, {contestant.name}": contestant.lacks
        for contestant in chosen
        for architecture in ARCHITECTURES
        if architecture not in contestant.variants
    }
    for name, reason in lacking.items():
        print(f"{name}: NOT MEASURED: {reason}")
    if arguments.json:
        results = {
            "machine": computer,
            "sizes": [as_json(one) for one in sizes],
            "how": {contestant.name: contestant.how for contestant in chosen},
            "lacking": lacking,
            "feeding": asdict(feeding),
        }
        Path(arguments.json).write_text(json.dumps(results, indent=2) + "\n")
    asked = OURS.name not in arguments.only
    return 0 if asked or all(any(e.contestant == OURS for e in one.runs) for one in sizes) else 1


def _setting(arguments: argparse.Namespace, width: int) -> Setting:
    steps = arguments.steps if width < _LARGE else max(1, arguments.steps // 3)
    warm_up = arguments.warm_up if width < _LARGE else 1
    return Setting(arguments.d_in, width, arguments.k, arguments.batch, warm_up, steps, arguments.threads)


def _arguments() -> argparse.Namespace:
    names = [contestant.name for contestant in EVERYBODY]
    parser = benchmark_parser(__doc__, "smallest width, one round, few steps, defaults alone")
    parser.add_argument("--rounds", type=int, help="of every contestant (default 3; 2 from width 16,384 on)")
    parser.add_argument("--steps", type=int, help="measured per round (default 6; a third of it from width 16,384 on)")
    parser.add_argument("--width", type=int, nargs="+", help=f"latents (default {', '.join(map(str, _WIDTHS))})")
    parser.add_argument("--d-in", type=int, default=512, help="length of a vector (default %(default)s)")
    parser.add_argument("--k", type=int, default=32, help="active latents (default %(default)s)")
    parser.add_argument("--batch", type=int, default=4096, help="vectors per step (default %(default)s)")
    parser.add_argument(
        "--threads", type=int, default=min(2, cores()), help="of every contestant (default %(default)s)"
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=names, default=names, help="these alone")
    arguments = parser.parse_args()
    arguments.rounds = arguments.rounds or (1 if arguments.quick else 3)
    arguments.steps = arguments.steps or (2 if arguments.quick else 6)
    arguments.width = arguments.width or (_QUICK_WIDTHS if arguments.quick else _WIDTHS)
    arguments.warm_up = 1 if arguments.quick else 2
    if min(arguments.rounds, arguments.steps, arguments.threads, arguments.batch, *arguments.width) < 1:
        parser.error("--rounds, --steps, --threads, --batch and --width must be positive")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
