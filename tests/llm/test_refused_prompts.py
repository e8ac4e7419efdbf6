"""What vendors send when they refuse one prompt, or a form of asking: in the bodies that users have reported."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from autointerp.errors import BadInput
from autointerp.llm.client import Transient
from autointerp.llm.http.refusals import MOST_IN_A_ROW, not_billed
from autointerp.llm.online.slots import Limited
from autointerp.llm.open import open_provider
from autointerp.llm.questions import read_each
from autointerp.llm.request import Answer, Failure, Question, Request, Response, TokenLogprob, Unreadable
from autointerp.records import Unscored
from autointerp.study_models import Llm
from tests.llm.doubles import Counter, EchoAsker, Reply, Server, chat, error, one_by_one, request, serve
from tests.llm.test_endpoint_faults import PROVIDERS, ask, fault

FILTERED = not_billed("refused by the endpoint's content filter", "refusal")
BLOCKED = Failure("refused by the endpoint's content filter", "refusal")
"""What was written before it was filtered may be billed."""
TOO_LONG = not_billed("the prompt does not fit into the model's context", "too-long")
Body = dict[str, Any]


def in_turn(server: Server, *requests: Request, provider: str = "openai") -> list[Answer | Transient | BadInput]:
    """One attempt for each, one after the other, by one provider."""
    url = server.url if provider == "openai" else server.url.removesuffix("/v1")
    return one_by_one(
        open_provider(Llm.model_validate({"provider": provider, "model": "m", "base_url": url})), requests
    )


def body(status: int, content: object) -> Reply:
    return Reply(status, json.dumps(content).encode())


@pytest.mark.parametrize("provider", list(PROVIDERS))
@pytest.mark.parametrize(
    ("reply", "comes_to"),
    [
        (body(400, {"error": {"message": "Content Exists Risk", "type": "invalid_request_error"}}), FILTERED),
        (error(400, "Invalid prompt: it was flagged", "invalid_prompt"), FILTERED),
        (error(400, "Input data may contain inappropriate content.", "data_inspection_failed"), FILTERED),
        (error(400, "Output blocked by content filtering policy"), BLOCKED),
        (error(400, "The response was filtered", "content_filter"), BLOCKED),
        (body(422, {"error": "inputs tokens + max_new_tokens must be <= 4096. Given: 5000"}), TOO_LONG),
        (body(400, [{"error": {"code": 400, "message": "The input token count (9) exceeds the maximum"}}]), TOO_LONG),
    ],
)
def test_a_refusal_of_one_prompt_is_that_prompts_failure(provider: str, reply: Reply, comes_to: Failure) -> None:
    with serve(reply) as server:
        assert ask(server, request(), provider=provider) == [comes_to]


@pytest.mark.parametrize("provider", list(PROVIDERS))
def test_what_is_refused_in_a_form_that_was_taken_is_refused_for_its_prompt(provider: str) -> None:
    """For no reason that is known; in a form that was never taken, it is the form."""
    taken, refused = PROVIDERS[provider], error(400, "We can't do that")
    with serve(taken, refused, taken) as server:
        first, second, third = in_turn(server, *(request(str(n)) for n in range(3)), provider=provider)
    assert isinstance(first, Response)
    assert second == not_billed("the endpoint refused the prompt (400)", "refusal", "We can't do that")
    assert isinstance(third, Response)
    with serve(taken, refused) as server:
        _, other = in_turn(server, request("0"), request("1", max_tokens=9), provider=provider)
    assert isinstance(other, BadInput)
    assert "refuses the request (400: We can't do that)" in str(other)


def test_words_that_name_a_parameter_do_not_make_a_refused_prompt_a_matter_of_form() -> None:
    """ "stop" is a parameter, and a word; the others were taken with it, before or just then."""
    words = "We have to stop here, whatever the temperature"

    def behave(asked: Body) -> Reply:
        return error(400, words) if asked["messages"][0]["content"] == "bad" else chat("yes")

    asked = [request(text, stop=("x",)) for text in ("good", "bad", "fine")]
    with serve(behave=behave) as server:
        good, bad, fine = in_turn(server, *asked)
    assert bad == not_billed(
        "the endpoint refused the prompt (400)", "refusal", "We have to stop here, whatever the temperature"
    )
    assert isinstance(good, Response)
    assert isinstance(fine, Response)
    assert ["stop" in sent for sent in server.seen] == [True] * 3
    with serve(behave=behave) as server:
        bad, good = in_turn(server, asked[1], asked[0])
    assert isinstance(bad, BadInput), "nothing was taken yet, and nothing is under way"
    with serve(behave=behave) as server:
        found = ask(server, *asked)
    assert [type(one) for one in found] == [Response, Failure, Response]


def test_the_first_refusal_waits_for_those_that_are_under_way() -> None:
    """All go out together, and the one that is refused is answered first."""
    answered = threading.Event()

    def behave(asked: Body) -> Reply:
        if asked["messages"][0]["content"] == "bad":
            return error(422, "no")
        answered.wait(timeout=0.3)
        return chat("yes")

    with serve(behave=behave) as server:
        bad, good, fine = ask(server, request("bad"), request("good"), request("fine"))
    assert bad == not_billed("the endpoint refused the prompt (422)", "refusal", "no")
    assert isinstance(good, Response)
    assert isinstance(fine, Response)
    with serve(error(422, "no"), error(422, "no")) as server:
        both = ask(server, request("bad"), request("worse"))
    assert all(isinstance(found, BadInput) for found in both), "nothing is taken: it is the form"


@pytest.mark.parametrize("taken", [True, False])
def test_a_refused_request_keeps_no_slot_from_those_that_it_waits_for(taken: bool) -> None:
    """One slot, and the first in line is refused: the others come after it, whatever becomes of them."""

    def behave(asked: Body) -> Reply:
        good = taken and asked["messages"][0]["content"] == "2"
        return chat("yes") if good else error(400, "no")

    async def go(url: str) -> list[Answer | BaseException]:
        client = open_provider(Llm.model_validate({"provider": "openai", "model": "m", "base_url": url}))
        one = Limited(client, 1, client.takes_turns)
        asked = (one.complete(request(str(number))) for number in range(4))
        try:
            return list(await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 20))
        finally:
            await client.aclose()

    with serve(behave=behave) as server:
        found = asyncio.run(go(server.url))
    assert len(server.seen) == 4
    if taken:
        assert [type(one) for one in found] == [Failure, Failure, Response, Failure]
    else:
        assert all(isinstance(one, BadInput) for one in found)


def test_refusal_after_refusal_ends_the_run() -> None:
    script = [chat("yes"), *[error(400, "not today")] * MOST_IN_A_ROW]
    with serve(*script) as server:
        asked = [request(str(n)) for n in range(1 + MOST_IN_A_ROW)]
        answers = in_turn(server, *asked)
    assert all(isinstance(answer, Failure) for answer in answers[1:-1])
    assert isinstance(answers[-1], BadInput)
    assert "refuses one prompt after the other (400: not today)" in str(answers[-1])


def test_other_prompts_between_them_keep_it_going() -> None:
    once = [*[error(400, "not today")] * (MOST_IN_A_ROW - 1), chat("yes")]
    with serve(chat("yes"), *once, *once) as server:
        answers = in_turn(server, *(request(str(n)) for n in range(1 + 2 * MOST_IN_A_ROW)))
    assert sum(isinstance(answer, Failure) for answer in answers) == 2 * (MOST_IN_A_ROW - 1)


LIKELY = request("What?", top_logprobs=5)
WITH_SEED = request("What?")


@pytest.mark.parametrize(
    ("reply", "asked", "gone"),
    [
        (body(422, {"message": {"detail": [{"loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]}}),
         WITH_SEED, "seed"),
        (body(400, {"error": {"message": "Provider returned error", "code": 400, "metadata": {
            "raw": '{"error": {"message": "Unsupported parameter: seed", "param": "seed"}}'}}}), WITH_SEED, "seed"),
        (body(500, {"error": {"message": "litellm.UnsupportedParamsError: m does not support parameters: ['seed']"}}),
         WITH_SEED, "seed"),
        (body(403, {"error": {"message": "You are not allowed to use seed with this model"
                              ": unsupported parameter"}}), WITH_SEED, "seed"),
    ],
)  # fmt: skip
def test_a_refused_parameter_is_found_wherever_it_is_named(reply: Reply, asked: Request, gone: str) -> None:
    with serve(behave=lambda sent: reply if gone in sent else chat("yes")) as server:
        (answer,) = ask(server, asked)
    assert isinstance(answer, Response)
    assert [gone in sent for sent in server.seen] == [True, False]


def test_a_reasoning_model_that_gives_no_log_probabilities_says_so_under_403() -> None:
    """OpenAI's words."""
    with serve(error(403, "You are not allowed to request logprobs from this model")) as server:
        (found,) = ask(server, LIKELY)
    assert isinstance(found, BadInput)
    assert "gives no log-probabilities of its answers" in str(found)


def test_another_403_shows_the_endpoints_own_words() -> None:
    where = "Country, region, or territory not supported"
    with serve(error(403, where, "unsupported_country_region_territory")) as server:
        (found,) = ask(server, request())
    assert isinstance(found, BadInput)
    assert f"refuses to answer (403: {where})" in str(found)


@pytest.mark.parametrize("provider", list(PROVIDERS))
@pytest.mark.parametrize(
    ("error_under_200", "says"),
    [
        ({"error": {"code": 402, "message": "Insufficient credits"}}, "out of credit (402)"),
        ({"error": {"code": 400, "message": "no such model"}}, "refuses the request (400: no such model)"),
        ({"error": {"code": 429, "message": "slow down"}}, "the endpoint answered 429"),
        ({"error": {"code": "server_error", "message": "oops"}}, "the endpoint answered 500"),
        ({"error": "overloaded"}, "the endpoint answered 500"),
    ],
)
def test_an_error_under_status_200_counts_as_its_code(provider: str, error_under_200: Body, says: str) -> None:
    with serve(body(200, error_under_200)) as server:
        (found,) = ask(server, request(), provider=provider)
    assert says in (found.reason if isinstance(found, Transient) else str(found))


def test_json_that_the_server_found_invalid_is_asked_again() -> None:
    """Groq's code; another draw may be valid."""
    refused = {
        "error": {"message": "Failed to generate JSON", "code": "json_validate_failed", "failed_generation": "{1"}
    }
    with serve(body(400, refused)) as server:
        (found,) = ask(server, request(json_object=True))
    assert found == Failure("the endpoint found its answer to be no valid JSON", "unreadable", "{1")
    assert isinstance(found, Failure)
    answers: Iterator[Answer] = iter([found, Response("{}", 1, 1)])
    asker = EchoAsker(lambda asked: next(answers), reasks=1)
    question: Question[str | Unscored] = Question(request(), lambda response: response.text)
    assert list(read_each(asker, [question], Counter())) == [(0, "{}")]


SYSTEM = replace(request(), messages=(("system", "Be brief."), ("user", "What?"), ("assistant", "A"), ("user", "And?")))


@pytest.mark.parametrize(
    "reply",
    [
        error(400, "System role not supported"),
        body(500, {"error": {"message": "Jinja Exception: System role not supported", "type": "server_error"}}),
        error(400, "invalid role: system"),
    ],
)
def test_what_a_system_message_says_begins_the_first_turn_where_there_is_no_such_role(
    reply: Reply, capsys: pytest.CaptureFixture[str]
) -> None:
    def behave(sent: Body) -> Reply:
        return reply if sent["messages"][0]["role"] == "system" else chat("yes")

    with serve(behave=behave) as server:
        answers = in_turn(server, SYSTEM, replace(SYSTEM, sample=1))
    assert all(isinstance(answer, Response) for answer in answers)
    assert len(server.seen) == 3, "the second request is sent as the first was taken"
    assert server.seen[-1]["messages"] == [
        {"role": "user", "content": "Be brief.\n\nWhat?"},
        {"role": "assistant", "content": "A"},
        {"role": "user", "content": "And?"},
    ]
    assert capsys.readouterr().err.count("knows no system role") == 1


def test_an_answer_that_came_as_thought_alone_names_where_it_is() -> None:
    with serve(chat(None, reasoning_content="Hm."), chat(None, "length", reasoning_content="Hm, let me")) as server:
        whole, cut = in_turn(server, request("0"), request("1"))
    assert (whole.reason, whole.finish) == ("no text came, only `reasoning_content`", "no-text")  # type: ignore[union-attr]
    assert cut.reason == "the answer was cut at max_tokens, while the model reasoned"  # type: ignore[union-attr]


def said(text: str, top: tuple[TokenLogprob, ...] = ()) -> Response | Unreadable:
    """What a question's reader is given, of a model that answers `text`."""
    asker = EchoAsker(lambda asked: Response(text, 1, 1, logprobs=top))
    seen: list[Response] = []

    def read(response: Response) -> str:
        seen.append(response)
        return response.text

    list(read_each(asker, [Question(request(), read)], Counter()))
    return seen[0]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<think>\nlong\n</think>\n\nFrench words", "French words"),
        ("long, never opened\n</think>French words", "French words"),
        ("<think></think>\n\n{\"a\": 1}", '{"a": 1}'),
        ("<think>a</think>b<think>c</think> French words", "French words"),
        ("<think>never ends", ""),
        ("the tag \"</think>\" itself", "the tag \"</think>\" itself"),
        (" plain ", " plain "),
    ],
)  # fmt: skip
def test_what_stands_before_the_end_of_the_thoughts_is_no_answer(text: str, answer: str) -> None:
    found = said(text)
    assert isinstance(found, Response)
    assert found.text == answer


def test_log_probabilities_are_those_of_the_answer() -> None:
    pieces = ("<think>", "7", "</think>", "\n\n4", "2")
    tokens = tuple(TokenLogprob(piece, -float(n), ((piece, -float(n)),)) for n, piece in enumerate(pieces))
    found = said("".join(pieces), tokens)
    assert isinstance(found, Response)
    assert found.text == "42"
    assert [(token.text, token.logprob) for token in found.logprobs] == [("4", -3.0), ("2", -4.0)]


def test_a_completion_may_hold_any_mark() -> None:
    asker = EchoAsker(lambda asked: Response("a </think>\nb", 1, 1))
    asked = replace(request(), messages=(("", "Go on:"),))
    question: Question[str | Unscored] = Question(asked, lambda response: response.text)
    assert list(read_each(asker, [question], Counter())) == [(0, "a </think>\nb")]


def test_a_failing_endpoint_is_still_one_that_may_pass() -> None:
    with serve(error(500, "the model does not support that right now")) as server:
        assert fault(server, "openai").reason == "the endpoint answered 500"
