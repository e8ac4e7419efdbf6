"""The `openai` SDK and nothing else: what any client built on it costs at least."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import httpx2
import openai

from throughput.measuring import contest, crew, job
from throughput.workload import MAX_TOKENS, MODEL, TEMPERATURE, chat


def main(http_client: httpx2.AsyncClient | None = None) -> None:
    """Ask through the SDK over this client; None: over the one that it makes itself."""
    task = job()
    client = openai.AsyncOpenAI(api_key="none", base_url=task.url, max_retries=0, http_client=http_client)

    async def ask(number: int) -> str | None:
        messages = [{"role": role, "content": content} for role, content in chat(number)]
        body = await client.chat.completions.create(
            model=MODEL,
            messages=cast(Any, messages),
            max_tokens=MAX_TOKENS,
            temperature=TEMPERATURE,
            seed=abs(number),
        )
        return body.choices[0].message.content

    with asyncio.Runner() as runner:
        contest(task, f"openai {openai.__version__}", crew(runner, task.slots, ask))
        runner.run(client.close())


if __name__ == "__main__":
    main()
