from __future__ import annotations

import json
import sqlite3
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from autointerp.errors import BadInput
from autointerp.llm.ledger.ledger import Ledger, open_ledger
from autointerp.llm.ledger.maintenance import Chosen, export_lines, ledger_file, remove, summary
from autointerp.llm.request import Failure, Response, TokenLogprob
from tests.llm.doubles import request

LOGPROBS = (TokenLogprob("ye", -0.5, (("ye", -0.5), ("no", -1.25))), TokenLogprob("\ud83d", None))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    with open_ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.put(request("a"), "openai http://e/v1", Response("yes\x1b[2J", 10, 2))
        ledger.put(request("b"), "openai http://e/v1", Failure("the model refused", "refusal", "I can't", 7, 3))
        ledger.put(request("c", model="n"), "local x", Response("ja", 5, 1, logprobs=LOGPROBS))
        ledger.keep_numbers("k", "local x", np.arange(6, dtype=np.float32).reshape(2, 3))
    return tmp_path


def test_show_counts_per_endpoint_and_names_the_reasons(run: Path) -> None:
    lines = list(summary(ledger_file(run)))
    assert lines[0].split("  ")[0] == "endpoint"
    assert lines[1].split()[:6] == ["local", "x", "n", "1", "0", "5"]
    assert lines[2].split()[:7] == ["openai", "http://e/v1", "m", "2", "1", "17", "5"]
    assert lines[3:] == ["1 x the model refused", "1 rows of numbers by local x, 0.0 MB"]
    assert ledger_file(run / "ledger.sqlite") == ledger_file(run)


def test_export_gives_back_every_request_and_answer(run: Path) -> None:
    rows = [json.loads(line) for line in export_lines(ledger_file(run))]
    assert [row["request"]["messages"][0][1] for row in rows] == ["a", "b", "c"]
    assert all("\x1b" not in line for line in export_lines(ledger_file(run)))
    assert rows[1]["finish"] == "refusal"
    assert rows[2]["logprobs"][0] == ["ye", -0.5, [["ye", -0.5], ["no", -1.25]]]


def test_prune_says_first_what_would_go_and_needs_a_condition(run: Path) -> None:
    path = ledger_file(run)
    assert remove(path, Chosen(failures=True), really=False) == 1
    assert len(list(export_lines(path))) == 3
    assert remove(path, Chosen(failures=True, model="n"), really=True) == 0
    assert remove(path, Chosen(failures=True), really=True) == 1
    assert remove(path, Chosen(before=datetime(2020, 1, 1)), really=True) == 0
    assert remove(path, Chosen(endpoint="local x"), really=True) == 1
    with pytest.raises(BadInput, match="--failures, --before"):
        remove(path, Chosen(), really=True)
    assert remove(path, Chosen(everything=True), really=True) == 1
    assert list(export_lines(path)) == []
    with open_ledger(path) as ledger:
        assert ledger.numbers("k") is None


def test_no_ledger_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no ledger"):
        ledger_file(tmp_path)
    (tmp_path / "ledger.sqlite").write_text("no database at all, only text")
    with pytest.raises(BadInput, match="can't be used"):
        ledger_file(tmp_path)


def test_log_probabilities_and_numbers_come_back_as_they_were(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "ledger.sqlite") as ledger:
        answer = Response("ja", 5, 1, False, 3, 2, LOGPROBS, LOGPROBS[:1])
        assert ledger.put(request(), "e", answer) == answer
        stored = ledger.get(request(), "e")
        assert stored == Response("ja", 5, 1, True, 3, 2, LOGPROBS, LOGPROBS[:1])
        values = np.array([[0.1, np.pi, 2.0], [-0.0, 1e-38, -7.5]], dtype=np.float32)
        ledger.keep_numbers("k", "e", values)
        ledger.keep_numbers("k", "e", values + 1)
        found = ledger.numbers("k")
        assert found is not None
        assert found.dtype == np.float32
        assert found.tobytes() == values.tobytes()
        assert found.shape == (2, 3)
        np.testing.assert_array_equal(found[1], values[1])
        assert ledger.numbers("another") is None


def test_an_answer_that_no_file_can_hold_is_the_same_when_it_is_fresh_and_when_it_is_replayed(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "ledger.sqlite") as ledger:
        fresh = ledger.put(request(), "e", Response("broken \ud800", 5, 1))
        stored = ledger.get(request(), "e")
    assert isinstance(fresh, Response)
    assert isinstance(stored, Response)
    assert fresh.text == stored.text == "broken ?"


def test_a_ledger_of_version_0_1_is_read(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with open_ledger(path) as ledger:
        ledger.put(request(), "e", Response("old", 5, 1))
    with sqlite3.connect(path) as base:
        base.execute("ALTER TABLE answers DROP COLUMN more")
    ledger = Ledger(path)
    assert ledger.get(request(), "e") == Response("old", 5, 1, cached=True)
    assert len(ledger) == 1
    ledger.close()
