"""Methods by name: the built-in ones, then those that other packages register under an entry-point group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from typing import Any, Generic, Protocol, TypeVar

from autointerp.errors import BadInput, nearest

T = TypeVar("T")


class Registry(Generic[T]):
    """What makes the things of one kind. No package can take the place of a built-in one."""

    def __init__(self, kind: str, group: str, built_in: Mapping[str, T], others: Sequence[str] = ()) -> None:
        """`kind`: what one of them is called in an error. `others`: names that are valid elsewhere, to be offered."""
        self.kind, self.group, self.built_in = kind, group, built_in
        self._others = tuple(others)

    def find(self, name: str) -> T:
        """What is registered as `name`.

        Raises BadInput, with the nearest valid name, when there is none, and for a package that can't be imported.
        """
        if name in self.built_in:
            return self.built_in[name]
        points = {point.name: point for point in entry_points(group=self.group)}
        if name not in points:
            known = [*self._others, *self.built_in, *points]
            raise BadInput(f"no {self.kind} '{name}'", nearest(name, known))
        try:
            found: T = points[name].load()
        except (ImportError, AttributeError) as error:
            raise BadInput(f"{self.kind} '{name}' can't be imported ({error})", "mend or remove the package") from error
        return found

    def names(self) -> list[str]:
        """Every name, the built-in ones first."""
        return list(dict.fromkeys([*self.built_in, *(point.name for point in entry_points(group=self.group))]))


def declared(found: Any, attribute: str, form: type[T], default: T) -> T:
    """What a registered thing says of itself in `attribute`; `default` where it says nothing of that form."""
    value = getattr(found, attribute, None)
    return value if isinstance(value, form) else default


def require_members(made: object, form: type, what: str) -> None:
    """Raise BadInput, naming what is missing, for a registered thing that lacks a member of its protocol `form`."""
    declared_in = [base for base in form.__mro__ if getattr(base, "_is_protocol", False) and base is not Protocol]
    members = {name for base in declared_in for name in {*vars(base), *vars(base).get("__annotations__", {})}}
    lacking = sorted(name for name in members if not name.startswith("_") and not hasattr(made, name))
    if lacking:
        raise BadInput(f"{what} lacks {', '.join(map(repr, lacking))}", f"see {form.__name__} in {form.__module__}")
