from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autointerp.errors import BadInput, BudgetReached
from autointerp.llm.budget.prices import worst_case
from autointerp.llm.http.refusals import not_billed
from autointerp.llm.ledger.ledger import Ledger
from autointerp.llm.request import Answer, Failure, Response, key
from autointerp.study_models import Budget
from tests.llm.batch.standin import ANSWER_TOKENS, KEY, PROMPT_TOKENS, Fault, StandIn, text_of
from tests.llm.batch.workshop import answers, asking, asks, endpoint, spent

_EACH = PROMPT_TOKENS + ANSWER_TOKENS
_NOTHING_DONE = [Fault(429, {"Retry-After": "7"}), Fault(500), Fault(503), Fault(reset=True), Fault(html=True)]
_DONE = [Fault(lost=True), Fault(cut=True), Fault(short=True)]


def _whole(found: list[Answer], count: int = 7) -> bool:
    return [answer.text for answer in found if isinstance(answer, Response)] == [
        f"echo question {i} é" for i in range(count)
    ]


@pytest.mark.parametrize("step", ["upload", "list", "poll", "download"])
def test_a_fault_at_any_step_costs_nothing(provider: str, server: StandIn, tmp_path: Path, step: str) -> None:
    if provider == "anthropic" and step == "upload":
        pytest.skip("one step less")
    faults = [*_NOTHING_DONE, *_DONE]
    server.faults[step] += faults
    assert _whole(answers(endpoint(provider, server.url, attempts=1 + len(faults)), tmp_path, asks()))
    assert not server.faults[step], "some fault never came"
    assert set(server.accepted().values()) == {1}
    assert spent(tmp_path)[0] == 7 * _EACH


@pytest.mark.parametrize("fault", range(3))
def test_a_batch_is_made_once_whatever_becomes_of_the_answer(
    provider: str, server: StandIn, tmp_path: Path, fault: int
) -> None:
    server.faults["create"] += [*_NOTHING_DONE, _DONE[fault]]
    assert _whole(answers(endpoint(provider, server.url, attempts=8), tmp_path, asks()))
    assert not server.faults["create"]
    assert len(server.batches) == 1
    assert server.steps.count("upload") <= 1
    assert spent(tmp_path)[0] == 7 * _EACH


def test_the_endpoint_says_how_long_to_wait(provider: str, server: StandIn, tmp_path: Path) -> None:
    slept: list[float] = []
    server.polls = 1
    server.faults["poll"] += [Fault(429, {"Retry-After": "7"}), Fault(500, {"Retry-After": "9"})]
    answers(endpoint(provider, server.url), tmp_path, asks(), sleep=slept.append)
    assert slept[:2] == [7.0, 9.0]


@pytest.mark.parametrize("step", ["create", "poll", "download"])
def test_an_endpoint_that_stays_down_is_one_line_and_the_batch_is_taken_up_later(
    provider: str, server: StandIn, tmp_path: Path, step: str
) -> None:
    llm = endpoint(provider, server.url)
    server.faults[step] += [Fault(reset=True)] * 3
    with pytest.raises(BadInput, match=r"3 tries.*the same command takes them up again"):
        answers(llm, tmp_path, asks())
    assert _whole(answers(llm, tmp_path, asks()))
    assert set(server.accepted().values()) == {1}
    assert spent(tmp_path)[0] == 7 * _EACH


def test_an_endpoint_without_the_interface_says_so(provider: str, server: StandIn, tmp_path: Path) -> None:
    server.faults["create"].append(Fault(404))
    with pytest.raises(BadInput, match=r"refuses to make a batch \(404.*run without --batch"):
        answers(endpoint(provider, server.url), tmp_path, asks())
    assert spent(tmp_path)[0] == 0
    assert _whole(answers(endpoint(provider, server.url), tmp_path, asks()))
    assert len(server.batches) == 1


def test_a_batch_that_is_not_known_any_more_is_never_handed_in_again_in_silence(
    provider: str, server: StandIn, tmp_path: Path
) -> None:
    llm = endpoint(provider, server.url)
    server.faults["poll"].append(Fault(404))
    with pytest.raises(BadInput, match="the key of the account that made"):
        answers(llm, tmp_path, asks())
    assert _whole(answers(llm, tmp_path, asks()))
    assert len(server.batches) == 1


def _rate_limited() -> dict[str, Any]:
    return {"status": 429, "message": "slow down"}


@pytest.mark.parametrize(
    "wrong",
    [_rate_limited(), {"status": 500, "message": "oops"}, {"expired": True}, {"cancelled": True}, {"body": []},
     {"body": {"choices": []}}],
)  # fmt: skip
def test_a_request_that_was_not_done_goes_into_the_next_batch(
    provider: str, server: StandIn, tmp_path: Path, wrong: dict[str, Any]
) -> None:
    server.judge = lambda name, body, before: wrong if "question 2" in text_of(body) and before < 2 else None
    assert _whole(answers(endpoint(provider, server.url), tmp_path, asks()))
    assert [len(batch.lines) for batch in server.batches] == [7, 1, 1]
    if "body" not in wrong:  # else it may have been billed
        assert spent(tmp_path)[0] == 7 * _EACH


def test_after_so_many_batches_it_is_a_failure_that_a_later_run_asks_again(
    provider: str, server: StandIn, tmp_path: Path
) -> None:
    llm = endpoint(provider, server.url)
    server.judge = lambda name, body, before: _rate_limited() if "question 2" in text_of(body) else None
    found = answers(llm, tmp_path, asks())
    assert found[2] == Failure("the endpoint answered 429 (3 batches)")
    assert [len(batch.lines) for batch in server.batches] == [7, 1, 1]
    server.judge = lambda name, body, before: None
    assert _whole(answers(llm, tmp_path, asks()))


def test_a_request_that_the_endpoint_refuses_is_a_failure_with_its_words_told_once(
    provider: str, server: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.judge = lambda name, body, before: {"status": 400, "message": f"bad character for {KEY}"}
    found = answers(endpoint(provider, server.url), tmp_path, asks())
    assert found == [Failure("the endpoint refuses the request (400)")] * 7
    assert len(server.batches) == 1
    assert capsys.readouterr().err.count("bad character for [key]") == 1
    assert spent(tmp_path)[0] == 0


def test_where_others_of_its_form_are_answered_it_is_the_prompt_that_was_refused(
    provider: str, server: StandIn, tmp_path: Path
) -> None:
    """That is the model's last word on it, kept in the ledger; it was not billed."""
    words = {"status": 400, "message": f"bad character for {KEY}"}
    server.judge = lambda name, body, before: None if "question 6" in text_of(body) else words
    llm = endpoint(provider, server.url)
    found = answers(llm, tmp_path, asks())
    assert found[:6] == [not_billed("the endpoint refused the prompt (400)", "refusal", "bad character for [key]")] * 6
    assert isinstance(found[6], Response)
    assert spent(tmp_path)[0] == _EACH
    assert all(answer.cached for answer in answers(llm, tmp_path, asks()))
    assert len(server.batches) == 1


def test_a_prompt_that_does_not_fit_is_recorded(provider: str, server: StandIn, tmp_path: Path) -> None:
    server.judge = lambda name, body, before: {"status": 400, "message": "prompt is too long: 9 tokens > 8 maximum"}
    llm = endpoint(provider, server.url)
    assert [answer.finish for answer in answers(llm, tmp_path, asks(1)) if isinstance(answer, Failure)] == ["too-long"]
    assert answers(llm, tmp_path, asks(1))[0].cached
    assert len(server.batches) == 1


def test_a_parameter_that_the_endpoint_does_not_take_is_left_out_of_the_next_batch(
    provider: str, server: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refusal = {"status": 400, "message": "Unsupported parameter: 'temperature'", "param": "temperature"}
    server.judge = lambda name, body, before: refusal if "temperature" in body else None
    assert _whole(answers(endpoint(provider, server.url), tmp_path, asks()))
    assert [len(batch.lines) for batch in server.batches] == [7, 7]
    assert "temperature" in server.batches[0].lines[0]["body"]
    assert capsys.readouterr().err.count("takes no 'temperature'") == 1


def test_the_other_name_of_max_tokens_is_found(tmp_path: Path, openai_server: StandIn) -> None:
    words = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
    refusal = {"status": 400, "message": words, "param": "max_tokens"}
    openai_server.judge = lambda name, body, before: refusal if "max_tokens" in body else None
    assert _whole(answers(endpoint("openai", openai_server.url), tmp_path, asks()))
    assert openai_server.batches[1].lines[0]["body"]["max_completion_tokens"] == 16


def test_a_batch_that_fails_validation_is_one_line(tmp_path: Path, openai_server: StandIn) -> None:
    llm = endpoint("openai", openai_server.url).model_copy(update={"model": "nosuch"})
    with pytest.raises(BadInput, match=r"refuses the batch \(no model for \[key\]\)"):
        answers(llm, tmp_path, asks())
    assert spent(tmp_path)[0] == 0
    assert _whole(answers(endpoint("openai", openai_server.url), tmp_path, asks()))


def test_a_full_queue_makes_smaller_batches(tmp_path: Path, openai_server: StandIn) -> None:
    openai_server.most = 3
    llm, slept = endpoint("openai", openai_server.url, attempts=12), list[float]()
    assert _whole(answers(llm, tmp_path, asks(), sleep=slept.append))
    assert set(openai_server.accepted().values()) == {1}
    assert slept.count(60.0) >= 2
    assert spent(tmp_path)[0] == 7 * _EACH


def test_lines_that_do_not_belong_there_do_no_harm(provider: str, server: StandIn, tmp_path: Path) -> None:
    server.extra = [
        b"not json", b"[1, 2]", b"null", b'{"custom_id": 7}', b'{"custom_id": "' + b"0" * 64 + b'", "result": 3}',
        b'{"custom_id": ["x"], "response": {}}', b"", b"\xff\xfe",
    ]  # fmt: skip
    assert _whole(answers(endpoint(provider, server.url), tmp_path, asks()))
    assert len(server.batches) == 1


@pytest.mark.parametrize("more", ["3", "{}", '{"type": 7}', '{"type": "succeeded"}', '{"type": "errored", "error": 5}'])
def test_a_result_of_any_form_is_read_without_harm(tmp_path: Path, anthropic_server: StandIn, more: str) -> None:
    llm, requests = endpoint("anthropic", anthropic_server.url), asks(2)
    with asking(llm, tmp_path) as asker:
        name = key(requests[0], asker.identity)
        anthropic_server.extra = [f'{{"custom_id": "{name}", "result": {more}}}'.encode()]
        found = dict(asker.stream(requests))
    assert isinstance(found[0], Failure)
    assert isinstance(found[1], Response)


@pytest.mark.parametrize(
    "more", ['"response": 3', '"response": {}', '"response": {"status_code": "x", "body": 3}', '"error": 5', '"a": 1']
)
def test_a_line_of_any_form_is_read_without_harm(tmp_path: Path, openai_server: StandIn, more: str) -> None:
    llm, requests = endpoint("openai", openai_server.url), asks(2)
    with asking(llm, tmp_path) as asker:
        name = key(requests[0], asker.identity)
        openai_server.extra = [f'{{"custom_id": "{name}", {more}}}'.encode()]
        found = dict(asker.stream(requests))
    assert isinstance(found[0], Failure)
    assert isinstance(found[1], Response)


def test_an_answer_that_the_results_leave_out_is_asked_for_again_and_charged(
    provider: str, server: StandIn, tmp_path: Path
) -> None:
    server.judge = lambda name, body, before: (
        {"missing": True} if "question 2" in text_of(body) and not before else None
    )
    assert _whole(answers(endpoint(provider, server.url), tmp_path, asks()))
    assert [len(batch.lines) for batch in server.batches] == [7, 1]
    assert spent(tmp_path)[0] > 7 * _EACH


def test_what_a_cancelled_batch_leaves_out_was_never_asked(tmp_path: Path, openai_server: StandIn) -> None:
    openai_server.judge = lambda name, body, before: (
        {"dropped": True} if "question 2" in text_of(body) and not before else None
    )
    assert _whole(answers(endpoint("openai", openai_server.url), tmp_path, asks()))
    assert [len(batch.lines) for batch in openai_server.batches] == [7, 1]
    assert spent(tmp_path)[0] == 7 * _EACH


def test_the_first_answer_ever_stored_counts(provider: str, server: StandIn, tmp_path: Path) -> None:
    llm, requests = endpoint(provider, server.url), asks(2)
    with asking(llm, tmp_path) as asker:
        answering = asker.stream(requests)
        ledger = Ledger(tmp_path / "ledger.sqlite")

        def judge(name: str, body: dict[str, Any], before: int) -> None:
            ledger.put(requests[0], asker.identity, Response("online", 1, 1))

        server.judge = judge
        found = dict(answering)
        ledger.close()
    assert isinstance(found[0], Response)
    assert found[0].text == "online"


def test_a_budget_that_ends_between_two_batches_keeps_what_is_done(
    provider: str, server: StandIn, tmp_path: Path
) -> None:
    server.judge = lambda name, body, before: {"body": None} if "question 0" in text_of(body) and not before else None
    worst = worst_case(asks()[0]).total
    found = {}
    with (
        asking(endpoint(provider, server.url), tmp_path, Budget(limit_tokens=2 * worst)) as asker,
        pytest.raises(BudgetReached),
    ):
        for place, answer in asker.stream(asks(2)):
            found[place] = answer
    assert list(found) == [1]
    assert spent(tmp_path)[0] == worst + _EACH
