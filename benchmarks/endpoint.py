"""Throughput against an endpoint of fixed latency: autointerp beside the bare SDK and the clients of its rivals.

Runs are interleaved (every contestant once per round, in the same order), each client and each endpoint in a process
of its own. Imports, connections and one request per slot come before the timed part. What can't be measured is listed
with its reason. Rivals are installed once, into environments of their own under --cache.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from common.arguments import benchmark_parser
from common.environments import Unavailable
from common.machine import machine, sentence
from throughput.contestants import BARE, EVERYBODY, OURS, Contestant
from throughput.running import Run, Setting, run
from throughput.summary import as_json, endpoint, memory, row, table

_QUICK_REQUESTS = 640
_QUICK_ROUNDS = 1
_LONGER = 4
"""How many times the requests, in the run that shows whether memory grows with them."""


def main() -> int:
    arguments = _arguments()
    setting = Setting(arguments.latency, arguments.slots, Path(arguments.cache).expanduser().resolve())
    chosen = [c for c in EVERYBODY if not arguments.only or c.name in arguments.only]
    runs, absent = measure(chosen, arguments.requests, arguments.rounds, setting)
    absent.update({c.name: "not asked for (--only)" for c in EVERYBODY if c not in chosen})
    grown = _grown(runs, absent, arguments.requests, setting)
    rows = [row(c, done, runs.get(BARE, ()), setting) for c, done in runs.items()]
    computer = machine("autointerp", "openai", "pydantic", "tenacity")
    print(sentence(computer))
    print(f"endpoint: {setting.latency * 1000:.0f} ms, {setting.slots} at once: ideal {setting.ideal:.1f} requests/s")
    print(f"rounds, interleaved: {arguments.rounds}; imports, connections and one request per slot are not timed\n")
    if rows:
        print(table(rows))
        print(endpoint([done for several in runs.values() for done in several]), end="\n\n")
    for c, done in runs.items():
        print(f"{c.name} [{done[0].client.version}]: {c.how}")
    for name, reason in absent.items():
        print(f"{name}: NOT MEASURED: {reason}")
    if grown:
        print("\n" + memory(grown))
    if arguments.json:
        results = {
            "machine": computer,
            "setting": {"latency_s": setting.latency, "slots": setting.slots, "ideal_rate": setting.ideal},
            "rounds": arguments.rounds,
            "rows": [asdict(r) for r in rows],
            "runs": {c.name: [as_json(one) for one in done] for c, done in runs.items()},
            "how": {c.name: c.how for c in runs},
            "not_measured": absent,
            "memory": [as_json(done) for done in grown],
        }
        Path(arguments.json).write_text(json.dumps(results, indent=2) + "\n")
    return 0 if runs.keys() >= {BARE, OURS} & set(chosen) else 1


def measure(
    contestants: Sequence[Contestant], requests: int, rounds: int, setting: Setting
) -> tuple[dict[Contestant, list[Run]], dict[str, str]]:
    """Runs per contestant, and the reasons of those that could not be measured."""
    runs: dict[Contestant, list[Run]] = defaultdict(list)
    absent: dict[str, str] = {}
    for number in range(rounds):
        for contestant in contestants:
            if contestant.name in absent:
                continue
            print(f"round {number + 1} of {rounds}: {contestant.name}", file=sys.stderr, flush=True)
            try:
                runs[contestant].append(run(contestant, max(4, round(requests * contestant.share)), setting))
            except Unavailable as reason:
                runs.pop(contestant, None)
                absent[contestant.name] = str(reason)
    return dict(runs), absent


def _grown(runs: Mapping[Contestant, list[Run]], absent: dict[str, str], requests: int, setting: Setting) -> list[Run]:
    """Our last run, and one of several times as many requests; what fails is added to `absent`."""
    if OURS not in runs:
        return []
    more = _LONGER * requests
    print(f"memory: {OURS.name}, {more} requests", file=sys.stderr, flush=True)
    try:
        return [runs[OURS][-1], run(OURS, more, setting)]
    except Unavailable as reason:
        absent[f"{OURS.name}, {more} requests"] = str(reason)
        return []


def _arguments() -> argparse.Namespace:
    parser = benchmark_parser(__doc__, f"{_QUICK_REQUESTS} requests, {_QUICK_ROUNDS} round")
    parser.add_argument("--requests", type=int, help="per run (default 5000)")
    parser.add_argument("--latency", type=float, default=0.2, help="seconds (default %(default)s)")
    parser.add_argument("--slots", type=int, default=64, help="requests that the endpoint admits at once (%(default)s)")
    parser.add_argument("--rounds", type=int, help="of every contestant (default 3)")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=[c.name for c in EVERYBODY], help="these alone")
    arguments = parser.parse_args()
    arguments.requests = arguments.requests or (_QUICK_REQUESTS if arguments.quick else 5000)
    arguments.rounds = arguments.rounds or (_QUICK_ROUNDS if arguments.quick else 3)
    if min(arguments.requests, arguments.slots, arguments.rounds) < 1 or arguments.latency <= 0:
        parser.error("--requests, --slots, --rounds and --latency must be positive")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
