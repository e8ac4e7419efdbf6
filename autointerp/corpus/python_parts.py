"""Prose and code out of Python source: docstrings, and functions without theirs."""

from __future__ import annotations

import ast
import inspect
import textwrap
import warnings
from collections.abc import Iterator

_Function = ast.FunctionDef | ast.AsyncFunctionDef


def parse(text: str) -> ast.Module | None:
    """The syntax tree, without running anything; None for what this Python can't parse (a template, Python 2)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return ast.parse(text)
        except (SyntaxError, ValueError, RecursionError):
            return None


def docstrings(text: str) -> list[str]:
    """The docstrings of a module, its classes, functions and methods, without their indentation."""
    tree = parse(text)
    nodes = [tree, *_definitions(tree)] if tree else []
    found = (ast.get_docstring(node, clean=False) for node in nodes)
    return [inspect.cleandoc(docstring) for docstring in found if docstring]


def functions(text: str) -> list[str]:
    """The source of a module's functions and methods, without their docstrings, so that no text is in both lists."""
    tree = parse(text)
    lines = text.splitlines()
    nodes = [node for node in _definitions(tree) if not isinstance(node, ast.ClassDef)] if tree else []
    return [textwrap.dedent("\n".join(_without_docstring(node, lines))) for node in nodes]


def long_strings(text: str, shortest: int) -> list[str]:
    """The string constants of at least `shortest` characters, in the order of the source."""
    tree = parse(text)
    constants = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)] if tree else []
    return [value for value in constants if isinstance(value, str) and len(value) >= shortest]


def _definitions(tree: ast.Module | ast.ClassDef) -> Iterator[ast.ClassDef | _Function]:
    """Classes, functions and methods; not what is defined inside a function."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef | _Function):
            yield node
        if isinstance(node, ast.ClassDef):
            yield from _definitions(node)


def _without_docstring(node: _Function, lines: list[str]) -> list[str]:
    first, last = node.lineno - 1, node.end_lineno or node.lineno
    if ast.get_docstring(node, clean=False) is None:
        return lines[first:last]
    docstring = node.body[0]
    return lines[first : docstring.lineno - 1] + lines[docstring.end_lineno : last]
