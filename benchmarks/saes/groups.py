"""The matryoshka's groups, the same for everybody. Standard library only."""

from __future__ import annotations

from itertools import accumulate

GROUPS = (0.0625, 0.125, 0.25, 0.5625)
"""Shares of the latents; each group refines what those before it say."""


def nested_widths(width: int) -> list[int]:
    """How many latents the first group has, the first two, and so on; the last is `width`."""
    return [*(int(share * width) for share in accumulate(GROUPS[:-1])), width]
