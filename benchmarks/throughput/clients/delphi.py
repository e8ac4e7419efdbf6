"""Delphi's OpenRouter client under Delphi's own Pipeline, which holds the requests in flight."""

from __future__ import annotations

import asyncio
from functools import partial
from importlib.metadata import version

from common.stand_ins import stand_in

from throughput.measuring import Tally, contest, job
from throughput.workload import MAX_TOKENS, MODEL, TEMPERATURE, chat

stand_in("vllm", "vllm.distributed", "vllm.distributed.parallel_state", "vllm.inputs")

from delphi.clients import OpenRouter  # noqa: E402
from delphi.pipeline import Pipeline  # noqa: E402


def main() -> None:
    task = job()
    client = OpenRouter(MODEL, api_key="none", base_url=f"{task.url}/chat/completions")

    async def ask(number: int, tally: Tally) -> None:
        messages = [{"role": role, "content": content} for role, content in chat(number)]
        try:
            response = await client.generate(messages, max_tokens=MAX_TOKENS, temperature=TEMPERATURE)
        except RuntimeError:  # what it raises when its tries are used up
            tally.tell(number, None)
        else:
            tally.tell(number, response.text)

    def work(numbers: range, tally: Tally) -> None:
        runner.run(Pipeline(lambda: iter(numbers), partial(ask, tally=tally)).run(max_concurrent=task.slots))

    with asyncio.Runner() as runner:
        contest(task, f"eai-delphi {version('eai-delphi')}", work)


if __name__ == "__main__":
    main()
