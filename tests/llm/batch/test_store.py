from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autointerp.errors import BadInput
from autointerp.llm.batch.handing_in import parts
from autointerp.llm.batch.interface import Limits
from autointerp.llm.batch.steps import pauses
from autointerp.llm.batch.store import BatchStore, HeldRequest, Submission
from autointerp.llm.openai.batches import OpenAIBatches
from autointerp.llm.request import Request
from autointerp.study_models import Llm
from tests.forked import Forked
from tests.llm.doubles import completion, request

_API = OpenAIBatches(Llm(provider="openai", model="m", base_url="http://127.0.0.1:9/v1"))
_ONE = Submission("u1", "e", "/chat", "b0")

_texts = st.text(max_size=20)
_fields = st.fixed_dictionaries(
    {
        "messages": st.lists(st.tuples(_texts, _texts), min_size=1, max_size=3).map(tuple),
        "model": _texts,
        "max_tokens": st.integers(1, 99),
        "temperature": st.floats(0, 2),
        "seed": st.integers(0, 2**62),
        "stop": st.lists(_texts, max_size=2).map(tuple),
        "sample": st.integers(0, 5),
        "top_logprobs": st.integers(0, 20),
        "json_object": st.booleans(),
        "schema": st.sampled_from(["", '{"type":"object"}']),
        "reask": st.integers(0, 2),
        "beginning": st.booleans(),
    }
)


@settings(max_examples=40, deadline=None)
@given(st.lists(_fields, min_size=1, max_size=4))
def test_requests_come_back_as_they_were(fields: list[dict[str, Any]]) -> None:
    items = {str(number): HeldRequest(Request(**values), number) for number, values in enumerate(fields)}
    store = BatchStore(Path(":memory:"))
    store.intend(_ONE, items)
    assert store.items("u1") == items
    store.close()


def test_a_batch_is_open_until_it_is_forgotten(tmp_path: Path) -> None:
    store = BatchStore(tmp_path / "b.sqlite")
    store.intend(_ONE, {"k": HeldRequest(request(), 3)})
    store.intend(Submission("u2", "other", "/chat", ""), {"l": HeldRequest(completion("x"), 4)})
    store.name("u1", "batch_7")
    store.close()
    store = BatchStore(tmp_path / "b.sqlite")
    assert store.open("e") == [Submission("u1", "e", "/chat", "b0", "batch_7")]
    store.forget("u1")
    assert store.open("e") == []
    assert store.items("u1") == {}
    assert list(store.items("u2")) == ["l"]
    store.close()


def test_no_two_batches_hold_the_same_request(tmp_path: Path) -> None:
    store = BatchStore(tmp_path / "b.sqlite")
    store.intend(_ONE, {"k": HeldRequest(request(), 1)})
    with pytest.raises(BadInput):
        store.intend(
            Submission("u2", "e", "/chat", ""), {"j": HeldRequest(request(), 2), "k": HeldRequest(request(), 3)}
        )
    assert store.open("e") == [_ONE]
    assert store.items("u2") == {}
    store.close()


_OTHER = """
import sys
from pathlib import Path
from autointerp.errors import BadInput
from autointerp.llm.batch import store
store._BUSY_SECONDS = 0.1
try:
    store.BatchStore(Path(sys.argv[1])).close()
except BadInput as error:
    print(error)
"""


def test_one_process_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "b.sqlite"
    store = BatchStore(path)
    code, said, _ = Forked(_OTHER, str(path)).ends()
    assert code == 0
    assert "another process waits for the batches in" in said
    store.close()
    assert Forked(_OTHER, str(path)).ends() == (0, "", "")


def test_a_damaged_file_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "b.sqlite"
    path.write_bytes(b"no database " * 100)
    with pytest.raises(BadInput, match="can't be used"):
        BatchStore(path)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 300))), st.integers(1, 5), st.integers(300, 1500))
def test_parts_hold_everything_once_and_keep_within_the_limits(
    sizes: list[tuple[bool, int]], most: int, size: int
) -> None:
    requests = {
        f"k{number}": (completion if text else request)("x" * length) for number, (text, length) in enumerate(sizes)
    }
    made = list(parts(_API, requests, Limits(most, size)))
    names = [name for part in made for name in part.requests]
    assert sorted(names) == sorted(requests)
    for part in made:
        assert 1 <= len(part.requests) == len(part.lines) <= most
        assert [line["custom_id"] for line in part.lines] == list(part.requests)
        assert {_API.route(request) for request in part.requests.values()} == {part.route}
        assert part.size <= size or len(part.requests) == 1
    for route in ("/v1/chat/completions", "/v1/completions"):
        kept = [name for name, request in requests.items() if _API.route(request) == route]
        assert [name for part in made if part.route == route for name in part.requests] == kept


def test_pauses_grow_and_are_told_once_a_minute() -> None:
    waits = pauses()
    first = [next(waits) for _ in range(40)]
    assert [pause.seconds for pause in first[:2]] == [5.0, 7.5]
    assert all(a.seconds <= b.seconds <= 60 for a, b in pairwise(first))
    told = [sum(pause.seconds for pause in first[:place]) for place, pause in enumerate(first) if pause.due]
    assert told[0] == 0
    assert all(b - a >= 60 for a, b in pairwise(told))
