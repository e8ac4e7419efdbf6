"""The rows of the table of what was fitted to a hook's vectors."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ComponentRow:
    """A principal or independent component of the vectors at a hook, on the training split. Only in runs with some."""

    kind: str
    """`principal` or `independent`."""
    hook: str
    component: int
    """Its number among those of its kind and hook: kept ones first, then by variance, the largest first."""
    variance: float
    """Its share of the variance of the vectors, in [0, 1]."""
    kept: bool
    """Whether it is a candidate; an independent component that did not converge is none."""
    restarts: int | None
    """In how many of all restarts of ICA it is found, the first included; None of a principal component."""
    similarity: float | None
    """Least |cosine| with its counterparts in the other restarts, between whitened directions; None as above."""
    vectors: int
    """Vectors that the fit saw."""
