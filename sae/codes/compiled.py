"""What is one pass over pre-activations here, and several in torch: selection, on the processor, by compiled loops.

A pre-activation is a product plus its latent's bias, and is never stored. No result depends on the number of threads.

The loops run on torch's own threads, where they are to be had. After a product torch's threads go on spinning for a
while, waiting for the next one. Threads of ours would share the cores with them; torch's own begin at once. On Linux
they are GNU OpenMP's, which takes work from anyone in the process.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

T = TypeVar("T")

_PROCESS = os.getpid()
_Body = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def most_threads() -> int:
    """How many threads are worth having now: torch's, or half as many of our own."""
    return torch.get_num_threads() if _of_torch() else max(1, torch.get_num_threads() // 2)


def on_threads(part: Callable[[int], T], parts: int) -> list[T]:
    """part(0), part(1), ... in this order, whichever thread ran it; what the first of them raised is raised."""
    if parts == 1:
        return [part(0)]
    openmp = _of_torch()
    return _on_our_own(part, parts) if openmp is None else _on_torchs(openmp, part, parts)


def _of_torch() -> Any:
    """torch's OpenMP library, if it is GNU's; a forked child has none of its parent's threads, and gets None."""
    return _gnu_openmp() if os.getpid() == _PROCESS else None


@cache
def _gnu_openmp() -> Any:
    library = Path(torch.__file__).parent / "lib" / "libgomp.so.1"
    return ctypes.CDLL(str(library)) if library.is_file() else None


def _on_torchs(openmp: Any, part: Callable[[int], T], parts: int) -> list[T]:
    results: dict[int, T] = {}
    raised: dict[int, BaseException] = {}

    def body(_: Any) -> None:
        # The library may give fewer threads than it is asked for.
        for number in range(openmp.omp_get_thread_num(), parts, openmp.omp_get_num_threads()):
            try:
                results[number] = part(number)
            except BaseException as error:  # noqa: BLE001 - nothing may leave a function that C called; raised below
                raised[number] = error

    openmp.GOMP_parallel(_Body(body), None, parts, 0)
    if raised:
        raise raised[min(raised)]
    return [results[number] for number in range(parts)]


def _on_our_own(part: Callable[[int], T], parts: int) -> list[T]:
    others = [_threads(os.getpid()).submit(part, number) for number in range(1, parts)]
    return [part(0), *(other.result() for other in others)]


@cache
def _threads(process: int) -> ThreadPoolExecutor:
    """Of this process: a child that was forked has none of its parent's."""
    return ThreadPoolExecutor(thread_name_prefix=f"sae-{process}")


_PER_THREAD = 1 << 18
"""Entries that are worth a thread."""


class Entries(NamedTuple):
    """Some entries of a matrix, row after row: compressed sparse rows."""

    starts: Int[Tensor, " bound"]
    """Where each row's entries start; one more bound than there are rows."""
    latents: Int[Tensor, " entry"]
    values: Float[Tensor, " entry"]


def entries_above(
    product: Float[Tensor, "vector latent"], bias: Float[Tensor, " latent"], bound: float, each: float
) -> Entries:
    """The entries of product + bias that are above `bound`; `each`: how many are expected in a row."""
    matrix, row = _arrays(product, bias)
    vectors, width = matrix.shape
    counts = np.zeros(vectors, dtype=np.int32)

    def part(first: int, end: int) -> tuple[Any, Any]:
        room = int(2 * each * (end - first)) + width
        while True:
            latents, values = np.empty(room, np.int32), np.empty(room, matrix.dtype)
            found = _loops().above(matrix[first:end], row, matrix.dtype.type(bound), latents, values, counts[first:end])
            if found >= 0:
                return latents[:found], values[:found]
            room = min(4 * room, (end - first + 1) * width)

    parts = _in_parts(vectors, width, part)
    starts = torch.zeros(vectors + 1, dtype=torch.int32)
    starts[1:] = torch.from_numpy(counts).cumsum(0)
    joined = parts[0] if len(parts) == 1 else (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    latents, values = (torch.from_numpy(array) for array in joined)
    return Entries(starts, latents, values)


def largest_per_row(
    product: Float[Tensor, "vector latent"], bias: Float[Tensor, " latent"], k: int
) -> tuple[Tensor, Tensor]:
    """Latents and values [vector, k] of the k largest entries of each row of product + bias, in no order."""
    matrix, row = _arrays(product, bias)
    vectors, width = matrix.shape
    latents, values = np.empty((vectors, k), np.int32), np.empty((vectors, k), matrix.dtype)

    def part(first: int, end: int) -> None:
        _loops().largest(matrix[first:end], row, k, latents[first:end], values[first:end])

    _in_parts(vectors, width, part)
    return torch.from_numpy(latents), torch.from_numpy(values)


def kth_largest(values: Float[Tensor, " entry"], k: int) -> float:
    """The k-th largest of some values, of which there are at least so many; all of them numbers."""
    one = values.numpy().copy()
    return float(_loops().kth(one, np.empty_like(one), np.uint64(one.shape[0]), np.uint64(k)))


def entries_from(entries: Entries, least: float) -> Entries:
    """Those that are at least `least`."""
    kept = Entries(*(torch.empty_like(part) for part in entries))
    given, taken = [part.numpy() for part in entries], [part.numpy() for part in kept]
    found = _loops().at_least(*given, given[-1].dtype.type(least), *taken)
    return Entries(kept.starts, kept.latents[:found], kept.values[:found])


def sorted_by_latent(
    starts: Int[Tensor, " bound"], latents: Int[Tensor, " active"], width: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The entries of a code, latent after latent: their places in it, where each latent's start, and their vectors."""
    entries = latents.numpy()
    bounds = np.zeros(width + 1, np.int32)
    order, vectors = np.empty_like(entries), np.empty_like(entries)
    _loops().sort(starts.numpy(), entries, bounds, order, vectors)
    return torch.from_numpy(order), torch.from_numpy(bounds), torch.from_numpy(vectors)


@cache
def _loops() -> ModuleType:
    """Imported when they are first needed: that takes half a second."""
    return import_module("sae.codes.loops")


def _arrays(product: Tensor, bias: Tensor) -> tuple[Any, Any]:
    return product.detach().contiguous().numpy(), bias.detach().contiguous().numpy()


def _in_parts(vectors: int, width: int, part: Callable[[int, int], T]) -> list[T]:
    """What `part` gives for each of as many ranges of vectors as there are threads, in order."""
    parts = max(1, min(most_threads(), vectors * width // _PER_THREAD))
    bounds = [vectors * number // parts for number in range(parts + 1)]
    return on_threads(lambda number: part(bounds[number], bounds[number + 1]), parts)
