"""Endpoints that take only a part of OpenAI's protocol, and log-probabilities in every layout."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autointerp.errors import BadInput
from autointerp.llm.client import Transient
from autointerp.llm.openai.answers import read_answer
from autointerp.llm.openai.provider import OpenAIProvider
from autointerp.llm.request import Answer, Failure, Request, Response, TokenLogprob
from autointerp.study_models import Llm
from tests.llm.doubles import Reply, chat, completion, error, one_by_one, request, serve

Body = dict[str, Any]


def ask(url: str, *requests: Request) -> list[Answer | Transient | BadInput]:
    """One attempt each, one after the other, by one provider."""

    return one_by_one(OpenAIProvider(Llm(provider="openai", model="m", base_url=url, timeout=5.0)), requests)


def refusing(
    name: str, reply: Reply, other: Callable[[Body], Reply] = lambda body: chat("yes")
) -> Callable[[Body], Reply]:
    return lambda body: reply if name in body else other(body)


def as_param(name: str) -> Reply:
    return Reply(400, json.dumps({"error": {"message": "Unsupported parameter", "param": name}}).encode())


def as_validation(name: str) -> Reply:
    detail = [{"type": "extra_forbidden", "loc": ["body", name], "msg": "Extra inputs are not permitted", "input": 5}]
    return Reply(422, json.dumps({"detail": detail}).encode())


def as_text(name: str) -> Reply:
    return error(400, f"Unrecognized request argument supplied: {name}")


WHOLE = replace(request("Name it as JSON"), stop=("\n",), json_object=True, temperature=0.5)


@pytest.mark.parametrize("form", [as_param, as_validation, as_text])
@pytest.mark.parametrize("name", ["seed", "response_format", "temperature", "stop"])
def test_what_an_endpoint_does_not_take_is_left_out_from_then_on_and_said_once(
    capsys: pytest.CaptureFixture[str], form: Callable[[str], Reply], name: str
) -> None:
    with serve(behave=refusing(name, form(name))) as server:
        answers = ask(server.url, WHOLE, replace(WHOLE, sample=1))
    assert answers == [Response("yes", 11, 3)] * 2
    first, again, later = server.seen
    assert set(first) - set(again) == {name}
    assert set(later) == set(again)
    said = capsys.readouterr().err
    assert said.count(f"takes no '{name}'") == 1
    assert said.count("\n") == 1


def test_the_other_name_of_max_tokens() -> None:
    says = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    with serve(behave=refusing("max_tokens", error(400, says))) as server:
        assert ask(server.url, request(), request("b")) == [Response("yes", 11, 3)] * 2
    assert ["max_tokens" in body for body in server.seen] == [True, False, False]
    assert server.seen[1]["max_completion_tokens"] == 8


def test_of_several_parameters_in_a_message_the_first_is_meant() -> None:
    says = error(400, "'stop' is not supported with this model, unlike 'seed' and 'temperature'")
    with serve(behave=refusing("stop", says)) as server:
        assert ask(server.url, WHOLE) == [Response("yes", 11, 3)]
    assert set(server.seen[0]) - set(server.seen[1]) == {"stop"}


def test_several_at_once() -> None:
    refused = ["max_tokens", "seed", "temperature", "stop", "response_format"]

    def behave(body: Body) -> Reply:
        return next((as_param(name) for name in refused if name in body), chat("yes"))

    with serve(behave=behave) as server:
        assert ask(server.url, WHOLE, WHOLE) == [Response("yes", 11, 3)] * 2
    assert len(server.seen) == 7


def test_an_endpoint_that_refuses_everything_is_not_asked_for_ever_and_nothing_is_learnt(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def behave(body: Body) -> Reply:
        return error(400, "bad: " + " ".join(f"'{name}'" for name in body))

    with serve(behave=behave) as server:
        first, second = ask(server.url, WHOLE, WHOLE)
        once = len(server.seen) // 2
    assert isinstance(first, BadInput)
    assert isinstance(second, BadInput)
    assert once <= 9
    assert server.seen[0] == server.seen[once]
    assert not capsys.readouterr().err


def test_a_stop_text_that_the_endpoint_ignores_ends_the_answer_all_the_same() -> None:
    with serve(chat("one\ntwo", "length"), chat("one")) as server:
        assert ask(server.url, WHOLE, WHOLE) == [Response("one", 11, 3)] * 2


# --- log-probabilities of answers ---


def entry(token: str, logprob: float | None = -0.5, **more: Any) -> Body:
    top = [{"token": "other", "logprob": -2.0}, {"token": token, "logprob": logprob}]
    return {"token": token, "logprob": logprob, "bytes": list(token.encode()), "top_logprobs": top, **more}


def told(text: str, entries: object) -> Reply:
    choice = {"finish_reason": "stop", "message": {"content": text}, "logprobs": {"content": entries}}
    return Reply(body=json.dumps({"choices": [choice]}).encode())


def texts(answer: object) -> list[str]:
    assert isinstance(answer, Response), answer
    return [token.text for token in answer.logprobs]


LOGPROBS = request(top_logprobs=2)


def test_logprobs_of_a_chat() -> None:
    with serve(told("yes no", [entry("yes"), entry(" no", -1.5)])) as server:
        (answer,) = ask(server.url, LOGPROBS)
    assert (server.seen[0]["logprobs"], server.seen[0]["top_logprobs"]) == (True, 2)
    assert answer == Response(
        "yes no", None, None,
        logprobs=(TokenLogprob("yes", -0.5, (("yes", -0.5), ("other", -2.0))),
                  TokenLogprob(" no", -1.5, ((" no", -1.5), ("other", -2.0)))),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "tokens", "found"),
    [
        ("7", ["<think>", "7?", "</think>", "7", "<|im_end|>"], ["7"]),
        ('{"a": 1}', ["```", "json\n", '{"a":', " 1}", "\n```"], ['{"a":', " 1}"]),
        ("a b", ["a", " b", "\n", "c"], ["a", " b"]),
        ("", ["<|im_end|>"], []),
    ],
)
def test_only_the_tokens_of_the_text_are_kept(text: str, tokens: list[str], found: list[str]) -> None:
    with serve(told(text, [entry(token) for token in tokens])) as server:
        (answer,) = ask(server.url, LOGPROBS)
    assert texts(answer) == found


def test_a_stop_text_cuts_the_tokens_too() -> None:
    with serve(told("1\n2", [entry("1"), entry("\n"), entry("2")])) as server:
        (answer,) = ask(server.url, replace(LOGPROBS, stop=("\n",)))
    assert isinstance(answer, Response)
    assert (answer.text, texts(answer)) == ("1", ["1"])


def test_characters_that_tokens_share() -> None:
    halves = [entry("\\xe6", bytes=[0xE6]), entry("\\x97\\xa5", bytes=[0x97, 0xA5]), entry(" 7")]
    garbled = [entry("\ufffd", bytes=None), entry("", bytes=None), entry(" 7", bytes=None)]
    with serve(told("日 7", halves), told("日 7", garbled)) as server:
        whole, broken = ask(server.url, LOGPROBS, LOGPROBS)
    assert texts(whole) == ["\\xe6", "\\x97\\xa5", " 7"]
    assert texts(broken)[-1] == " 7"


@pytest.mark.parametrize(
    "logprobs",
    [None, [], [entry("ye")], [entry("no")], [entry("yes", logprob=None)], [entry("yes", top_logprobs=[])], [7], "x",
     [entry("yes", logprob=True)], [entry("yes", logprob=float("nan"))], [{**entry("yes"), "token": 3}]],
)  # fmt: skip
def test_logprobs_that_were_promised_and_are_not_there(logprobs: object) -> None:
    with serve(told("yes", logprobs), told("yes", [entry("yes")])) as server:
        bad, good = ask(server.url, LOGPROBS, LOGPROBS)
    assert isinstance(bad, Failure)
    assert (bad.finish, bad.partial) == ("no-logprobs", "yes")
    assert texts(good) == ["yes"]


@pytest.mark.parametrize(
    ("says", "asked"),
    [
        ("Requested sample logprobs of 20, which is greater than max allowed: 5", 5),
        ("Invalid value for 'top_logprobs': must be between 0 and 8", 8),
        ("top_logprobs is too large", 5),
    ],
)
def test_fewer_alternatives_where_many_are_refused(says: str, asked: int, capsys: pytest.CaptureFixture[str]) -> None:
    def behave(body: Body) -> Reply:
        return error(400, says) if body["top_logprobs"] > asked else told("yes", [entry("yes")])

    with serve(behave=behave) as server:
        answers = ask(server.url, request(top_logprobs=20), request("b", top_logprobs=20))
    assert [texts(answer) for answer in answers] == [["yes"], ["yes"]]
    assert [body["top_logprobs"] for body in server.seen] == [20, asked, asked]
    assert capsys.readouterr().err.count(f"log-probabilities of {asked} tokens at most") == 1


@pytest.mark.parametrize("many", [2, 20])
def test_log_probabilities_are_never_given_up(many: int) -> None:
    with serve(behave=refusing("logprobs", as_param("logprobs"))) as server:
        (found,) = ask(server.url, request(top_logprobs=many))
    assert isinstance(found, BadInput)
    assert "gives no log-probabilities of its answers" in str(found)
    assert len(server.seen) <= 2


# --- log-probabilities of prompts ---

PROMPT = completion("a bc", max_tokens=1, prompt_logprobs=2)
OF_PROMPT = (
    TokenLogprob("a", None),
    TokenLogprob(" b", -0.5, ((" b", -0.5), (" x", -2.0))),
    TokenLogprob("c", -3.0, (("d", -0.1), ("c", -3.0))),
)


def as_field(body: Body) -> Reply:
    """vLLM's form: a field of its own, ids as keys, the token itself first."""
    field = [
        None,
        {
            "5": {"logprob": -0.5, "rank": 1, "decoded_token": " b"},
            "6": {"logprob": -2.0, "rank": 2, "decoded_token": " x"},
        },
        {
            "9": {"logprob": -3.0, "rank": 8, "decoded_token": "c"},
            "7": {"logprob": -0.1, "rank": 1, "decoded_token": "d"},
        },
    ]
    choice = {
        "text": " e",
        "finish_reason": "length",
        **({"prompt_logprobs": field} if "prompt_logprobs" in body else {}),
    }
    usage = {"prompt_tokens": 3, "completion_tokens": 1}
    return Reply(body=json.dumps({"choices": [choice], "usage": usage}).encode())


def as_echo(body: Body) -> Reply:
    """OpenAI's old form: prompt and answer in one text, and parallel lists over both."""
    echo = body.get("echo", False)
    lists = {
        "tokens": ["a", " b", "c", " e"],
        "token_logprobs": [None, -0.5, -3.0, -1.0],
        "top_logprobs": [None, {" b": -0.5, " x": -2.0}, {"d": -0.1, "c": -3.0}, {" e": -1.0}],
        "text_offset": [0, 1, 3, 4],
    }
    choice = {"text": "a bc e" if echo else " e", "finish_reason": "length", "logprobs": lists if echo else None}
    return Reply(body=json.dumps({"choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 1}}).encode())


def test_prompt_logprobs_as_a_field_and_as_an_echo_are_the_same() -> None:
    with serve(behave=as_field) as server:
        (field,) = ask(server.url, PROMPT)
    assert server.seen[0]["prompt_logprobs"] == 2
    with serve(behave=refusing("prompt_logprobs", as_text("prompt_logprobs"), as_echo)) as server:
        (echo,) = ask(server.url, PROMPT)
    assert (server.seen[1]["echo"], server.seen[1]["logprobs"]) == (True, 2)
    assert field == echo == Response(" e", 3, 1, prompt_logprobs=OF_PROMPT)


def test_a_field_that_is_ignored_is_found_out_by_the_next_try() -> None:
    with serve(behave=as_echo) as server:
        first, second, third = ask(server.url, PROMPT, PROMPT, PROMPT)
    assert isinstance(first, Transient)
    assert first.billed
    assert second == third == Response(" e", 3, 1, prompt_logprobs=OF_PROMPT)
    assert [body.get("echo", False) for body in server.seen] == [False, True, True]


def test_prompt_and_answer_at_once() -> None:
    with serve(behave=refusing("prompt_logprobs", as_text("prompt_logprobs"), as_echo)) as server:
        (answer,) = ask(server.url, replace(PROMPT, top_logprobs=1))
    assert isinstance(answer, Response)
    assert answer.prompt_logprobs == OF_PROMPT
    assert answer.logprobs == (TokenLogprob(" e", -1.0, ((" e", -1.0),)),)


def test_an_answer_that_repeats_the_prompt_s_end_has_its_own_log_probabilities() -> None:
    body = json.loads(as_echo({"echo": True}).body)
    choice = body["choices"][0]
    choice["text"], choice["logprobs"]["tokens"][3] = "a bcc", "c"
    choice["logprobs"]["top_logprobs"][3] = {"c": -1.0}
    body["usage"]["prompt_tokens"] = None  # then the places in the text tell
    found = read_answer(body, replace(PROMPT, top_logprobs=1), echo=True)
    assert isinstance(found, Response)
    assert found.text == "c"
    assert found.prompt_logprobs == OF_PROMPT
    assert found.logprobs == (TokenLogprob("c", -1.0, (("c", -1.0),)),)


def test_an_empty_answer_after_an_echo_has_no_tokens() -> None:
    body = json.loads(as_echo({"echo": True}).body)
    choice = body["choices"][0]
    choice["text"] = "a bc"
    choice["logprobs"] = {name: values[:3] for name, values in choice["logprobs"].items()}
    found = read_answer(body, replace(PROMPT, top_logprobs=1), echo=True)
    assert found == Response("", 3, 1, prompt_logprobs=OF_PROMPT)


def test_an_endpoint_with_neither_form() -> None:
    ignored = Reply(body=b'{"choices": [{"text": " e", "finish_reason": "length", "logprobs": null}]}')
    with serve(behave=lambda body: ignored) as server:
        first, second = ask(server.url, PROMPT, PROMPT)
    assert isinstance(first, Transient)
    assert second == Failure("no log-probabilities of the prompt came back", "no-logprobs", " e")

    def behave(body: Body) -> Reply:
        return as_text("prompt_logprobs") if "prompt_logprobs" in body else as_text("echo")

    with serve(behave=behave) as server:
        (refused,) = ask(server.url, PROMPT)
    assert isinstance(refused, BadInput)
    assert "gives no log-probabilities of a prompt" in str(refused)


def test_a_prompt_with_another_number_of_tokens_than_the_endpoint_counted() -> None:
    body = json.loads(as_field({"prompt_logprobs": 2}).body)
    body["usage"]["prompt_tokens"] = 4
    with serve(as_field({"prompt_logprobs": 2}), Reply(body=json.dumps(body).encode())) as server:
        good, short = ask(server.url, PROMPT, PROMPT)
    assert isinstance(good, Response)
    assert isinstance(short, Failure)
    assert short.finish == "no-logprobs"


# --- anything may come under status 200 ---

NAMES = (
    "token logprob bytes top_logprobs content tokens token_logprobs text type 5 decoded_token prompt_tokens"
    " cached_tokens prompt_tokens_details"
).split()
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=True) | st.text(st.characters(), max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)
choices = st.fixed_dictionaries(
    {},
    optional={
        "text": json_values | st.just("a bc e"),
        "message": json_values
        | st.fixed_dictionaries({"content": st.just("yes") | json_values, "refusal": json_values}),
        "finish_reason": json_values | st.sampled_from(["stop", "length", "content_filter", "error"]),
        "logprobs": json_values,
        "prompt_logprobs": json_values | st.lists(json_values, max_size=3).map(lambda rest: [None, *rest]),
    },
)
bodies = json_values | st.fixed_dictionaries(
    {"choices": json_values | st.lists(choices, max_size=2), "usage": json_values}
)


@given(bodies, st.sampled_from([request(), LOGPROBS, PROMPT, WHOLE, completion("a bc", top_logprobs=1)]), st.booleans())
def test_no_body_at_all_breaks_the_reader(body: object, asked: Request, echo: bool) -> None:
    try:
        answer = read_answer(body, asked, echo)
    except Transient:
        return
    text = answer.text if isinstance(answer, Response) else answer.partial
    text.encode()  # no lone surrogates: the ledger could not hold them
    for count in (answer.input_tokens, answer.output_tokens, answer.cached_input_tokens):
        assert count is None or count >= 0


def test_cached_tokens_parts_and_lone_surrogates() -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}}
    parts = [
        {"type": "thinking", "thinking": "hm"},
        {"type": "text", "text": "ye"},
        {"type": "text", "text": "s\ud800"},
    ]
    body = {"choices": [{"finish_reason": "stop", "message": {"content": parts}}], "usage": usage}
    with serve(Reply(body=json.dumps(body).encode())) as server:
        assert ask(server.url, request()) == [Response("yes?", 9, 2, cached_input_tokens=4)]
