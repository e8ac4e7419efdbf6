"""The loops themselves, on numpy arrays: numba compiles them when they are first called. Who calls them: `compiled`.

Whatever indexes is unsigned: a negative index would mean one from the end, and be tested for at every access.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

GROUP = 8
"""Latents whose largest entry is looked at first: only where that is large are they looked at one by one."""


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Without what tests wrap functions in, which can't be compiled. Kept on disk, where there is a place for it."""
    function = inspect.unwrap(function)
    try:
        compiled: Callable[..., Any] = njit(nogil=True, cache=True)(function)
    except RuntimeError:  # neither the package's folder nor the user's cache can be written to
        compiled = njit(nogil=True)(function)
    return compiled


@_compiled
def above(matrix: Any, bias: Any, bound: Any, latents: Any, values: Any, counts: Any) -> Any:
    """Fills `latents` and `values`, and `counts` per row; gives their number, or -1 if there may be no room for a row.

    Entries of groups that may have one are all written, and counted if they are one: so there is no branch to guess.
    """
    width = matrix.shape[1]
    groups = np.uint64(width // GROUP)
    top, hits = np.empty(groups, matrix.dtype), np.empty(groups + 1, np.int32)
    found: Any = np.uint64(0)
    for vector in range(matrix.shape[0]):
        if found + np.uint64(width) > np.uint64(latents.shape[0]):
            return -1
        before = found
        row = matrix[vector]
        tops(row, bias, top, GROUP)
        number = np.uint64(0)
        for group in range(groups):
            hits[number] = group
            number += np.uint64(top[group] > bound)
        for hit in range(number):
            first = np.uint64(hits[hit])
            for lane in range(GROUP):
                latent = np.uint64(lane) * groups + first
                value = row[latent] + bias[latent]
                latents[found], values[found] = latent, value
                found += np.uint64(value > bound)
        for last in range(GROUP * groups, np.uint64(width)):
            latent = np.uint64(last)
            value = row[latent] + bias[latent]
            latents[found], values[found] = latent, value
            found += np.uint64(value > bound)
        counts[vector] = found - before
    return np.int64(found)


@_compiled
def tops(row: Any, bias: Any, top: Any, size: Any) -> Any:
    """The largest entry of each group of `size` latents: every so-many-th, so that many groups are seen to at once.

    Slices are what makes the compiler use vector instructions here: five times as fast as one index.
    """
    groups = top.shape[0]
    for group in range(groups):
        top[group] = row[group] + bias[group]
    for lane in range(1, size):
        first, end = lane * groups, (lane + 1) * groups
        some, their_bias = row[first:end], bias[first:end]
        for group in range(groups):
            value = some[group] + their_bias[group]
            top[group] = value if value > top[group] else top[group]


@_compiled
def largest(matrix: Any, bias: Any, k: Any, latents: Any, values: Any) -> Any:
    """Ranks only what is not below the k-th largest of the tops of groups: as many entries are at least as large.

    A row that is not made of numbers gives values that are none.
    """
    width, most = np.uint64(matrix.shape[1]), np.uint64(k)
    size = np.uint64(max(1, min(2 * GROUP, matrix.shape[1] // k)))
    groups = width // size
    top, hits = np.empty(groups, matrix.dtype), np.empty(groups + 1, np.int32)
    numbers, candidates = np.empty(width + 1, np.int32), np.empty(width + 1, matrix.dtype)
    one, other = np.empty(width + 1, matrix.dtype), np.empty(width + 1, matrix.dtype)
    for vector in range(matrix.shape[0]):
        row, found_latents, found_values = matrix[vector], latents[vector], values[vector]
        tops(row, bias, top, np.int64(size))
        for group in range(groups):
            one[group] = top[group]
        bound = kth(one, other, groups, most)
        number = np.uint64(0)
        for group in range(groups):
            hits[number] = group
            number += np.uint64(top[group] >= bound)
        found = np.uint64(0)
        for hit in range(number):
            first = np.uint64(hits[hit])
            for lane in range(size):
                latent = lane * groups + first
                value = row[latent] + bias[latent]
                numbers[found], candidates[found] = latent, value
                found += np.uint64(value >= bound)
        for last in range(size * groups, width):
            latent = np.uint64(last)
            value = row[latent] + bias[latent]
            numbers[found], candidates[found] = latent, value
            found += np.uint64(value >= bound)
        if found < most:
            for entry in range(k):
                found_latents[entry], found_values[entry] = entry, np.nan
            continue
        for entry in range(found):
            one[entry] = candidates[entry]
        least = kth(one, other, found, most)
        taken = np.uint64(0)
        for entry in range(found):
            if taken < most:  # always, up to the last one that counts
                found_latents[taken], found_values[taken] = numbers[entry], candidates[entry]
            taken += np.uint64(candidates[entry] > least)
        for entry in range(found):
            if taken < most and candidates[entry] == least:
                found_latents[taken], found_values[taken] = numbers[entry], least
                taken += np.uint64(1)


@_compiled
def kth(one: Any, other: Any, count: Any, k: Any) -> Any:
    """The k-th largest of the first `count` of `one`, which is not kept; `other` is room for as many.

    Quickselect (Hoare 1961) that moves every value to the next place and counts it if it belongs there: no branch.
    """
    while True:
        a, b, c = one[0], one[count // np.uint64(2)], one[count - np.uint64(1)]
        pivot = max(min(a, b), min(max(a, b), c))
        above = np.uint64(0)
        for entry in range(count):
            other[above] = one[entry]
            above += np.uint64(one[entry] > pivot)
        if above < k:
            below = np.uint64(0)
            for entry in range(count):
                other[below] = one[entry]
                below += np.uint64(one[entry] < pivot)
            if k <= count - below:
                return pivot
            k, above = k - (count - below), below
        one, other, count = other, one, above


@_compiled
def at_least(
    starts: Any, latents: Any, values: Any, least: Any, kept_starts: Any, kept_latents: Any, kept_values: Any
) -> Any:
    """Fills `kept_...` with the entries of at least `least`; gives their number."""
    kept = np.uint64(0)
    kept_starts[0] = 0
    for row in range(starts.shape[0] - 1):
        for entry in range(np.uint64(starts[row]), np.uint64(starts[row + 1])):
            kept_latents[kept], kept_values[kept] = latents[entry], values[entry]
            kept += np.uint64(values[entry] >= least)
        kept_starts[row + 1] = kept
    return np.int64(kept)


@_compiled
def sort(starts: Any, latents: Any, bounds: Any, order: Any, vectors: Any) -> Any:
    """Counting sort; `bounds` comes in as zeros."""
    for entry in range(latents.shape[0]):
        bounds[latents[entry] + 1] += 1
    for latent in range(1, bounds.shape[0]):
        bounds[latent] += bounds[latent - 1]
    free = bounds.copy()
    for vector in range(starts.shape[0] - 1):
        for entry in range(starts[vector], starts[vector + 1]):
            place = free[latents[entry]]
            order[place], vectors[place] = entry, vector
            free[latents[entry]] = place + 1
