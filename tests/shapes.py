"""Which functions have their shapes checked when they are called: those that name an array with one.

jaxtyping's import hook wraps every function of the packages, for 20 us a call and 3 ms when it is defined; a third of
what a tiny run takes. mypy has checked all other types. So the hook's decorator is one that leaves the others alone.
Of what a test calls hundreds of times it checks the first calls, and then some.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from typing import Any, get_args

import jaxtyping

_CHECKED = jaxtyping.jaxtyped
FIRST = 30
"""So many calls of a function are checked in each test, and then every so-manieth:"""
EVERY = 11
_DTYPES = {name: value for name, value in vars(jaxtyping).items() if isinstance(value, type)}


def _has_shape(value: object) -> bool:
    """Whether it is one of jaxtyping's words (`Float`), an array with a shape, or an alias that holds one."""
    if isinstance(value, type) and (value in _DTYPES.values() or issubclass(value, jaxtyping.AbstractArray)):
        return True
    if isinstance(value, list | tuple):  # the arguments of a Callable
        return any(map(_has_shape, value))
    return any(map(_has_shape, get_args(value)))


def _names_a_shape(function: Any) -> bool:
    function = getattr(function, "__func__", getattr(function, "fget", function))
    known = function.__globals__
    for annotation in inspect.get_annotations(function).values():
        words = re.findall(r"\w+", annotation) if isinstance(annotation, str) else []
        if _has_shape(annotation) or any(_has_shape(known.get(word)) for word in words):
            return True
    return False


_tests_begun = 0


def a_test_begins() -> None:
    """The first calls are counted anew."""
    global _tests_begun
    _tests_begun += 1


def _checked_at_first(function: Callable[..., Any], checked: Callable[..., Any]) -> Callable[..., Any]:
    """Both do the same; a test's first calls, and then some, go to the one that checks."""
    test, calls = -1, 0

    @functools.wraps(checked)
    def call(*args: Any, **kwargs: Any) -> Any:
        nonlocal test, calls
        if test != _tests_begun:
            test, calls = _tests_begun, 0
        calls += 1
        return (checked if calls <= FIRST or (calls - FIRST) % EVERY == 0 else function)(*args, **kwargs)

    return call


def _jaxtyped(function: Any = None, *, typechecker: Callable[..., Any] | None = None) -> Any:
    if function is None:
        return lambda found: _jaxtyped(found, typechecker=typechecker)
    if isinstance(function, classmethod | staticmethod):
        return type(function)(_jaxtyped(function.__func__, typechecker=typechecker))
    looked_at = function.__init__ if inspect.isclass(function) else function
    if inspect.isclass(function) and not hasattr(looked_at, "__globals__"):
        return function
    if not _names_a_shape(looked_at):
        return function
    checked = _CHECKED(function, typechecker=typechecker)
    if isinstance(checked, property):
        return checked
    if inspect.isclass(checked):
        its_check: Any = inspect.getattr_static(checked, "__init__")
        if its_check is not looked_at:
            setattr(checked, "__init__", _checked_at_first(looked_at, its_check))  # noqa: B010  # as below
        return checked
    return _checked_at_first(function, checked)


def check_shapes_alone() -> None:
    """From here on the import hook checks functions that name a shape, and no others."""
    setattr(jaxtyping, "jaxtyped", _jaxtyped)  # noqa: B010  # mypy knows its overloads
