"""The named errors. Each is one line: what is wrong, the value, the remedy."""

from __future__ import annotations

import copyreg
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any


class AutointerpError(Exception):
    """Base of every error that the command line prints as one line."""

    exit_code: int = 2
    """What the command line exits with."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as it is: a subclass is made of other arguments than its message."""
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]


class BadInput(AutointerpError):
    """A study, file, model or argument that can't be used as it is (exit 2)."""

    def __init__(self, what: str, remedy: str) -> None:
        self.what = " ".join(what.split())
        """What is wrong, with the value."""
        self.remedy = " ".join(remedy.split())
        """What to do about it."""
        super().__init__(f"{self.what}: {self.remedy}")


class CheckFailed(AutointerpError):
    """A check that was asked for did not hold (exit 1)."""

    exit_code = 1


class BudgetReached(AutointerpError):
    """The next request might cost more than the run may spend; everything finished is kept (exit 3)."""

    exit_code = 3


class Interrupted(AutointerpError):
    """Ctrl-C; everything finished is kept (exit 130)."""

    exit_code = 130

    def __init__(self) -> None:
        super().__init__("interrupted; the same command continues where this one stopped")


def nearest(value: str, valid: Iterable[str]) -> str:
    """Say which valid name is nearest to `value`, or list them all."""
    names = sorted(valid)
    close = get_close_matches(value, names, n=1, cutoff=0.5)
    if close:
        return f"did you mean '{close[0]}'? (valid: {', '.join(names)})"
    return f"valid: {', '.join(names)}"
