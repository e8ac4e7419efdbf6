"""An answer that comes as a stream of events, put together into the body that would have come at once."""

from __future__ import annotations

import json
from typing import Any

from autointerp.llm.client import Transient

_DONE = "[DONE]"
_TEXTS = ("content", "reasoning_content", "reasoning", "refusal")


def is_stream(body: str) -> bool:
    """Whether a body is a stream of server-sent events."""
    return body.lstrip().startswith(("data:", "event:", ": "))


def whole_body(stream: str) -> object:
    """The body of a chat or a completion: its first choice's texts joined, log-probabilities too, the last usage.

    A chunk that is an error is given back as it is. Raises Transient for a stream that is malformed, or that broke off
    before the answer's end.
    """
    body: dict[str, Any] = {}
    message: dict[str, Any] = {}
    choice: dict[str, Any] = {"index": 0}
    done = False
    for data in _data(stream):
        if data == _DONE:
            done = True
            continue
        try:
            chunk = json.loads(data)
        except (ValueError, RecursionError):
            raise Transient("the endpoint's stream is malformed") from None
        if not isinstance(chunk, dict):
            raise Transient("the endpoint's stream is malformed")
        if chunk.get("error"):
            return chunk
        if chunk.get("usage"):
            body["usage"] = chunk["usage"]
        for part in chunk.get("choices") or ():
            if isinstance(part, dict) and part.get("index", 0) == 0:
                _add(part, choice, message)
    if not done and "finish_reason" not in choice:
        raise Transient("the endpoint's stream broke off")
    if "text" not in choice:
        choice["message"] = {"content": None, **message}
    return {**body, "choices": [choice]}


def _data(stream: str) -> list[str]:
    """What the events hold; an event may have several lines."""
    found: list[str] = []
    lines: list[str] = []
    for line in [*stream.splitlines(), ""]:
        if line.startswith("data:"):
            lines.append(line.removeprefix("data:").removeprefix(" "))
        elif not line.strip() and lines:
            found.append("\n".join(lines))
            lines = []
    return found


def _add(part: dict[str, Any], choice: dict[str, Any], message: dict[str, Any]) -> None:
    delta = part.get("delta")
    for name in _TEXTS:
        text = delta.get(name) if isinstance(delta, dict) else None
        if isinstance(text, str):
            message[name] = message.get(name, "") + text
    if isinstance(part.get("text"), str):
        choice["text"] = choice.get("text", "") + part["text"]
    if part.get("finish_reason"):
        choice["finish_reason"] = part["finish_reason"]
    logprobs = part.get("logprobs")
    for name, values in logprobs.items() if isinstance(logprobs, dict) else ():
        if isinstance(values, list):
            choice.setdefault("logprobs", {}).setdefault(name, []).extend(values)
