"""Quality of training, on planted data: how much of a known dictionary each library's autoencoders recover.

For every architecture, ours beside every library that has it: the same vectors in the same order, the same number of
steps and batch, the same width and sparsity. Learning rate and sparsity penalty are searched for everybody by one
rule, on vectors that are not reported. Rivals are installed once, into environments of their own under --cache.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from common.arguments import benchmark_parser
from common.machine import cores, machine, sentence
from saes.contestants import ARCHITECTURES, DICTIONARY_LEARNING, EVERYBODY, OURS, Contestant
from saes.crew import Crew
from saes.quality import PROBLEMS, Plan, Row, measure
from saes.verdict import table, verdicts

_RATES = (3e-3, 1e-2, 3e-2)
_QUICK_RATES = (1e-2,)


def main() -> int:
    arguments = _arguments()
    plan = _plan(arguments)
    computer = machine("autointerp", "torch")
    print(sentence(computer))
    print(
        f"{plan.steps} steps of {plan.batch} vectors, none of them twice; scored on {plan.held_out} held-out vectors;"
    )
    print(f"seeds: {plan.seeds}, learning rates tried: {', '.join(f'{rate:g}' for rate in plan.rates)}\n")
    chosen = [contestant for contestant in EVERYBODY if contestant.name in arguments.only]
    with Crew(Path(arguments.cache).expanduser().resolve(), at_once=cores()) as crew:
        rows, absent = measure(plan, chosen, arguments.architecture, crew)
    _print(plan, chosen, rows)
    for (architecture, name), reason in absent.items():
        print(f"{architecture}, {name}: NOT MEASURED: {reason}")
    if arguments.json:
        results = {
            "machine": computer,
            "plan": {"steps": plan.steps, "batch": plan.batch, "seeds": plan.seeds, "rates": list(plan.rates)},
            "rows": [row.as_json() for row in rows],
            "verdicts": [vars(verdict) for verdict in verdicts(rows)],
            "how": {contestant.name: contestant.how for contestant in chosen},
            "not_measured": {f"{architecture}, {name}": reason for (architecture, name), reason in absent.items()},
        }
        Path(arguments.json).write_text(json.dumps(results, indent=2) + "\n")
    return 0 if OURS not in chosen or any(row.entry.contestant == OURS for row in rows) else 1


def _print(plan: Plan, chosen: Sequence[Contestant], rows: Sequence[Row]) -> None:
    found = verdicts(rows)
    for problem in plan.problems:
        own = [row for row in rows if row.problem == problem]
        if not own:
            continue
        data = problem.data
        print(f"{problem.title}: d={data.d_in}, {data.atoms} true features, M={problem.width}, k={problem.k}")
        print(table(sorted(own, key=lambda row: ARCHITECTURES.index(row.entry.architecture))))
        print("\n".join(verdict.sentence for verdict in found if verdict.problem == problem.title), end="\n\n")
    for contestant in chosen:
        versions = {row.version for row in rows if row.entry.contestant == contestant}
        print(f"{contestant.name} [{', '.join(versions)}]: {contestant.how}")


def _plan(arguments: argparse.Namespace) -> Plan:
    problems = PROBLEMS[:1] if arguments.quick else PROBLEMS
    rates = _QUICK_RATES if arguments.quick else _RATES
    return Plan(problems, arguments.seeds, arguments.steps, arguments.batch, rates)


def _arguments() -> argparse.Namespace:
    names = [contestant.name for contestant in EVERYBODY]
    parser = benchmark_parser(__doc__, "one seed, one problem, ours and one rival")
    parser.add_argument("--seeds", type=int, help="of vectors and weights (default 3)")
    parser.add_argument("--steps", type=int, help="of every training run (default 1200; 600 with --quick)")
    parser.add_argument("--batch", type=int, default=512, help="vectors per step (default %(default)s)")
    parser.add_argument("--architecture", nargs="+", choices=ARCHITECTURES, default=ARCHITECTURES, metavar="NAME")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=names, help="these contestants alone")
    arguments = parser.parse_args()
    arguments.only = arguments.only or ([OURS.name, DICTIONARY_LEARNING.name] if arguments.quick else names)
    arguments.seeds = arguments.seeds or (1 if arguments.quick else 3)
    arguments.steps = arguments.steps or (600 if arguments.quick else 1200)
    if min(arguments.seeds, arguments.steps, arguments.batch) < 1:
        parser.error("--seeds, --steps and --batch must be positive")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
