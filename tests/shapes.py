"""Which functions have their shapes checked when they are called: those that name an array with one.

jaxtyping's import hook wraps every function of the packages, for 20 us a call and 3 ms when it is defined; a third of
what a tiny run takes. mypy has checked all other types. So the hook's decorator is one that leaves the others alone,
and that lets a call pass whose arguments and value have the types and shapes of one that it has checked.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Hashable, Iterable
from functools import update_wrapper, wraps
from threading import get_ident
from types import FunctionType
from typing import Any, get_args

import jaxtyping
import numpy as np
import torch

_CHECKED = jaxtyping.jaxtyped
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


def _jaxtyped(function: Any = None, *, typechecker: Callable[..., Any] | None = None) -> Any:
    if function is None:
        return lambda found: _jaxtyped(found, typechecker=typechecker)
    looked_at = function.__init__ if inspect.isclass(function) else function
    if inspect.isclass(function) and not hasattr(looked_at, "__globals__"):
        return function
    if not _names_a_shape(looked_at):
        return function
    plain = isinstance(function, FunctionType) and not function.__code__.co_flags & _LATER
    return jaxtyped_once(function, typechecker) if plain else _CHECKED(function, typechecker=typechecker)


_LATER = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
_ABSENT = object()
_SCALARS = frozenset({str, int, float, bool})
_HOLDS_MORE: dict[type, bool] = {}


def jaxtyped_once(function: Any, typechecker: Callable[..., Any] | None) -> Any:
    """The function checked by jaxtyping, which looks at each combination of types and shapes once."""
    given: dict[int, object] = {}
    give, thread, absent = given.pop, get_ident, _ABSENT

    def call_or_give(*args: Any, **kwargs: Any) -> Any:
        value = give(thread(), absent)
        return function(*args, **kwargs) if value is absent else value

    # jaxtyping looks the annotations up among the names of the function's own module.
    inner = FunctionType(call_or_give.__code__, function.__globals__, closure=call_or_give.__closure__)
    checked = _CHECKED(update_wrapper(inner, function), typechecker=typechecker)
    passed: dict[Hashable, set[Hashable]] = {}

    @wraps(checked)
    def known_or_checked(*args: Any, **kwargs: Any) -> Any:
        form = _form((*args, *kwargs, *kwargs.values()))
        values = None if form is None else passed.get(form)
        if form is None or values is None:
            value = checked(*args, **kwargs)
            if form is not None:
                passed[form] = {_form(value)} - {None}
            return value
        value = function(*args, **kwargs)
        made = _form(value)
        if made is None or made not in values:
            given[get_ident()] = value
            checked(*args, **kwargs)
            if made is not None:
                values.add(made)
        return value

    return known_or_checked


def _form(value: Any) -> Any:
    """All of a value that a check looks at; None if that is more than its type and the shapes in a short row."""
    kind = type(value)
    if kind is np.ndarray or kind is torch.Tensor:
        return kind, value.dtype, value.shape
    if kind is str:
        return str
    if kind is tuple or kind is list:
        kinds = frozenset(map(type, value))
        if kinds <= _SCALARS:
            return kind, kinds
        forms = tuple(map(_form, value)) if len(value) < 12 else (None,)
        return None if None in forms else (kind, forms)
    if kind not in _HOLDS_MORE:
        _HOLDS_MORE[kind] = issubclass(kind, Iterable | np.ndarray | torch.Tensor)
    return None if _HOLDS_MORE[kind] else kind


def check_shapes_alone() -> None:
    """From here on the import hook checks functions that name a shape, and no others."""
    setattr(jaxtyping, "jaxtyped", _jaxtyped)  # noqa: B010  # mypy knows its overloads
