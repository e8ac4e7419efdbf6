"""The committed result with the offline model: the page says what its tables say, and the docs what the page says."""

from __future__ import annotations

from pathlib import Path

import pytest

from autointerp.prompting import load_prompt
from autointerp.self_explanation.account_findings import better_than_chance, interval_of
from autointerp.self_explanation.account_folder import PAGE, AccountResults, read_accounts
from autointerp.self_explanation.account_measures import BY_DELETION, PLANTED_FOUND
from autointerp.self_explanation.account_report import page_of
from autointerp.self_explanation.explaining_itself import PROMPTS
from autointerp.self_explanation.faithfulness_tables import ACCURACY, PREDICT

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "results" / "self-explanation"
DOCS = (ROOT / "docs" / "self-explanation.md").read_text("utf8")


@pytest.fixture(scope="module")
def results() -> AccountResults:
    return read_accounts(FOLDER)


def test_the_page_is_what_the_tables_make(results: AccountResults) -> None:
    assert (FOLDER / PAGE).read_text("utf8") == page_of(results)


def test_the_docs_tell_every_number_of_every_method(results: AccountResults) -> None:
    for method in results.methods:
        rows = [results.row(method, measure) for measure in (*BY_DELETION, PLANTED_FOUND)]
        cells = [interval_of(row) if row is not None else "\u2013" for row in rows]
        assert f"| `{method}` | {' | '.join(cells)} |" in DOCS, f"| `{method}` | {' | '.join(cells)} |"
    label = results.row(PREDICT, ACCURACY)
    assert label is not None
    assert f"{interval_of(label)} of {label.n}" in DOCS
    assert ("better than chance at the label" in DOCS) == better_than_chance(label)


def test_the_result_is_of_the_held_out_half_and_of_the_prompts_that_ship(results: AccountResults) -> None:
    assert "held-out half" in results.about.reviews
    assert results.about.prompts == {name: load_prompt(prompt).identity for name, prompt in PROMPTS.items()}
