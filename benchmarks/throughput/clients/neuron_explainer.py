"""OpenAI's neuron-explainer: its ApiClient, with its own limit on concurrent requests."""

from __future__ import annotations

import asyncio
from importlib.metadata import version

from neuron_explainer.api_client import ApiClient

from throughput.measuring import contest, crew, job
from throughput.workload import MAX_TOKENS, MODEL, TEMPERATURE, chat


def main() -> None:
    task = job()
    client = ApiClient(MODEL, max_concurrent=task.slots, base_api_url=task.url, override_api_key="none")

    async def ask(number: int) -> str | None:
        messages = [{"role": role, "content": content} for role, content in chat(number)]
        body = await client.make_request(messages=messages, max_tokens=MAX_TOKENS, temperature=TEMPERATURE)
        text = body["choices"][0]["message"]["content"]
        return text if isinstance(text, str) else None

    with asyncio.Runner() as runner:
        contest(
            task, f"automated-interpretability {version('automated-interpretability')}", crew(runner, task.slots, ask)
        )


if __name__ == "__main__":
    main()
