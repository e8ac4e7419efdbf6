"""What `autointerp llm check` shows: one or two small real calls to a configured model, and what they told.

The calls run in a loop of their own, so that they may be made where one is running already (a notebook).
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt

from autointerp.errors import BadInput
from autointerp.llm.capabilities import BY_NUMBER, CUT, QUESTION, UNKNOWN, Capabilities, known, remember
from autointerp.llm.client import Probe, Transient
from autointerp.llm.online.retrying import wait
from autointerp.llm.open import check_llm, open_provider
from autointerp.llm.providers import LOCAL
from autointerp.llm.request import Answer, Request
from autointerp.study_models import Llm

_T = TypeVar("_T")


def run_aside(work: Coroutine[Any, Any, _T]) -> _T:
    """What `work` returns or raises, from an event loop in a thread of its own. Ctrl-C cancels it."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="autointerp-aside", daemon=True)
    thread.start()
    try:
        future: Future[_T] = asyncio.run_coroutine_threadsafe(work, loop)
        try:
            return future.result()
        finally:
            asyncio.run_coroutine_threadsafe(_wind_down(), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _wind_down() -> None:
    """End what is left: the work itself, when the wait for it was interrupted."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


Rows = list[tuple[str, str]]


@dataclass(frozen=True)
class Checked:
    """What a check found."""

    rows: Rows
    """(what, finding) pairs, to be shown."""
    answers: tuple[Answer, ...]
    """What the model answered: to be paid for."""
    problem: BadInput | None
    """Why it can't be asked; None when it can."""
    billed: bool = False
    """Whether calls beside `answers` may have been billed: a connection that broke, a 500. Nobody knows for how much.
    A call that was refused (a wrong key, a bad request), or never reached the endpoint, costs nothing."""


@dataclass(frozen=True)
class _Probed:
    """What a probe came to."""

    found: Capabilities | Transient | BadInput
    """What the model can do, or why it can't be asked."""
    answers: tuple[Answer, ...] = ()
    billed: bool = False


def check(llm: Llm, name: str, attempts: int = 1) -> Checked:
    """Ask the model that `[llm.name]` configures, and remember what it can do.

    `attempts`: tries in all, where the endpoint is at fault. A model in the process is loaded and measured. Works where
    an event loop is running, too. Raises BadInput for what is wrong before any call (no such provider, a missing key);
    what the calls show to be wrong is the result's `problem`.
    """
    check_llm(llm)
    try:
        probed = _measure_local(llm) if llm.provider == LOCAL else run_aside(_probe(llm, attempts))
    except BadInput as refused:
        probed = _Probed(refused)
    found, answers, billed = probed.found, probed.answers, probed.billed
    if isinstance(found, Transient):
        problem = BadInput(f"[llm.{name}] model '{llm.model}' can't be asked: {found.reason}",
                           "check that the endpoint is up, and base_url")  # fmt: skip
        return Checked(_unreachable(llm, found.reason), answers, problem, billed)
    if isinstance(found, BadInput):
        problem = BadInput(f"[llm.{name}] {found.what}", found.remedy)
        return Checked(_unreachable(llm, found.what), answers, problem, billed)
    if llm.provider != LOCAL:
        remember(found)
    return Checked(_rows(llm, found, answers), answers, None, billed)


async def _probe(llm: Llm, attempts: int) -> _Probed:
    billed = False

    async def attempt() -> Probe:
        nonlocal billed
        try:
            return await provider.probe()
        except Transient as fault:
            billed |= fault.billed
            raise

    provider = open_provider(llm)
    again = AsyncRetrying(
        retry=retry_if_exception_type(Transient), stop=stop_after_attempt(attempts), wait=wait, reraise=True
    )
    try:
        probe: object = await again(attempt)
    except (Transient, BadInput) as fault:
        return _Probed(fault, (), billed)
    finally:
        await provider.aclose()
    if not isinstance(probe, Probe):  # another package's: its calls may have been billed, and nobody knows for what
        gave = type(probe).__name__
        return _Probed(
            BadInput(f"the probe of provider '{llm.provider}' gives a {gave}", "let it give a Probe"), (), True
        )
    found = probe.found
    if isinstance(found, Capabilities):
        # Under the names by which it will be looked for, whatever a provider of somebody else calls itself here.
        found = replace(found, endpoint=provider.identity, model=llm.model)
    return _Probed(found, probe.answers, billed or probe.lost)


def _measure_local(llm: Llm) -> _Probed:
    from autointerp.llm.local.model import LocalModel
    from autointerp.models import load_asked

    loaded = load_asked(llm.model, dtype=llm.dtype)
    model = LocalModel(loaded, llm.batch)
    request = Request(QUESTION, llm.model, 32 + llm.thinking_tokens, 0.0, 0)
    model.generate([replace(request, max_tokens=1)])  # the first pass of a process is a slow one
    start = time.perf_counter()
    (answer,) = model.generate([request])
    seconds = time.perf_counter() - start
    found = known(llm) or Capabilities(model.identity, llm.model)
    found = replace(
        found,
        endpoint=model.identity,
        context=getattr(loaded.model.config.get_text_config(), "max_position_embeddings", None),
        latency=seconds,
        tokens_per_second=answer.output_tokens / seconds if answer.output_tokens else None,
    )
    return _Probed(found, (answer,))


def _unreachable(llm: Llm, reason: str) -> Rows:
    return [("reachable", f"no: {reason}"), ("model", llm.model)]


def _rows(llm: Llm, found: Capabilities, answers: Sequence[Answer]) -> Rows:
    unseen = f"{UNKNOWN}: {CUT}; set thinking_tokens" if found.cut else ""
    by_number = f"no: {BY_NUMBER}" if found.token_ids else ""
    return [
        ("reachable", f"yes: {found.endpoint}"),
        ("model", found.model),
        ("chat logprobs", by_number or unseen or _alternatives(found.top_logprobs, found.whole_distribution)),
        ("prompt logprobs", _alternatives(found.prompt_logprobs, found.whole_distribution)),
        ("JSON mode", unseen or _yes(found.json_object)),
        ("JSON schema", unseen or _yes(found.json_schema)),
        ("seed", _yes(found.seed)),
        ("context length", UNKNOWN if found.context is None else f"{found.context:,} tokens"),
        ("latency", UNKNOWN if found.latency is None else f"{found.latency:.2f} s"),
        ("tokens per second", UNKNOWN if found.tokens_per_second is None else f"{found.tokens_per_second:.1f}"),
        ("price", _price(llm)),
        ("this check used", _used(answers)),
    ]


def _alternatives(count: int, whole: bool) -> str:
    if whole:
        return "yes: the whole vocabulary"
    return f"yes: {count} per token" if count else "no"


def _yes(has: bool) -> str:
    return "yes" if has else "no"


def _price(llm: Llm) -> str:
    """Dollars per million tokens, as the study gives them; an unknown price is said to be unknown."""
    if llm.provider == LOCAL:
        return "nothing: it runs in this process"
    if llm.input_usd is None or llm.output_usd is None:
        return f"{UNKNOWN}: give input_usd and output_usd in the study"
    cached = "" if llm.cached_input_usd is None else f"${llm.cached_input_usd:g} cached input, "
    return f"${llm.input_usd:g} input, {cached}${llm.output_usd:g} output per million tokens"


def _used(answers: Sequence[Answer]) -> str:
    if not answers:
        return UNKNOWN
    counts = [(answer.input_tokens, answer.output_tokens) for answer in answers]
    prompt, written = (None if None in column else sum(n or 0 for n in column) for column in zip(*counts, strict=True))
    if prompt is None or written is None:
        return f"{UNKNOWN}: the endpoint does not count tokens"
    return f"{prompt:,} prompt tokens and {written:,} answer tokens, in {len(counts)} calls"
