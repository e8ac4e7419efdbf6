"""What a request may ask of its answer: a JSON schema, in whatever form an endpoint takes, or its beginning alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from autointerp.llm.answers.json import YES_NO, answer_object
from autointerp.llm.request import Failure, Response
from tests.llm.doubles import Reply, chat, error, request, serve
from tests.llm.openai.test_forms import Body, as_param, ask

SCHEMA = json.loads(answer_object({"a": YES_NO}))
HELD = replace(request("Name it as JSON"), json_object=True, schema=answer_object({"a": YES_NO}))


@pytest.mark.parametrize(
    "says",
    [
        lambda: as_param("response_format"),
        lambda: as_param("response_format.type"),
        lambda: error(400, "'json_schema' is not supported by this model"),
        lambda: error(400, "structured outputs are not supported"),
    ],
)
@pytest.mark.parametrize(
    ("taken", "format_"),
    [
        (3, {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": SCHEMA}}),
        (2, {"type": "json_object", "schema": SCHEMA}),
        (1, {"type": "json_object"}),
        (0, None),
    ],
)  # fmt: skip
def test_a_schema_is_given_in_the_strictest_form_that_the_endpoint_takes(
    capsys: pytest.CaptureFixture[str], says: Callable[[], Reply], taken: int, format_: Body | None
) -> None:
    """`taken`: it takes this form and those below it."""
    forms: list[Any] = [None, {"type": "json_object"}, {"type": "json_object", "schema": SCHEMA}]

    def behave(body: Body) -> Reply:
        return chat("yes") if taken == 3 or body.get("response_format") in forms[: taken + 1] else says()

    with serve(behave=behave) as server:
        assert ask(server.url, HELD, HELD) == [Response("yes", 11, 3)] * 2
    assert [body.get("response_format") for body in server.seen[-2:]] == [format_] * 2
    assert len(server.seen) == 2 + 3 - taken
    said = capsys.readouterr().err
    assert ("takes no JSON schema" in said) == (taken == 1)
    assert ("takes no 'response_format'" in said) == (taken == 0)


def test_a_schema_with_members_that_may_be_missing_is_not_called_strict() -> None:
    loose = replace(HELD, schema=answer_object({"a": YES_NO, "b": YES_NO}, all_of_them=False))
    with serve(chat("yes")) as server:
        ask(server.url, loose)
    assert server.seen[0]["response_format"]["json_schema"]["strict"] is False


def test_an_answer_of_which_the_beginning_is_read_may_be_cut() -> None:
    asked = replace(request("A digit?"), beginning=True)
    with serve(behave=lambda body: chat("7, because", "length")) as server:
        read, failed = ask(server.url, asked, replace(asked, beginning=False))
    assert read == Response("7, because", 11, 3)
    assert isinstance(failed, Failure)
    assert "beginning" not in server.seen[0]
