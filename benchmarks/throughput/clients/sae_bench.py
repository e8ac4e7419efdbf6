"""SAEBench's automated interpretability: its `get_api_response`, in ten threads as its `run` has them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from threading import Lock
from types import SimpleNamespace

from common.stand_ins import stand_in

from throughput.measuring import Tally, contest, job
from throughput.workload import MAX_TOKENS, chat

_UTILITIES = "activation_collection dataset_utils general_utils indexing_utils sae_selection_utils".split()

stand_in(
    "torch",
    "sae_lens",
    "transformer_lens",
    "sae_bench.sae_bench_utils",
    *(f"sae_bench.sae_bench_utils.{name}" for name in _UTILITIES),
)

from sae_bench.evals.autointerp.main import AutoInterp  # noqa: E402

_THREADS = 10
"""Fixed in its source."""


def main() -> None:
    task = job()
    os.environ["OPENAI_BASE_URL"] = task.url
    asker = SimpleNamespace(api_key="none")
    lock = Lock()

    def take(numbers: Iterator[int], tally: Tally) -> None:
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            messages = [{"role": role, "content": content} for role, content in chat(number)]
            (text,), _ = AutoInterp.get_api_response(asker, messages, MAX_TOKENS)
            with lock:
                tally.tell(number, text)

    def work(numbers: range, tally: Tally) -> None:
        rest = iter(numbers)
        for future in [pool.submit(take, rest, tally) for _ in range(_THREADS)]:
            future.result()

    with ThreadPoolExecutor(_THREADS) as pool:
        contest(task, f"sae-bench {version('sae-bench')}", work)


if __name__ == "__main__":
    main()
