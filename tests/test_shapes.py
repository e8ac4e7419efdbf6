"""Shapes are enforced in the tests: in every function and record of the packages that names one."""

from __future__ import annotations

import ast
import contextlib
import inspect
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError

from autointerp.artifacts import hash_value
from autointerp.collect.token_table import TokenSums, TokenTable
from autointerp.metrics.calibration import FittedLine
from autointerp.metrics.classification import classify
from autointerp.metrics.formulas import pearson
from tests.shapes import EVERY, FIRST

ROOT = Path(__file__).parents[1]
WORDS = ("Float[", "Int[", "Bool[", "Shaped[")


@pytest.mark.parametrize(
    "call",
    [
        lambda: pearson(np.zeros(3), np.zeros((2, 4))),  # by an alias, two arguments apart
        lambda: pearson(np.zeros(3, dtype=int), np.zeros((2, 3))),  # of another kind
        lambda: classify("auroc", np.zeros(3, dtype=bool), np.zeros((3, 1))),
        lambda: TokenSums(2).add(torch.zeros(2, 3, 2), torch.zeros(2, 4, dtype=torch.int64)),  # a method
        lambda: FittedLine(1.0, 0.0)(np.zeros(3, dtype=int)),
        lambda: TokenTable(np.zeros(3, dtype=np.int64), np.zeros((4, 2)), np.zeros(2)),  # a record,
    ],
)
def test_a_wrong_shape_is_refused(call: Callable[[], object]) -> None:
    with pytest.raises(TypeCheckError):
        call()


def test_what_a_test_calls_often_is_still_checked_now_and_then() -> None:
    for _ in range(FIRST):
        pearson(np.arange(3.0), np.arange(3.0)[None])
    for _ in range(EVERY - 1):
        with contextlib.suppress(ValueError):  # numpy's, where nothing checked
            pearson(np.arange(3.0), np.arange(8.0).reshape(2, 4))
    with pytest.raises(TypeCheckError):
        pearson(np.arange(3.0), np.arange(8.0).reshape(2, 4))


def _named() -> Iterator[tuple[str, str]]:
    """Module and qualified name of every function outside of others whose text names a shape, and of such records."""
    for path in sorted([*ROOT.glob("autointerp/**/*.py"), *ROOT.glob("sae/**/*.py")]):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        yield from ((module, name) for name in _in(ast.parse(path.read_text("utf8")), ""))


def _in(node: ast.AST, before: str) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            fields = [part.annotation for part in child.body if isinstance(part, ast.AnnAssign)]
            made = any("dataclass" in ast.unparse(decorator) for decorator in child.decorator_list)
            if made and any(word in ast.unparse(field) for field in fields for word in WORDS):
                yield f"{before}{child.name}.__init__"
            if not any(ast.unparse(base).startswith("Protocol") for base in child.bases):
                yield from _in(child, f"{before}{child.name}.")
        elif isinstance(child, ast.FunctionDef):
            arguments = [a.annotation for a in (*child.args.args, *child.args.kwonlyargs) if a.annotation]
            whole = " ".join(ast.unparse(a) for a in (*arguments, *([child.returns] if child.returns else [])))
            if any(word in whole for word in WORDS):
                yield before + child.name


def test_every_function_that_names_a_shape_is_checked() -> None:
    found, unchecked = 0, []
    for module, name in _named():
        value: Any = import_module(module)
        for part in name.split("."):
            value = inspect.getattr_static(value, part)
        for within in ("__func__", "fget", "func"):  # class methods, properties, and those that are kept
            value = getattr(value, within, value)
        found += 1
        if not _is_checked(value):
            unchecked.append(f"{module}.{name}")
    assert found > 250
    assert unchecked == []


def _is_checked(function: Any) -> bool:
    """Whether one of the wrappers around it is jaxtyping's."""
    known: dict[str, object] = getattr(function, "__globals__", {})
    around = hasattr(function, "__wrapped__") and _is_checked(function.__wrapped__)
    return around or str(known.get("__name__")).startswith("jaxtyping.")


def test_what_names_none_is_left_alone() -> None:
    """mypy has checked it, and a wrapper would cost the tests a third of their time."""
    assert not _is_checked(hash_value)
