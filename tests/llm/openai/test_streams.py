"""Servers that answer in streams alone, that cut prompts without a word, and that name tokens by number."""

from __future__ import annotations

import json
from typing import Any

import pytest

from autointerp.errors import BadInput
from autointerp.llm.capabilities import Needs, known, missing
from autointerp.llm.check import check
from autointerp.llm.client import Transient
from autointerp.llm.http.events import whole_body
from autointerp.llm.http.refusals import not_billed
from autointerp.llm.open import open_provider
from autointerp.llm.openai.answers import read_answer
from autointerp.llm.openai.cutting import PromptLengths
from autointerp.llm.request import Answer, Failure, Request, Response
from autointerp.study_models import Llm
from tests.llm.doubles import Reply, Server, chat, completion, error, one_by_one, request, serve

USAGE = {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14}


def events(*chunks: object, done: bool = True) -> str:
    lines = [f"data: {chunk if isinstance(chunk, str) else json.dumps(chunk)}\n\n" for chunk in chunks]
    return ": keep-alive\n\n" + "".join(lines) + ("data: [DONE]\n\n" if done else "")


def delta(finish: str | None = None, logprobs: object = None, **fields: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": fields, "finish_reason": finish, "logprobs": logprobs}
    return {"object": "chat.completion.chunk", "choices": [choice]}


def streamed(*chunks: object, done: bool = True) -> Reply:
    return Reply(body=events(*chunks, done=done).encode(), headers={"Content-Type": "text/event-stream"})


YES = (delta(role="assistant", content=""), delta(content="y"), delta(content="es"), delta("stop"),
       {"choices": [], "usage": USAGE})  # fmt: skip


def at(server: Server, **more: Any) -> Llm:
    return Llm.model_validate({"provider": "openai", "model": "m", "base_url": server.url, "attempts": 1, **more})


def asked(server: Server, *requests: Request) -> list[Answer | Transient | BadInput]:
    return one_by_one(open_provider(at(server)), requests)


def test_a_stream_that_comes_unasked_is_read() -> None:
    with serve(streamed(*YES)) as server:
        assert asked(server, request()) == [Response("yes", 11, 3)]


@pytest.mark.parametrize(
    "says",
    ["This model only supports stream mode", "parameter.enable_stream must be set to true: stream=true is required",
     "Non-streaming requests are not supported, only streaming", "stream must be true", "Streaming is required"],
)  # fmt: skip
def test_an_endpoint_that_only_streams_is_asked_so_from_then_on(says: str, capsys: pytest.CaptureFixture[str]) -> None:
    with serve(behave=lambda body: streamed(*YES) if body.get("stream") else error(400, says)) as server:
        found = asked(server, request("a"), request("b"))
    assert found == [Response("yes", 11, 3)] * 2
    assert [body.get("stream") for body in server.seen] == [None, True, True]
    assert server.seen[1]["stream_options"] == {"include_usage": True}
    assert "answers in streams alone: they are read" in capsys.readouterr().err


def test_options_of_a_stream_may_be_refused() -> None:
    def behave(body: dict[str, Any]) -> Reply:
        if not body.get("stream"):
            return error(400, "stream must be true")
        return error(400, "Unknown parameter: stream_options") if "stream_options" in body else streamed(*YES[:-1])

    with serve(behave=behave) as server:
        assert asked(server, request()) == [Response("yes", None, None)]


def test_words_about_streams_that_ask_for_none_are_an_error() -> None:
    with serve(error(400, "The upstream provider is down")) as server:
        (found,) = asked(server, request())
    assert isinstance(found, BadInput)


def test_log_probabilities_and_thoughts_come_whole() -> None:
    def piece(token: str) -> dict[str, Any]:
        return {"token": token, "logprob": -0.1, "top_logprobs": [{"token": token, "logprob": -0.1}]}

    text = events(
        delta(reasoning_content="hm"), delta(content="a", logprobs={"content": [piece("a")]}),
        delta(content="b", logprobs={"content": [piece("b")]}), delta("stop"),
    )  # fmt: skip
    found = read_answer(whole_body(text), request(top_logprobs=1))
    assert isinstance(found, Response)
    assert [token.text for token in found.logprobs] == ["a", "b"]
    thought = read_answer(whole_body(events(delta(reasoning_content="hm"), delta("stop"))), request())
    assert isinstance(thought, Failure)
    assert thought.finish == "no-text"
    parts = [{"choices": [{"index": 0, "text": part}]} for part in (" x", "y")]
    end = {"choices": [{"index": 0, "text": "", "finish_reason": "stop"}]}
    assert read_answer(whole_body(events(*parts, end)), completion("t")) == Response(" xy", None, None)


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        (events(*YES[:3], done=False), "the endpoint's stream broke off"),
        (events("{"), "the endpoint's stream is malformed"),
        (events([1]), "the endpoint's stream is malformed"),
        (events("[" * 100_000), "the endpoint's stream is malformed"),
    ],
)
def test_a_stream_that_is_no_answer_may_pass(stream: str, reason: str) -> None:
    with pytest.raises(Transient, match=reason):
        whole_body(stream)


def test_an_error_in_a_stream_is_that_error() -> None:
    refused = {"error": {"message": "Content Exists Risk", "code": 400}}
    with serve(streamed(delta(content="a"), refused)) as server:
        (found,) = asked(server, request())
    assert found == not_billed("refused by the endpoint's content filter", "refusal")


def counted(body: dict[str, Any]) -> Reply:
    """A server with a context of 512 tokens, four characters each, that cuts what is longer."""
    characters = sum(len(message["content"]) for message in body["messages"])
    usage = {"prompt_tokens": min(characters // 4, 512), "completion_tokens": 1}
    choice = {"index": 0, "finish_reason": "stop", "message": {"content": "yes"}}
    return Reply(body=json.dumps({"choices": [choice], "usage": usage}).encode())


def test_prompts_that_are_cut_are_told_and_then_the_run_stops(capsys: pytest.CaptureFixture[str]) -> None:
    lengths = (400, 1900, 2040, 3000, 3100, 4000, 6000)
    with serve(behave=counted) as server:
        found = asked(server, *(request("x" * length) for length in lengths))
    assert all(isinstance(answer, Response) for answer in found[:6])
    assert "counts 512 tokens in prompts of 3,000, 4,000 characters" in capsys.readouterr().err
    assert isinstance(found[6], BadInput)
    assert "counts 512 tokens in prompts of 3,000, 4,000, 6,000 characters" in str(found[6])
    assert "it seems to cut long ones: raise the server's context (num_ctx in Ollama" in str(found[6])


def test_counts_that_mean_nothing_stop_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """A server that always says 11, one that says nothing, prompts of one length, and counts that grow."""
    watch = PromptLengths("here")
    for length in range(2000, 60_000, 1000):
        watch.add(length, 11)
        watch.add(length, None)
        watch.add(length, length // 4)
    same = PromptLengths("here")
    for _ in range(50):
        same.add(5000, 1300)
        same.add(5200, 1300)
    assert capsys.readouterr().err == ""


def test_tokens_by_number_are_told_apart_by_the_probe() -> None:
    def behave(body: dict[str, Any]) -> Reply:
        if "chat" not in body["path"]:
            return error(404)
        tops = [{"token": f"token_id:{n}", "logprob": -float(n)} for n in range(5)]
        content = [{"token": "token_id:0", "logprob": 0.0, "top_logprobs": tops}]
        reply = json.loads(chat("Paris.").body)
        reply["choices"][0]["logprobs"] = {"content": content}
        return Reply(body=json.dumps(reply).encode())

    with serve(behave=behave) as server:
        rows = dict(check(at(server), "x").rows)
        found = known(at(server))
    assert found is not None
    assert found.top_logprobs == 0
    assert rows["chat logprobs"].startswith("no: token ids in place of text")
    assert "it gives token ids in place of text" in (missing(Needs(top_logprobs=1), found) or "")
