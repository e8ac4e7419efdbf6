"""A unit in a notebook shows what the tables hold, as text."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from autointerp.errors import BadInput
from autointerp.run.folder import Run
from autointerp.study_file import load_study
from autointerp.tables import read_table, write_table
from tests.fake_run import Plan, finished


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = finished(tmp_path_factory.mktemp("made") / "run", Plan(unexplained=["feature/1"], constant=["feature/2"]))
    explanations = read_table(folder / "explanations.parquet")
    explanations.loc[explanations["unit"] == "feature/3", "text"] = (
        "</div><script>hit()</script><img src=x onerror=hit()>"
    )
    write_table("explanations", folder / "explanations.parquet", explanations.to_dict("records"))
    return Run(folder, load_study(folder / "study.toml"))


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def _read(html: str) -> _Tags:
    parser = _Tags()
    parser.feed(html)
    return parser


def test_scores_and_contexts_are_those_of_the_tables(run: Run) -> None:
    unit = run.unit("feature/4")
    scores = run.table("scores")
    own = scores[(scores["unit"] == "feature/4") & (scores["scorer"] == "lift") & (scores["metric"] == "pearson")
                 & (scores["slice"] == "top-and-random")].set_index("pairing")["value"]  # fmt: skip
    assert unit.score() == own["own"]
    assert unit.score(pairing="shuffled") == own["shuffled"]
    assert unit.score("lookup") > unit.score()  # type: ignore[operator]
    assert len(unit.scores) == (scores["unit"] == "feature/4").sum()
    evidence = run.table("evidence")
    evidence = evidence[evidence["unit"] == "feature/4"]
    assert unit.contexts["context"].tolist() == evidence["context"].tolist()
    for mine, row in zip(unit.contexts.to_dict("records"), evidence.to_dict("records"), strict=True):
        found: Any = mine
        np.testing.assert_array_equal(found["activations"], row["activations"])
        assert (found["predicted"] is None) == (found["split"] == "evidence")
        assert len(found["pieces"]) == len(found["activations"])


def test_it_shows_itself_and_no_text_becomes_markup(run: Run) -> None:
    for name in ("feature/3", "feature/4", "neuron/0-", "feature/1", "feature/2"):
        seen = _read(run.unit(name)._repr_html_())
        assert seen.tags == {"div", "span", "b", "bdi", "table", "tr", "td"} | ({"i"} if name == "feature/1" else set())
        assert seen.attributes == {"style", "title"}
    shown = _read(run.unit("feature/3")._repr_html_()).text
    assert "</div><script>hit()</script><img src=x onerror=hit()>" in shown
    assert "\u202e" not in shown
    assert "unscored" in _read(run.unit("feature/2")._repr_html_()).text
    found = re.search(r"(-|−)?\d\.\d\d its explanation", _read(run.unit("feature/4")._repr_html_()).text)
    assert found
    assert f"{run.unit('feature/4').score():.2f}" in found[0]


def test_a_unit_that_is_not_there_is_said_with_the_nearest(run: Run) -> None:
    with pytest.raises(BadInput, match=r"no unit 'feature/44': did you mean 'feature/4'\?"):
        run.unit("feature/44")
