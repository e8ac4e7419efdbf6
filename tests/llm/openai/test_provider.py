from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

import pytest

from autointerp.errors import BadInput
from autointerp.llm.budget.account import Usage
from autointerp.llm.http.refusals import not_billed
from autointerp.llm.ledger.ledger import open_ledger
from autointerp.llm.open import Mode, check_llm, open_asker
from autointerp.llm.questions import ask_all
from autointerp.llm.request import Answer, Failure, Request, Response
from autointerp.study_models import Llm
from tests.llm.doubles import YES, Counter, Reply, Server, chat, completion, error, request, serve

KEY = "sk-very-secret-0123456789"


def _ask(
    server: Server, path: Path, requests: Sequence[Request], usage: Usage | None = None, **more: object
) -> list[Answer]:
    settings = {"provider": "openai", "model": "m", "base_url": server.url, "attempts": 3, "timeout": 5.0, **more}
    llm, counts = Llm.model_validate(settings), usage or Usage()
    with open_ledger(path / "ledger.sqlite") as ledger, open_asker(llm, ledger, counts, "explain") as asker:
        return ask_all(asker, requests, Counter())


@pytest.mark.parametrize(("side_by_side", "slots"), [(1, 4), (2, 2), (9, 1)])
def test_processes_side_by_side_share_the_slots(side_by_side: int, slots: int, tmp_path: Path) -> None:
    here, meeting, lock, too_many = [0, 0], threading.Barrier(slots, timeout=20), threading.Lock(), threading.Event()

    def behave(body: dict[str, object]) -> Reply:
        with lock:
            here[0] += 1
            here[1] = max(here)
            if here[0] > slots:
                too_many.set()
        meeting.wait()
        too_many.wait(0.05)  # time for another to come
        with lock:
            here[0] -= 1
        return chat("yes")

    with serve(behave=behave) as server, open_ledger(tmp_path / "ledger.sqlite") as ledger:
        llm = Llm(provider="openai", model="m", base_url=server.url, concurrency=4)
        with open_asker(llm, ledger, Usage(), "explain", Mode(side_by_side=side_by_side)) as asker:
            answers = ask_all(asker, [request(str(number)) for number in range(2 * slots)], Counter())
    assert [a.text for a in answers if isinstance(a, Response)] == ["yes"] * 2 * slots
    assert here == [0, slots]


def test_a_chat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    asked = Request((("system", "Be brief"), ("user", "Hi")), "m", 8, 0.5, 3, ("\n",), sample=2)
    with serve(chat("hello")) as server:
        assert _ask(server, tmp_path, [asked], api_key_env="MY_KEY") == [Response("hello", 11, 3)]
    (seen,) = server.seen
    assert seen["path"] == "/v1/chat/completions"
    assert seen["authorization"] == f"Bearer {KEY}"
    assert seen["messages"] == [{"role": "system", "content": "Be brief"}, {"role": "user", "content": "Hi"}]
    assert (seen["model"], seen["max_tokens"], seen["temperature"], seen["stop"]) == ("m", 8, 0.5, ["\n"])
    assert 0 <= seen["seed"] < 2**31


def test_a_text_to_be_continued(tmp_path: Path) -> None:
    body = b'{"object": "text_completion", "choices": [{"index": 0, "text": " yes", "finish_reason": "stop"}]}'
    with serve(Reply(body=body)) as server:
        assert _ask(server, tmp_path, [completion("Is it?")]) == [Response(" yes", None, None)]
    assert (server.seen[0]["path"], server.seen[0]["prompt"]) == ("/v1/completions", "Is it?")


def test_a_key_meant_for_another_endpoint_is_not_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serve(chat("yes")) as server:
        _ask(server, tmp_path, [request()])
    assert server.seen[0]["authorization"] == "Bearer none"


def test_a_second_run_asks_nothing(tmp_path: Path) -> None:
    usage = Usage()
    with serve(chat("yes"), chat("no")) as server:
        first = _ask(server, tmp_path, [request("a"), request("b")], concurrency=1)
        second = _ask(server, tmp_path, [request("b"), request("a")], usage, concurrency=1)
    assert [a.text for a in first if isinstance(a, Response)] == ["yes", "no"]
    assert [(a.text, a.cached) for a in second if isinstance(a, Response)] == [("no", True), ("yes", True)]
    assert len(server.seen) == 2
    assert [(r.requests, r.cached, r.input_tokens) for r in usage.rows()] == [(2, 2, 0)]


@pytest.mark.parametrize(
    "fault",
    [
        error(429, retry_after_ms="1"), error(500, retry_after="0"), error(503, retry_after="0"),
        error(408, retry_after="0"), error(409, retry_after="0"),
        Reply(502, b"<html>bad gateway</html>", {"Content-Type": "text/html", "retry-after": "0"}),
        Reply(body=b'{"id": "c", "choi'), Reply(body=b""), Reply(body=b"[1]"), Reply(body=b"null"),
        Reply(body=b"\xff\xfe"), Reply(body=b"<html>", headers={"Content-Type": "text/html"}),
        Reply(body=b'{"choices": []}'), Reply(body=b'{"choices": null}'), Reply(body=b'{"choices": [null]}'),
        Reply(body=b'{"choices": [{"finish_reason": "stop", "message": null}]}'), chat(None),
        Reply(body=b'{"choices": [', claims=500),
    ],
    ids=lambda reply: f"{reply.status} {reply.body[:24]!r}",
)  # fmt: skip
def test_what_may_pass_is_tried_again(tmp_path: Path, fault: Reply, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autointerp.llm.online.retrying._BACK_OFF", lambda state: 0.0)
    with serve(fault, chat("yes")) as server:
        assert _ask(server, tmp_path, [request()]) == [YES]
    assert len(server.seen) == 2


def test_the_wait_that_the_endpoint_asks_for_is_kept(tmp_path: Path) -> None:
    with serve(error(429, retry_after="1"), chat("yes")) as server:
        start = time.monotonic()
        assert _ask(server, tmp_path, [request()]) == [YES]
    assert 1.0 <= time.monotonic() - start < 5


def test_a_hang_ends_at_the_time_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autointerp.llm.online.retrying._BACK_OFF", lambda state: 0.0)
    with serve(Reply(hang=True), chat("yes")) as server:
        assert _ask(server, tmp_path, [request()], timeout=0.3) == [YES]


def test_an_endpoint_that_is_down_is_a_failure_and_is_asked_again_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autointerp.llm.online.retrying._BACK_OFF", lambda state: 0.0)
    down = Server("http://127.0.0.1:9/v1", [])
    assert _ask(down, tmp_path, [request()]) == [Failure("no connection to the endpoint (3 tries)")]
    with serve(chat("yes")) as server:
        assert _ask(server, tmp_path, [request()]) == [YES]


@pytest.mark.parametrize(
    ("reply", "failure"),
    [
        (chat("I thi", "length"), Failure("the answer was cut at max_tokens", "length", "I thi", 11, 3)),
        (chat(None, "length"), Failure("the answer was cut at max_tokens", "length", "", 11, 3)),
        (chat(None, refusal="I won't"), Failure("the model refused", "refusal", "", 11, 3)),
        (chat("", "content_filter"), Failure("stopped by the endpoint's content filter", "refusal", "", 11, 3)),
        (error(400, "filtered", "content_filter"), not_billed("refused by the endpoint's content filter", "refusal")),
    ],
)
def test_cut_and_refused_answers_are_kept_and_not_asked_again(tmp_path: Path, reply: Reply, failure: Failure) -> None:
    with serve(reply) as server:
        assert _ask(server, tmp_path, [request()]) == [failure]
        (again,) = _ask(server, tmp_path, [request()])
    assert isinstance(again, Failure)
    assert (again.reason, again.cached) == (failure.reason, True)
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (error(401, f"Incorrect API key provided: {KEY}"), r"refuses the key \(401\): check \$MY_KEY"),
        (error(403, f"key {KEY} may not"), r"refuses to answer \(403: key \[key\] may not\): check \$MY_KEY"),
        (error(404, "no model 'm'"), r"refuses the request \(404: .*no model 'm'"),
        (error(400, f"bad: {KEY}\nand a second line"), r"refuses the request \(400: .*bad: \[key\] and a second"),
        (error(429, "quota", "insufficient_quota"), "out of credit"),
    ],
)
def test_what_no_try_would_mend_stops_at_once_in_one_line_without_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reply: Reply, says: str
) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    with serve(reply) as server, pytest.raises(BadInput, match=says) as caught:
        _ask(server, tmp_path, [request()], api_key_env="MY_KEY")
    assert caught.value.exit_code == 2
    assert len(server.seen) == 1
    assert "\n" not in str(caught.value)
    assert KEY not in "".join(traceback.format_exception(caught.value))
    for file in tmp_path.iterdir():
        assert KEY.encode() not in file.read_bytes()


def test_a_missing_key_is_known_before_anything_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(BadInput, match=r"\$NO_SUCH_KEY is not set"):
        check_llm(Llm(provider="openai", model="m", base_url="http://127.0.0.1:9", api_key_env="NO_SUCH_KEY"))
    with pytest.raises(BadInput, match=r"\$OPENAI_API_KEY is not set"):
        check_llm(Llm(provider="openai", model="m"))
    check_llm(Llm(provider="openai", model="m", base_url="http://127.0.0.1:9"))
    check_llm(Llm())


def test_the_identity_has_no_secrets(tmp_path: Path) -> None:
    llm = Llm(provider="openai", model="m", base_url="http://user:word@127.0.0.1:9/v1?key=abc")
    with open_ledger(tmp_path / "ledger.sqlite") as ledger, open_asker(llm, ledger, Usage(), "explain") as asker:
        assert asker.identity == "openai http://127.0.0.1:9/v1"
