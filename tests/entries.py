"""An entry point, as a package would register it."""

from __future__ import annotations


class Entry:
    """Loads `made`, or raises it."""

    def __init__(self, name: str, made: object) -> None:
        self.name, self._made = name, made

    def load(self) -> object:
        if isinstance(self._made, Exception):
            raise self._made
        return self._made
