"""A real server on loopback that serves a tiny model's completions, in OpenAI's old protocol or in vLLM's."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from typing import Any, Literal

import torch

from autointerp.models import LoadedModel
from autointerp.simulate.vocabulary import digit_tokens
from tests.loopback import Handling, served
from tests.tiny import tiny_loaded

Form = Literal["echo", "prompt_logprobs"]
"""OpenAI's `echo` with `logprobs`, or vLLM's field; the other one is refused, or not known."""


@dataclass
class Serving:
    """Where the server is, and what it was asked."""

    url: str
    bodies: list[dict[str, Any]] = field(default_factory=list)


class _Completions:
    """One model's completions: at most one token is written, the likeliest."""

    def __init__(self, loaded: LoadedModel, form: Form) -> None:
        self._model, self._tokenizer, self._form = loaded.model, loaded.tokenizer, form
        self._lock = threading.Lock()

    def answer(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        refused = {"echo": "prompt_logprobs", "prompt_logprobs": "echo"}[self._form]
        if refused in body:
            says = f"Unrecognized request argument supplied: {refused}"
            return 400, {"error": {"message": says, "type": "invalid_request_error", "param": refused, "code": None}}
        ids: list[int] = self._tokenizer(body["prompt"])["input_ids"]
        with self._lock, torch.inference_mode():
            logits = self._model(torch.tensor([ids]), use_cache=False).logits[0].float()
        rows = torch.log_softmax(logits, dim=1)
        written = int(rows[-1].argmax())
        choice = {"index": 0, "finish_reason": "length", "text": self._text(written), "logprobs": None}
        if self._form == "echo" and body.get("echo"):
            choice |= {"text": body["prompt"] + choice["text"], "logprobs": self._echoed(body, [*ids, written], rows)}
        if "prompt_logprobs" in body:
            choice["prompt_logprobs"] = [None, *self._entries(ids, rows, body["prompt_logprobs"])]
        usage = {"prompt_tokens": len(ids), "completion_tokens": 1, "total_tokens": len(ids) + 1}
        return 200, {"id": "c", "object": "text_completion", "model": "m", "choices": [choice], "usage": usage}

    def _text(self, token: int) -> str:
        return str(self._tokenizer.decode([token]))

    def _echoed(self, body: dict[str, Any], ids: Sequence[int], rows: torch.Tensor) -> dict[str, Any]:
        texts = [self._text(i) for i in ids]
        top: list[dict[str, float] | None] = [None]
        for row in rows:
            values, found = row.topk(body["logprobs"])
            top.append(dict(zip(map(self._text, found.tolist()), values.tolist(), strict=True)))
        own = [None, *(float(row[i]) for row, i in zip(rows, ids[1:], strict=True))]
        starts = [len("".join(texts[:n])) for n in range(len(texts))]
        return {"tokens": texts, "token_logprobs": own, "top_logprobs": top, "text_offset": starts}

    def _entries(self, ids: Sequence[int], rows: torch.Tensor, count: int) -> list[dict[str, Any]]:
        entries = []
        for row, own in zip(rows[:-1], ids[1:], strict=True):
            found = [own, *(i for i in row.topk(count).indices.tolist() if i != own)]
            ranks = (row[:, None] > row[found]).sum(dim=0) + 1
            entries.append(
                {
                    str(i): {"logprob": float(row[i]), "rank": int(rank), "decoded_token": self._text(i)}
                    for i, rank in zip(found, ranks, strict=True)
                }
            )
        return entries


def inclined_to_digits() -> LoadedModel:
    """A tiny model that likes to write digits, so that all ten are among its likeliest tokens everywhere."""
    loaded = tiny_loaded("phi")
    model, tokenizer = loaded.model, loaded.tokenizer
    variants = digit_tokens(tokenizer)
    assert isinstance(variants, list)
    head: Any = model.lm_head
    flat = [token for ids in variants for token in ids]
    with torch.no_grad():
        head.weight[flat] *= 30
        met = model(torch.tensor([tokenizer("The sea\t")["input_ids"]])).logits[0, -1, flat]
        head.bias[flat] += 40 - met
    return loaded


@contextmanager
def serving(loaded: LoadedModel, form: Form) -> Iterator[Serving]:
    """Serve the model's completions until the block ends."""
    completions = _Completions(loaded, form)

    class Handler(Handling):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            seen.bodies.append(body)
            status, answer = completions.answer(body)
            self.answer(status, json.dumps(answer).encode())

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    with served(http) as address:
        seen = Serving(f"{address}/v1")
        yield seen
