"""A server on loopback that speaks OpenAI's protocol, on a model in its process: log-probabilities and `echo` included.

    python examples/echo_server.py --port 8000

It answers /v1/completions and /v1/chat/completions, and so can stand in for a hosted model wherever one is asked: in a
study (`provider = "openai"`, `base_url = "http://127.0.0.1:8000/v1"`), or in other packages. With `echo` and `logprobs`
a completion tells what the model thought of the prompt itself, which simulators after Bills et al. 2023 read and few
hosted models still offer. A chat can be held to a JSON schema (`response_format`). `GET /served` counts what was
answered. One request is worked on at a time.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import accumulate
from typing import Any, Literal

from echo_engine import MOST, Continuation, Engine, Wish
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from autointerp.errors import BadInput
from autointerp.llm.local.encode import encode
from autointerp.llm.request import Request, TokenLogprob
from autointerp.models import LoadedModel, load_model

_LEAST = -9999.0
"""Stands for a log-probability of minus infinity, which JSON has no word for."""


class _Body(BaseModel):
    """What both kinds of request have. What is not named is refused, never ignored."""

    model_config = ConfigDict(extra="forbid")

    model: str
    """Any name: there is one model."""
    temperature: float = Field(default=1.0, ge=0)
    n: int = Field(default=1, ge=1, le=128)
    stop: str | list[str] | None = None
    seed: int | None = Field(default=None, ge=0)

    def wish(self, tokens: int, alternatives: int | None) -> Wish:
        """The same for the engine."""
        stops = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return Wish(tokens, self.temperature, self.n, tuple(filter(None, stops)), self.seed, alternatives)


class Completion(_Body):
    """Texts to be continued."""

    prompt: str | list[str]
    max_tokens: int = Field(default=16, ge=0)
    logprobs: int | None = Field(default=None, ge=0, le=MOST)
    echo: bool = False


class Message(BaseModel):
    """One turn of a chat."""

    role: str
    content: str


class Named(BaseModel):
    """A schema with what OpenAI wants said of it."""

    json_schema: dict[str, Any] = Field(alias="schema")


class Form(BaseModel):
    """The form that an answer is to have: text, any JSON object, or what follows a JSON schema."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: Named | None = None

    @property
    def schema_text(self) -> str:
        """The schema as text; '' for none."""
        if self.type == "json_object":
            return json.dumps({"type": "object"})
        return json.dumps(self.json_schema.json_schema) if self.json_schema is not None else ""


class Chat(_Body):
    """A chat to be answered."""

    messages: list[Message] = Field(min_length=1)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    logprobs: bool = False
    top_logprobs: int = Field(default=0, ge=0, le=MOST)
    response_format: Form = Form(type="text")


@dataclass(frozen=True)
class Served:
    """What was answered since the server started."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Service:
    """Both kinds of request, from the body that came to the body that goes back."""

    def __init__(self, loaded: LoadedModel) -> None:
        """Raises BadInput for a model that can't be served."""
        # Not a lock: torch keeps threads for every thread that computes, and those would be in each other's way.
        self._engine, self._worker = Engine(loaded), ThreadPoolExecutor(max_workers=1)
        self.identity = self._engine.identity
        """Names the weights."""
        self.served = Served()
        """So far."""

    def close(self) -> None:
        """Answer none of the requests that still wait."""
        self._worker.shutdown(wait=False, cancel_futures=True)

    def complete(self, given: object) -> dict[str, Any]:
        """Answer /v1/completions. Raises ValidationError or BadInput for a body that can't be answered."""
        body = Completion.model_validate(given)
        texts = [body.prompt] if isinstance(body.prompt, str) else body.prompt
        prompts: list[list[int]] = [self._engine.tokenizer(text)["input_ids"] for text in texts]
        for prompt in prompts:
            self._engine.room(prompt, body.max_tokens)
        return self._worker.submit(self._completed, body, texts, prompts).result()

    def _completed(self, body: Completion, texts: Sequence[str], prompts: Sequence[list[int]]) -> dict[str, Any]:
        echoed = body.echo and body.logprobs is not None
        before = [self._engine.read(text, body.logprobs or 0) if echoed else [] for text in texts]
        rows = self._engine.write(prompts, body.wish(body.max_tokens, body.logprobs))
        choices = [
            {
                "index": index,
                "text": (texts[index // body.n] if body.echo else "") + row.text,
                "logprobs": None
                if body.logprobs is None
                else _lists([*before[index // body.n], *self._engine.spelled(row)]),
                "finish_reason": row.finish,
            }
            for index, row in enumerate(rows)
        ]
        return self._answer("text_completion", body, choices, prompts, rows)

    def chat(self, given: object) -> dict[str, Any]:
        """Answer /v1/chat/completions. Raises as `complete` does."""
        body = Chat.model_validate(given)
        turns = tuple((message.role, message.content) for message in body.messages)
        prompt = encode(Request(turns, body.model, 1, body.temperature, 0), self._engine.tokenizer)
        room = self._engine.room(prompt, body.max_completion_tokens or body.max_tokens)
        return self._worker.submit(self._chatted, body, prompt, room).result()

    def _chatted(self, body: Chat, prompt: list[int], room: int) -> dict[str, Any]:
        wish = body.wish(room, body.top_logprobs if body.logprobs else None)
        rows = self._engine.write([prompt], replace(wish, schema=body.response_format.schema_text))
        choices = [
            {
                "index": index,
                "message": {"role": "assistant", "content": row.text},
                "logprobs": {"content": list(map(_entry, self._engine.spelled(row)))} if body.logprobs else None,
                "finish_reason": row.finish,
            }
            for index, row in enumerate(rows)
        ]
        return self._answer("chat.completion", body, choices, [prompt], rows)

    def _answer(
        self,
        kind: str,
        body: _Body,
        choices: Sequence[dict[str, Any]],
        prompts: Sequence[Sequence[int]],
        rows: Sequence[Continuation],
    ) -> dict[str, Any]:
        """The whole body, counted."""
        read, wrote = sum(len(prompt) for prompt in prompts), sum(row.count for row in rows)
        done = self.served
        self.served = Served(done.requests + 1, done.prompt_tokens + read, done.completion_tokens + wrote)
        usage = {"prompt_tokens": read, "completion_tokens": wrote, "total_tokens": read + wrote}
        name = f"echo-{self.served.requests}"
        return {"id": name, "object": kind, "created": 0, "model": body.model, "choices": choices, "usage": usage}


def _lists(tokens: Sequence[TokenLogprob]) -> dict[str, Any]:
    """OpenAI's old form: parallel lists. Of alternatives that are spelled alike the likeliest is kept."""
    lengths = [len(token.text) for token in tokens]
    return {
        "tokens": [token.text for token in tokens],
        "token_logprobs": [None if token.logprob is None else max(token.logprob, _LEAST) for token in tokens],
        "top_logprobs": [None if token.logprob is None else dict(reversed(token.top)) for token in tokens],
        "text_offset": [end - length for end, length in zip(accumulate(lengths), lengths, strict=True)],
    }


def _entry(token: TokenLogprob) -> dict[str, Any]:
    """A chat's form: an object per token, and one per alternative."""

    def one(text: str, logprob: float | None) -> dict[str, Any]:
        value = _LEAST if logprob is None else max(logprob, _LEAST)
        return {"token": text, "logprob": value, "bytes": list(text.encode())}

    return {**one(token.text, token.logprob), "top_logprobs": [one(*alternative) for alternative in token.top]}


class _Server(ThreadingHTTPServer):
    """Ends its service when it is closed."""

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler], service: Service) -> None:
        self._service = service  # before the address is taken: where that fails, the server is closed
        super().__init__(address, handler)

    def server_close(self) -> None:
        self._service.close()
        super().server_close()


def open_server(loaded: LoadedModel, host: str, port: int) -> ThreadingHTTPServer:
    """A server at an address (port 0: any free one); it answers once `serve_forever` is called."""
    service = Service(loaded)
    routes: dict[str, Callable[[object], dict[str, Any]]] = {
        "/v1/completions": service.complete,
        "/v1/chat/completions": service.chat,
    }

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            """Requests are counted, not listed."""

        def do_GET(self) -> None:
            if self.path == "/v1/models":
                self._send(200, {"object": "list", "data": [{"id": service.identity, "object": "model"}]})
            elif self.path == "/served":
                self._send(200, asdict(service.served))
            else:
                self._refuse(404, f"no such path: {self.path}")

        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.path not in routes:
                self._refuse(404, f"no such path: {self.path}")
                return
            try:
                answer = routes[self.path](json.loads(sent))
            except ValidationError as error:
                first = error.errors()[0]
                param = str(first["loc"][0]) if first["loc"] else ""
                unknown = f"Unrecognized request argument supplied: {param}"
                self._refuse(400, unknown if first["type"] == "extra_forbidden" else f"{param}: {first['msg']}", param)
            except (BadInput, json.JSONDecodeError) as error:
                self._refuse(400, str(error))
            else:
                self._send(200, answer)

        def _refuse(self, status: int, message: str, param: str | None = None) -> None:
            error = {"message": message, "type": "invalid_request_error", "param": param, "code": None}
            self._send(status, {"error": error})

        def _send(self, status: int, body: dict[str, Any]) -> None:
            data = json.dumps(body, allow_nan=False).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    return _Server((host, port), Handler, service)


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="builtin", help="builtin, a folder, a GGUF file or a hub id (%(default)s)")
    parser.add_argument("--host", default="127.0.0.1", help="(%(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="0: any free one (%(default)s)")
    arguments = parser.parse_args()
    try:
        server = open_server(load_model(arguments.model), arguments.host, arguments.port)
    except (BadInput, OSError) as error:
        parser.exit(2, f"echo_server: {error}\n")
    print(f"http://{arguments.host}:{server.server_port}/v1", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()


if __name__ == "__main__":
    main()
