"""The house: one name, one meaning, and rooms that one can take in."""

from __future__ import annotations

import ast
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

from tests.measure import slow

ROOT = Path(__file__).parents[1]
PACKAGES = ("autointerp", "sae")
SHARED_FILES = {
    "__init__.py": "a package",
    "adjusted.py": "what holds token determinism equal",
    "asker.py": "an Asker",
    "batches.py": "a provider's batch interface",
    "components.py": "what is of principal and independent components",
    "embedding.py": "a method by sentence vectors, a simulator and a judge of the same name",
    "errors.py": "the errors of a package",
    "figure.py": "the one figure of a room that is not part of a run",
    "interface.py": "what a method of the room is",
    "intervals.py": "an explainer has its method's name; the other is about confidence intervals",
    "logprobs.py": "log-probabilities: of an answer, of OpenAI's protocol, of a model in the process",
    "measures.py": "what is of measures that may tell trained from scrambled weights",
    "provider.py": "a Provider",
    "ratings.py": "what is of ratings by the rubric",
    "registry.py": "methods by name",
    "replicates.py": "what is of replicates",
    "scrambled.py": "what is of subjects with scrambled weights",
    "stage.py": "a stage of a run, or of a benchmark",
}
"""Names that several files have, and the one meaning that these share, or why not."""
SHARED_CLASSES = {
    "Judge": "a section of the study has its key's name",
    "Subject": "a section of the study has its key's name",
}


@cache
def _modules() -> list[tuple[Path, ast.Module]]:
    paths = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    return [(path, ast.parse(path.read_text("utf8"))) for path in paths]


def test_no_two_files_of_different_meaning_share_a_name() -> None:
    found = defaultdict(list)
    for path, _ in _modules():
        found[path.name].append(str(path.relative_to(ROOT)))
    assert {name: where for name, where in found.items() if len(where) > 1 and name not in SHARED_FILES} == {}
    assert {name for name in SHARED_FILES if len(found[name]) < 2} == set(), "no longer shared: take it out"


def test_no_two_classes_share_a_name() -> None:
    found = defaultdict(list)
    for path, tree in _modules():
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                found[node.name.lstrip("_")].append(str(path.relative_to(ROOT)))
    assert {name: where for name, where in found.items() if len(where) > 1 and name not in SHARED_CLASSES} == {}
    assert {name for name in SHARED_CLASSES if len(found[name]) < 2} == set(), "no longer shared: take it out"


def test_no_file_and_no_function_is_too_long() -> None:
    """None above 300 lines but the list of all columns, no function above 60."""
    for path, tree in _modules():
        assert path.read_text("utf8").count("\n") <= (450 if path.name == "rows.py" else 300), path
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert (node.end_lineno or 0) - node.lineno <= 60, f"{path}: {node.name}"


def test_every_test_that_is_said_to_be_slow_is_there() -> None:
    for line in (ROOT / "tests" / "slow.txt").read_text("utf8").split():
        file, _, name = line.partition("::")
        assert f"\ndef {name}(" in (ROOT / file).read_text("utf8"), f"{line}: `make slow` writes the list anew"


@pytest.mark.parametrize(("users", "found"), [(2, ["tests/x.py::test_0", "tests/x.py::test_1"]), (9, [])])
def test_what_a_shared_fixture_takes_is_its_tests_together(tmp_path: Path, users: int, found: list[str]) -> None:
    """One second for two tests is slow for both; for nine it is for none, the one that waited for it included."""
    uses, made = '<property name="uses" value="run"/>', '<property name="made run" value="1.0"/>'
    first = f'<testcase classname="tests.x" name="test_0" time="1.01"><properties>{uses}{made}</properties></testcase>'
    others = "".join(
        f'<testcase classname="tests.x" name="test_{n}" time="0.01"><properties>{uses}</properties></testcase>'
        for n in range(1, users)
    )
    elsewhere = first.replace("tests.x", "tests.y").replace(made, "").replace("1.01", "0.1")
    (tmp_path / "report.xml").write_text(f"<testsuite>{first}{others}{elsewhere}</testsuite>", encoding="utf8")
    assert slow(tmp_path / "report.xml") == found
