"""How fast this machine multiplies matrices at this moment: what the bounds are made of."""

from __future__ import annotations

import time
from typing import Any

import torch
from common.workers import answer

_REPEATS = 3


def gflops(job: dict[str, Any]) -> dict[str, Any]:
    """GFLOP/s of float32 products [m, k] x [k, n], the best of a few, for each of `shapes`."""
    torch.set_num_threads(job["threads"])
    return {"gflops": [_best(*shape) for shape in job["shapes"]]}


def _best(m: int, k: int, n: int) -> float:
    left, right, product = torch.randn(m, k), torch.randn(k, n), torch.empty(m, n)
    torch.mm(left, right, out=product)
    seconds = []
    for _ in range(_REPEATS):
        started = time.perf_counter()
        torch.mm(left, right, out=product)
        seconds.append(time.perf_counter() - started)
    return 2e-9 * m * k * n / min(seconds)


if __name__ == "__main__":
    answer(gflops)
