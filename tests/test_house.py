"""The house: one name, one meaning, and rooms that one can take in."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("autointerp", "sae")
SHARED_FILES = {
    "__init__.py": "a package",
    "asker.py": "an Asker",
    "batches.py": "a provider's batch interface",
    "embedding.py": "a method by sentence vectors, a simulator and a judge of the same name",
    "errors.py": "the errors of a package",
    "figure.py": "the one figure of a room that is not part of a run",
    "interface.py": "what a method of the room is",
    "intervals.py": "an explainer has its method's name; the other is about confidence intervals",
    "logprobs.py": "log-probabilities: of an answer, of OpenAI's protocol, of a model in the process",
    "provider.py": "a Provider",
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


def _modules() -> Iterator[tuple[Path, ast.Module]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield path, ast.parse(path.read_text("utf8"))


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
        names = {
            node.name for node in ast.parse((ROOT / file).read_text("utf8")).body if isinstance(node, ast.FunctionDef)
        }
        assert name in names, f"{line}: `make slow` writes the list anew"
