"""Writes `slow.txt` out of a report of pytest (`--junitxml`): the tests that took longer than a fifth of a second."""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree

LONG = 0.2
"""Seconds, on two quiet cores; what a fixture takes is its first test's."""


def slow(report: Path) -> list[str]:
    """`file::test`, without parameters, of all that took longer, in order."""
    found = set()
    for case in ElementTree.parse(report).iter("testcase"):
        if float(case.get("time", "0")) > LONG:
            file = case.get("classname", "").replace(".", "/")
            found.add(f"{file}.py::{case.get('name', '').partition('[')[0]}")
    return sorted(found)


if __name__ == "__main__":
    (Path(__file__).parent / "slow.txt").write_text("\n".join(slow(Path(sys.argv[1]))) + "\n", encoding="utf8")
