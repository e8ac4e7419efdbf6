"""Stand-ins for libraries that a rival's code imports and that what is measured does not need."""

from __future__ import annotations

import sys
from types import ModuleType


class _Anything:
    """A class that may be subscripted, as in annotations, and made of anything, as by a decorator."""

    def __init__(self, *arguments: object, **named: object) -> None:
        pass

    def __class_getitem__(cls, item: object) -> type[_Anything]:
        return cls


class _StandIn(ModuleType):
    """A module that has every name; each is a class that does nothing."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__path__: list[str] = []  # a package: its submodules may be stand-ins too

    def __getattr__(self, name: str) -> type[_Anything]:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (_Anything,), {})


def stand_in(*names: str) -> None:
    """Let these modules be importable, with every name in them."""
    for name in names:
        sys.modules[name] = _StandIn(name)
