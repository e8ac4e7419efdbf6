from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autointerp.errors import BadInput
from autointerp.llm.capabilities import Capabilities
from autointerp.llm.ledger.ledger import Ledger, open_ledger
from autointerp.llm.request import Failure, Request, Response, key
from tests.forked import Forked
from tests.llm.doubles import request

_WRITER = """
import os, signal, sys
from pathlib import Path
from autointerp.llm.capabilities import Capabilities
from autointerp.llm.ledger.ledger import Ledger
from autointerp.llm.request import Request, Response
ledger = Ledger(Path(sys.argv[1]))
for i in range(60):
    asked = Request((("user", f"q{i}"),), "m", 8, 0.0, 0)
    print(ledger.put(asked, "e", Response(f"{sys.argv[2]}{i}", None, None)).text)
sys.stdout.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(
    "change",
    [
        {"messages": (("user", "Say no"),)}, {"messages": (("system", "Say yes"),)}, {"model": "n"},
        {"max_tokens": 9}, {"temperature": 0.5}, {"seed": 1}, {"stop": ("\n",)}, {"sample": 1}, {"top_logprobs": 5},
        {"prompt_logprobs": 5}, {"json_object": True}, {"reask": 1},
        {"schema": "{}"}, {"beginning": True},
    ],
)  # fmt: skip
def test_the_key_depends_on_every_field(change: dict[str, Any]) -> None:
    changed = replace(request(), **change)
    assert key(changed, "e") != key(request(), "e")
    assert set(Request.__dataclass_fields__) == {
        "messages", "model", "max_tokens", "temperature", "seed", "stop", "sample", "top_logprobs", "prompt_logprobs",
        "json_object", "reask", "schema", "beginning",
    }  # fmt: skip


def test_the_key_depends_on_the_endpoint_and_is_the_same_on_every_machine() -> None:
    assert key(request(), "e") != key(request(), "f")
    text = (
        '{"endpoint":"e","request":{"max_tokens":8,"messages":[["user","Say yes"]],"model":"m",'
        '"sample":0,"seed":0,"stop":[],"temperature":0.0}}'
    )
    assert key(request(), "e") == hashlib.sha256(text.encode()).hexdigest()


def test_samples_draw_differently() -> None:
    assert len({request(sample=s).draw_seed for s in range(5)} | {request(seed=1).draw_seed}) == 6


def test_answers_come_back_marked_as_cached(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "deep" / "ledger.sqlite") as ledger:
        assert ledger.get(request(), "e") is None
        assert ledger.put(request(), "e", Response("yes", 4, None)) == Response("yes", 4, None)
        assert ledger.get(request(), "f") is None
    with open_ledger(tmp_path / "deep" / "ledger.sqlite") as ledger:
        assert ledger.get(request(), "e") == Response("yes", 4, None, cached=True)
        assert len(ledger) == 1


@pytest.mark.parametrize("finish", ["length", "refusal", "too-long"])
def test_a_bad_answer_is_kept_and_never_served_as_good(tmp_path: Path, finish: str) -> None:
    with open_ledger(tmp_path / "ledger.sqlite") as ledger:
        failure = Failure("why", finish, "I can", 4, 2)
        assert ledger.put(request(), "e", failure) == failure
        assert ledger.get(request(), "e") == replace(failure, cached=True)


def test_no_answer_is_not_kept(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "ledger.sqlite") as ledger:
        assert ledger.put(request(), "e", Failure("no connection")) == Failure("no connection")
        assert len(ledger) == 0


def test_the_first_answer_counts(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.put(request(), "e", Response("first", 1, 1))
        assert ledger.put(request(), "e", Response("second", 1, 1)) == Response("first", 1, 1, cached=True)


def test_two_processes_share_a_ledger_and_a_kill_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    ended = [writer.ends() for writer in [Forked(_WRITER, str(path), name) for name in "ab"]]
    printed = [said.split() for _, said, _ in ended]
    assert [code for code, _, _ in ended] == [-9, -9]
    assert printed[0] == printed[1]
    with open_ledger(path) as ledger:
        stored = [ledger.get(Request((("user", f"q{i}"),), "m", 8, 0.0, 0), "e") for i in range(60)]
    assert [s.text for s in stored if isinstance(s, Response)] == printed[0]


def test_what_is_known_of_a_model_is_known_of_that_endpoint_and_that_model_alone(tmp_path: Path) -> None:
    found = [Capabilities(e, m, top_logprobs=n) for n, (e, m) in enumerate([("e", "m"), ("e", "n"), ("f", "m")], 1)]
    with open_ledger(tmp_path / "ledger.sqlite") as ledger:
        for each in found:
            ledger.keep_capabilities(each)
        assert [ledger.capabilities(each.endpoint, each.model) for each in found] == found
        assert ledger.capabilities("f", "n") is None
        newer = replace(found[0], top_logprobs=9)
        ledger.keep_capabilities(newer)
        assert [ledger.capabilities(each.endpoint, each.model) for each in found] == [newer, *found[1:]]


def test_a_damaged_file_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(b"this is no data base, whatever its name says" * 40)
    with pytest.raises(BadInput, match=r"ledger.sqlite can't be used \(file is not a database\)"):
        Ledger(path)
    with pytest.raises(BadInput, match="can't be used"):
        Ledger(path / "below" / "a" / "file")
