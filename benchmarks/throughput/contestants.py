"""Who is measured, and how each was run."""

from __future__ import annotations

from dataclasses import dataclass

from common.environments import Environment


@dataclass(frozen=True)
class Contestant:
    """One client of the endpoint."""

    name: str
    module: str
    """Of `throughput.clients`."""
    how: str
    """What was run, and what was changed from outside to run it here."""
    environment: Environment | None = None
    """None: the Python that runs the benchmark."""
    share: float = 1.0
    """Share of the requests that it is given: less for one that would take minutes, whose rate shows sooner."""


BARE = Contestant("bare SDK", "bare", "AsyncOpenAI.chat.completions.create, one coroutine per slot, no retries")
BARE_AIOHTTP = Contestant("bare SDK, aiohttp", "bare_aiohttp", "the same over the SDK's own aiohttp client")
OURS = Contestant("autointerp", "ours", "open_asker(...).stream: ledger and budget on disk, retries, limit")
RIVALS = (
    Contestant(
        "delphi",
        "delphi",
        "clients.OpenRouter (its base_url argument) under its own Pipeline; vllm, which its local client imports, "
        "replaced by a stand-in; no model libraries loaded, so less memory than in use",
        Environment("delphi", "eai-delphi==0.1.3", ("httpx==0.28.1", "transformers==4.57.6", "tqdm==4.70.1")),
    ),
    Contestant(
        "neuron-explainer",
        "neuron_explainer",
        "ApiClient.make_request (its base_api_url and max_concurrent arguments), one coroutine per slot; "
        "nothing patched",
        Environment("neuron-explainer", "automated-interpretability==0.0.24", ("httpx==0.28.1", "orjson==3.13.0")),
        share=0.25,
    ),
    Contestant(
        "sae-bench",
        "sae_bench",
        "AutoInterp.get_api_response in the ten threads of its run(); pointed here by OPENAI_BASE_URL; torch, "
        "sae_lens, transformer_lens and its own helpers on them replaced by stand-ins, so less memory than in use",
        Environment(
            "sae-bench", "sae-bench==0.6.0", ("openai==3.54.0", "tabulate==0.10.0", "tqdm==4.70.1", "pydantic==2.14.3")
        ),
        share=0.1,
    ),
)
EVERYBODY = (BARE, BARE_AIOHTTP, OURS, *RIVALS)
