"""Compiled loops on several threads: on torch's own, where they are to be had.

After a product torch's threads go on spinning for a while, waiting for the next one. Threads of ours would share the
cores with them; torch's own begin at once. On Linux they are GNU OpenMP's, which takes work from anyone in the process.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import torch

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
