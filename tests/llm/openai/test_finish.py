"""How an answer ended, by what servers say about it: only a whole one may be kept as good."""

from __future__ import annotations

from typing import Any

import pytest

from autointerp.llm.client import Transient
from autointerp.llm.openai.answers import read_answer, usage
from autointerp.llm.request import Failure, Response
from tests.llm.doubles import completion, request

_AT_LIMIT = "the answer was cut at max_tokens"


def body(text: str | None, **choice: Any) -> dict[str, Any]:
    counts = {"prompt_tokens": 11, "completion_tokens": choice.pop("written", 3)}
    return {"choices": [{"message": {"content": text}, **choice}], "usage": counts}


@pytest.mark.parametrize("finish", ["stop", "STOP", "eos", "eos_token", "stop_sequence", "end_turn"])
def test_a_whole_answer_by_any_name(finish: str) -> None:
    assert read_answer(body("yes", finish_reason=finish), request()) == Response("yes", 11, 3)


@pytest.mark.parametrize(
    ("finish", "reason"),
    [
        ("length", _AT_LIMIT),
        ("max_tokens", _AT_LIMIT),
        ("MAX_TOKENS", _AT_LIMIT),
        ("max_length", _AT_LIMIT),
        ("model_length", "the answer was cut at the end of the model's context"),
    ],
)
def test_a_cut_answer_by_any_name(finish: str, reason: str) -> None:
    assert read_answer(body("ye", finish_reason=finish), request()) == Failure(reason, "length", "ye", 11, 3)
    stopped = request(stop=("\n",))  # a stop text that the server ignored had ended it before
    assert read_answer(body("yes\nno", finish_reason=finish), stopped) == Response("yes", 11, 3)


@pytest.mark.parametrize("finish", ["content_filter", "content_filtered", "SAFETY", "refusal"])
def test_a_filtered_answer_by_any_name(finish: str) -> None:
    found = read_answer(body("ye", finish_reason=finish), request())
    assert isinstance(found, Failure)
    assert (found.finish, found.input_tokens) == ("refusal", 11)


@pytest.mark.parametrize(
    "finish", ["error", "abort", "insufficient_system_resource", "cancelled", "tool_calls", "what?", 7, ["stop"], False]
)
def test_an_answer_that_ended_in_another_way_is_asked_for_again(finish: object) -> None:
    with pytest.raises(Transient, match="broke off"):
        read_answer(body("half an ans", finish_reason=finish), request())


@pytest.mark.parametrize("choice", [{}, {"finish_reason": None}, {"finish_reason": ""}])
def test_where_nothing_is_said_the_number_of_tokens_tells(choice: dict[str, Any]) -> None:
    asked = request(max_tokens=8)
    for written in (7, None):
        assert read_answer(body("yes", **choice, written=written), asked) == Response("yes", 11, written)
    for written in (8, 9):
        cut = Failure(_AT_LIMIT, "length", "yes", 11, written)
        assert read_answer(body("yes", **choice, written=written), asked) == cut


def test_a_prompt_s_log_probabilities_are_whole_however_the_answer_ended() -> None:
    asked = completion("a b", max_tokens=1, prompt_logprobs=1)
    own = {"7": {"logprob": -1.0, "rank": 1, "decoded_token": " b"}}
    for finish in ("length", "max_tokens", None):
        choice = {"text": " c", "finish_reason": finish, "prompt_logprobs": [None, own]}
        found = read_answer({"choices": [choice], "usage": {"prompt_tokens": 2, "completion_tokens": 1}}, asked)
        assert isinstance(found, Response), finish


@pytest.mark.parametrize(
    ("counts", "output"),
    [
        ({"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13}, 3),
        ({"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 1013}, 1003),
        ({"prompt_tokens": 10, "total_tokens": 1013}, 1003),
        ({"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 5}, 3),
        ({"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": "1013"}, 3),
        ({"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 1013.0}, 3),
        ({"prompt_tokens": None, "completion_tokens": 3, "total_tokens": 1013}, 3),
        ({"prompt_tokens": 10, "completion_tokens": None, "total_tokens": None}, None),
    ],
)
def test_a_hidden_chain_of_thought_is_output_too(counts: dict[str, Any], output: int | None) -> None:
    assert usage({"usage": counts})["output_tokens"] == output
