from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from autointerp.errors import BadInput
from autointerp.llm.anthropic.messages import read_message
from autointerp.llm.anthropic.provider import AnthropicProvider
from autointerp.llm.budget.account import Usage
from autointerp.llm.client import Provider, Transient
from autointerp.llm.ledger.ledger import open_ledger
from autointerp.llm.open import check_llm, open_asker, open_provider
from autointerp.llm.questions import ask_all
from autointerp.llm.request import Answer, Failure, Request, Response
from autointerp.study_models import Llm
from tests.llm.doubles import Counter, Reply, Server, completion, error, message, request, serve

KEY = "sk-ant-very-secret-0123456789"
CACHED = {"type": "ephemeral"}


def llm_at(server: Server, **more: object) -> Llm:
    url = server.url.removesuffix("/v1")
    return Llm.model_validate(
        {
            "provider": "anthropic",
            "model": "m",
            "base_url": url,
            "attempts": 3,
            "timeout": 5.0,
            "concurrency": 1,
            **more,
        }
    )


def ask(server: Server, path: Path, *requests: Request, **more: object) -> list[Answer]:
    with (
        open_ledger(path / "ledger.sqlite") as ledger,
        open_asker(llm_at(server, **more), ledger, Usage(), "explain") as asker,
    ):
        return ask_all(asker, requests, Counter())


def test_a_chat_with_its_shared_beginning_marked_for_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    chat = (("system", "Be brief"), ("user", "1+1"), ("assistant", "2"), ("user", "2+2"))
    asked = Request(chat, "m", 8, 0.5, 3, ("\n", "END"), json_object=True)
    with serve(message("4")) as server:
        assert ask(server, tmp_path, asked, api_key_env="MY_KEY") == [Response("4", 11, 3)]
    (seen,) = server.seen
    assert seen["path"] == "/v1/messages"
    assert seen["authorization"] == f"Bearer {KEY}"
    assert seen["system"] == [{"type": "text", "text": "Be brief"}]
    assert seen["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "1+1"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "2", "cache_control": CACHED}]},
        {"role": "user", "content": [{"type": "text", "text": "2+2"}]},
    ]
    assert (seen["max_tokens"], seen["temperature"], seen["stop_sequences"]) == (8, 0.5, ["END"])
    assert not {"seed", "stop", "response_format"} & set(seen)


@pytest.mark.parametrize(("chat", "marked"), [
    ((("system", "a"), ("user", "b")), ["a"]),
    ((("user", "b"),), []),
])  # fmt: skip
def test_the_mark_is_on_the_last_block_before_the_question(
    tmp_path: Path, chat: tuple[tuple[str, str], ...], marked: list[str]
) -> None:
    with serve(message("yes")) as server:
        ask(server, tmp_path, Request(chat, "m", 8, 0.0, 0))
    body = server.seen[0]
    blocks = [*body.get("system", []), *(block for turn in body["messages"] for block in turn["content"])]
    assert [block["text"] for block in blocks if "cache_control" in block] == marked


def test_tokens_of_the_cache_count_as_prompt_tokens(tmp_path: Path) -> None:
    reply = message("yes", cache_creation_input_tokens=100, cache_read_input_tokens=1000)
    with serve(reply) as server:
        assert ask(server, tmp_path, request()) == [
            Response("yes", 1111, 3, cached_input_tokens=1000, written_input_tokens=100)
        ]


@pytest.mark.parametrize(
    ("reply", "failure"),
    [
        (message("I thi", "max_tokens"), Failure("the answer was cut at max_tokens", "length", "I thi", 11, 3)),
        (message(None, "refusal"), Failure("the model refused", "refusal", "", 11, 3)),
        (
            message("x", "model_context_window_exceeded"),
            Failure("the prompt does not fit into the model's context", "too-long", "x", 11, 3),
        ),
    ],
)
def test_cut_and_refused_answers_are_kept(tmp_path: Path, reply: Reply, failure: Failure) -> None:
    with serve(reply) as server:
        assert ask(server, tmp_path, request()) == [failure]


def test_a_stop_text_that_the_api_does_not_take_cuts_the_answer_all_the_same(tmp_path: Path) -> None:
    with serve(message("one\ntwo", "max_tokens"), message("one", "stop_sequence")) as server:
        asked = [request("a", stop=("\n",)), request("b", stop=("\n",))]
        assert ask(server, tmp_path, *asked) == [Response("one", 11, 3)] * 2
    assert "stop_sequences" not in server.seen[0]


@pytest.mark.parametrize(
    "body",
    ["null", "[]", '{"content": null, "stop_reason": "end_turn"}', '{"content": [], "stop_reason": null}',
     '{"content": "yes", "stop_reason": "end_turn"}', '{"content": [], "stop_reason": "pause_turn"}'],
)  # fmt: skip
def test_a_body_that_is_no_message_is_tried_again(tmp_path: Path, body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autointerp.llm.online.retrying._BACK_OFF", lambda state: 0.0)
    with serve(Reply(body=body.encode()), message("yes")) as server:
        assert ask(server, tmp_path, request()) == [Response("yes", 11, 3)]


def test_other_blocks_than_text_and_odd_counts_are_passed_over() -> None:
    content = [{"type": "thinking", "thinking": "hm"}, 7, {"type": "text", "text": "ye"}, {"type": "text", "text": "s"}]
    body = {"content": content, "stop_reason": "end_turn", "usage": {"input_tokens": -1, "output_tokens": True}}
    assert read_message(body, request()) == Response("yes", None, None)
    assert read_message({**body, "usage": [1]}, request()) == Response("yes", None, None)


def test_a_model_that_takes_no_temperature(capsys: pytest.CaptureFixture[str]) -> None:
    def behave(body: dict[str, object]) -> Reply:
        return error(400, "temperature is not supported by this model") if "temperature" in body else message("yes")

    with serve(behave=behave) as server:
        client = open_provider(llm_at(server))

        async def one_after_the_other() -> list[Answer]:
            try:
                return [await client.complete(request(text)) for text in "ab"]
            finally:
                await client.aclose()

        assert asyncio.run(one_after_the_other()) == [Response("yes", 11, 3)] * 2
    assert ["temperature" in body for body in server.seen] == [True, False, False]
    assert capsys.readouterr().err.count("takes no 'temperature'") == 1


def test_a_refusal_without_temperature_teaches_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serve(behave=lambda body: error(400, "temperature or not")) as server, pytest.raises(BadInput):
        ask(server, tmp_path, request())
    assert len(server.seen) == 2
    assert not capsys.readouterr().err


@pytest.mark.parametrize("asked", [completion("And so"), request(top_logprobs=5), completion("x", prompt_logprobs=1)])
def test_what_the_api_does_not_have_is_refused_before_anything_is_sent(tmp_path: Path, asked: Request) -> None:
    with serve() as server, pytest.raises(BadInput, match="Anthropic's API"):
        ask(server, tmp_path, asked)
    assert not server.seen


def test_overload_and_wrong_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autointerp.llm.online.retrying._BACK_OFF", lambda state: 0.0)
    monkeypatch.setenv("MY_KEY", KEY)
    overloaded = Reply(529, json.dumps({"type": "error", "error": {"type": "overloaded_error"}}).encode())
    with serve(overloaded, message("yes")) as server:
        assert ask(server, tmp_path, request()) == [Response("yes", 11, 3)]
    with serve(error(401, f"invalid x-api-key {KEY}")) as server, pytest.raises(BadInput) as caught:
        ask(server, tmp_path, request("b"), api_key_env="MY_KEY")
    assert "refuses the key (401): check $MY_KEY" in str(caught.value)


def test_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-somebody-else")
    with pytest.raises(BadInput, match=r"\$ANTHROPIC_API_KEY is not set"):
        check_llm(Llm(provider="anthropic", model="m"))
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.delenv("ANTHROPIC_BASE_URL", raising=False)
    provider = AnthropicProvider(Llm(provider="anthropic", model="m"))
    assert provider.identity == "anthropic https://api.anthropic.com"
    assert isinstance(provider, Provider)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "two\nlines")
    with pytest.raises(BadInput, match="holds a character that no key has"):
        check_llm(Llm(provider="anthropic", model="m"))


def test_a_key_meant_for_anthropic_is_not_sent_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", KEY)
    with serve(message("yes")) as server:
        ask(server, tmp_path, request())
    assert not [value for value in server.headers[0].values() if KEY in value]


def test_an_answer_that_breaks_off_is_transient() -> None:
    with pytest.raises(Transient, match="broke off"):
        read_message({"content": [], "stop_reason": "tool_use"}, request())
