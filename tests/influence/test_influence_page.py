"""The verb, its table and its page: token by token, text as text, nothing loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from autointerp.__main__ import main
from autointerp.influence.influence_page import write_influence
from autointerp.influence.most_influential import answer_of
from autointerp.influence.run_material import open_trained
from autointerp.influence.tracing import TraceChoice, trace
from autointerp.tables import read_table
from tests.chromium import address, chromium, watched
from tests.pages.test_writing import HOSTILE


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


def _call(monkeypatch: pytest.MonkeyPatch, *words: str) -> int | str | None:
    monkeypatch.setattr("sys.argv", ["autointerp", "influence", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


def test_the_verb_prints_writes_a_table_and_a_page(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ("--unit", "neuron/3+", "--nulls", "4", "--fitted", "64", "--top", "3")
    assert _call(monkeypatch, str(trained), " river sea", " rain", *more) == 0
    told = capsys.readouterr().out
    assert "not: embeddings, unembedding, norms" in told
    assert told.count("4 null queries: rank correlation") == 2
    table = read_table(trained / "influence.parquet")
    assert table.groupby("query").size().to_dict() == {'" river sea" -> " rain"': 6, "neuron/3+": 6}
    assert (table["influence_low"] <= table["influence"]).all()
    assert (table["influence"] <= table["influence_high"]).all()
    assert table["parts"].map(sum).to_numpy() == pytest.approx(table["influence"].to_numpy(), rel=1e-3, abs=1e-4)


def test_a_wrong_method_is_one_line(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _call(monkeypatch, str(trained), "a", "b", "--method", "ekfak") == 2
    assert "did you mean 'ekfac'?" in capsys.readouterr().err


def test_the_page_shows_hostile_text_as_text_and_colours_by_sign(trained: Path, browser: Browser) -> None:
    run = open_trained(trained)
    choice = TraceChoice(nulls=2, fitted=64, top=2)
    (found,) = trace(run, [run.completion(" river", " sea")], choice)
    answer = answer_of(run, found, choice)
    pieces = [text for text in HOSTILE if "\ud800" not in text][: len(answer.rows[0].parts)]
    pieces += ["."] * (len(answer.rows[0].parts) - len(pieces))
    rows = [replace(row, pieces=tuple(pieces), source="<img src=x onerror=alert(1)>") for row in answer.rows]
    page_file = write_influence(run, [replace(answer, rows=rows, query="<script>alert(1)</script>")], choice)
    with watched(browser) as seen:
        seen.page.goto(address(page_file))
        seen.page.wait_for_selector(".sequences")
        assert "<script>alert(1)</script>" in (seen.page.text_content("h2") or "")
        assert seen.page.locator("li.context").count() == 4
        most = max(abs(part) for row in rows for part in row.parts)
        for number, row in enumerate(rows):
            tokens = seen.page.locator("li.context").nth(number).locator(".row .token")
            assert tokens.count() == len(row.parts)
            strongest = max(range(len(row.parts)), key=lambda place: abs(row.parts[place]))
            if abs(row.parts[strongest]) / most > 0.02:
                style = tokens.nth(strongest).get_attribute("style") or ""
                assert ("0, 114, 178" in style or "--true" in style) == (row.parts[strongest] > 0)
        assert all(request.startswith("file:") for request in seen.requests)
        assert seen.problems == []
        assert seen.axe() == []
