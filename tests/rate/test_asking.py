"""A model rates what people rate: asked once, read strictly, and kept apart."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from autointerp.errors import BadInput
from autointerp.llm.request import Response, Unreadable
from autointerp.rate.asking import NOT_THE_PARTS, OUT_OF_POINTS, ask, failures, read_points
from autointerp.rate.drawing import PageChoice
from autointerp.rate.handing_out import hand_out
from autointerp.rate.rubric import parts
from autointerp.rate.taking import read_ratings, take
from autointerp.study_file import dump_study, parse_study, study_of
from tests.llm.doubles import Reply, chat, serve
from tests.rate.doubles import played, save

FULL = {"confidence": 2, "activations": 4, "logits": 1, "specificity": 3}


def _read(text: str, logits: bool = True) -> Any:
    return read_points(Response(text, 1, 1), parts(logits))


def test_answers_are_read_strictly() -> None:
    assert _read(json.dumps(FULL)) == FULL
    assert _read(f"```json\n{json.dumps(FULL)}\n```") == FULL
    short = {k: v for k, v in FULL.items() if k != "logits"}
    assert _read(json.dumps(short)) == NOT_THE_PARTS
    assert _read(json.dumps(short), logits=False) == short
    assert _read(json.dumps({**FULL, "total": 10})) == NOT_THE_PARTS
    for wrong in (6, -1, 2.5, "3", True, None):
        assert _read(json.dumps({**FULL, "activations": wrong})) == OUT_OF_POINTS
    assert isinstance(_read("I give it a 3."), Unreadable)


def _study(run: Path, url: str) -> None:
    raw = {"provider": "openai", "model": "judge-model", "base_url": url, "reasks": 1}
    study = study_of(run)
    given = json.loads(study.model_dump_json(exclude_none=True))
    given["llm"]["rater"] = raw
    (run / "study.toml").write_text(dump_study(parse_study(given)), encoding="utf8")


def test_a_model_rates_the_items_of_the_page(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-of-ratings")
    usage = (run / "usage.parquet").read_bytes()

    def behave(body: dict[str, Any]) -> Reply:
        text = body["messages"][-1]["content"]
        words = re.search(r"Explanation: (.*)", text).group(1)  # type: ignore[union-attr]
        return chat("no idea" if len(words) % 7 == 0 else json.dumps({**FULL, "activations": len(words) % 6}))

    with serve(behave=behave) as server:
        _study(run, server.url)
        sheet = hand_out(run, PageChoice()).sheet
        take(run, [save(tmp_path, played(sheet, "anna", lambda _: 0.6))])
        rows = ask(run, "rater", PageChoice())
        asked = len(server.seen)
        assert [row.item for row in rows] == list(sheet.items)
        assert 0 < sum(failures(rows).values()) < len(rows)
        assert set(failures(rows)) == {"no JSON in the answer"}
        again = ask(run, "rater", PageChoice())
        assert (again, len(server.seen)) == (rows, asked), "the ledger answers"
    assert ask(run, "rater", PageChoice(), replay=True) == rows
    kept = read_ratings(run)
    assert [row.rater_kind for row in kept] == ["human"] * len(sheet.items) + ["model"] * len(rows)
    ok = next(row for row in rows if row.total is not None)
    assert ok.total == sum(v for v in (ok.confidence, ok.activations, ok.logits, ok.specificity) if v is not None)
    assert ok.session.startswith("rubric/v1@")
    assert (run / "usage.parquet").read_bytes() == usage, "an account that saw this alone replaces no other"
    sent = server.seen[0]["messages"]
    assert not re.search(r"feature|neuron|layers\.", json.dumps(sent))


def test_a_model_that_the_study_does_not_have(whole_run: Path, tmp_path: Path) -> None:
    shutil.copytree(whole_run, tmp_path / "run")
    with pytest.raises(BadInput, match=r"has no \[llm.rater\]"):
        ask(tmp_path / "run", "rater", PageChoice())
    assert not (tmp_path / "run" / "rating").exists()


def test_the_rubric_has_fourteen_points_or_eleven() -> None:
    assert sum(len(part.answers) - 1 for part in parts(True)) == 14
    assert sum(len(part.answers) - 1 for part in parts(False)) == 11
