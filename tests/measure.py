"""Writes `slow.txt` out of a report of pytest (`--junitxml`): the tests that took longer than 0.15 seconds.

What a shared fixture takes is shared among the tests of the file that use it.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

LONG = 0.15
"""Seconds, on two quiet cores."""


def slow(report: Path) -> list[str]:
    """`file::test`, without parameters, of all that took longer, in order."""
    cases = list(ElementTree.parse(report).iter("testcase"))
    took, users = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for case in cases:
        took.update(_made(case))
        users.update(_used(case))
    found = set()
    for case in cases:
        own = float(case.get("time", "0")) - sum(_made(case).values())
        if own + sum(took[name] / users[name] for name in _used(case)) > LONG:
            file = case.get("classname", "").replace(".", "/")
            found.add(f"{file}.py::{case.get('name', '').partition('[')[0]}")
    return sorted(found)


def _properties(case: ElementTree.Element) -> dict[str, str]:
    return {p.get("name", ""): p.get("value", "") for p in case.iter("property")}


def _made(case: ElementTree.Element) -> dict[tuple[str, str], float]:
    """Seconds of the shared fixtures that were made for a test, by file and name."""
    made = {name.removeprefix("made "): value for name, value in _properties(case).items() if name.startswith("made ")}
    return {(case.get("classname", ""), name): float(seconds) for name, seconds in made.items()}


def _used(case: ElementTree.Element) -> set[tuple[str, str]]:
    return {(case.get("classname", ""), name) for name in _properties(case).get("uses", "").split()}


if __name__ == "__main__":
    (Path(__file__).parent / "slow.txt").write_text("\n".join(slow(Path(sys.argv[1]))) + "\n", encoding="utf8")
