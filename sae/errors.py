"""The one error of this package: a line that says what is wrong, the value, the remedy."""

from __future__ import annotations


class SaeError(ValueError):
    """Vectors, a checkpoint or a recipe that can't be used as it is."""

    def __init__(self, what: str, remedy: str) -> None:
        self.what = " ".join(what.split())
        """What is wrong, with the value."""
        self.remedy = " ".join(remedy.split())
        """What to do about it."""
        super().__init__(f"{self.what}: {self.remedy}")
