"""Tables, page, picture and terminal: what is in them, and that they say what can't be seen and what failed."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from autointerp.benchmark_rows import BenchmarkRow, PlantedScore, RecoveryRow, SanityRow
from autointerp.errors import BadInput
from autointerp.planted.figure import draw, picture
from autointerp.planted.findings import amount, controls, findings, headline_lines
from autointerp.planted.meanings import DESCRIPTION, FORMS, NEAR_MISS, NOISE, OTHER, WRONG
from autointerp.planted.page import page, write_page
from autointerp.planted.pairings import EXPLANATIONS, NONE
from autointerp.planted.results import (
    TABLE,
    About,
    Results,
    grouped,
    is_benchmark,
    read_results,
    write_results,
)
from autointerp.planted.sanity import HALVED
from autointerp.planted.statistics import BLIND, BOTH, DEVELOPMENT, SEEN, TEST, Cost, rows_of
from autointerp.plot.style import house_style
from autointerp.tables import read_table
from tests.injections import INJECTIONS

COMMITTED = Path(__file__).parents[2] / "results" / "benchmark"
SEES, GUESSES, ALONE, HOSTILE = "lift", "digits", "lookup", "$x_1$|<b>`"
"""Sees the word alone; is at chance; reads no explanation; has the name that somebody else gave it."""
COLUMNS = (
    "method kind form wrong auroc low high null_mean null_low null_high coverage tokens_per_unit seconds_per_unit n "
    "foils half"
).split()


def _scores() -> list[PlantedScore]:
    found: list[PlantedScore] = []
    for method in (SEES, GUESSES, HOSTILE, ALONE):
        for kind in ("word-class", "position", NOISE):
            for n in range(80):
                test = n % 4 < 2
                unit = f"planted/{kind}/m{n // 2}/{'graded' if n % 2 else 'binary'}"
                for place, sort in enumerate((NONE,) if method == ALONE else EXPLANATIONS):
                    if kind != NOISE or sort in (NONE, OTHER):
                        for form in ("",) if method == ALONE else FORMS:
                            value = _value(method, kind, n, place)
                            found.append(_score(method, unit, kind, test, sort, form, value))
    return found


def _value(method: str, kind: str, n: int, place: int) -> float | None:
    if method == HOSTILE:
        return None
    if method == ALONE:
        return 0.1 if kind == NOISE else 0.5 + n / 100
    sees = method == SEES and kind == "word-class"
    return 1.0 - place / 10 - n / 100 if sees else 0.5


def _score(method: str, unit: str, kind: str, test: bool, sort: str, form: str, value: float | None) -> PlantedScore:
    half, status = TEST if test else DEVELOPMENT, "ok" if value is not None else "unscored"
    reason, foil = "" if value is not None else "no | JSON", "planted/form/x/binary" if sort == OTHER else ""
    return PlantedScore(
        method, unit, kind, half, unit.endswith("graded"), 0.01, sort, form, foil, INJECTIONS[0], value, status, reason
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_results(tmp_path, _about(), _scores(), _rows())
    return tmp_path


def _about() -> About:
    return About(
        "0", 0, 1000, 0.95, "builtin", {"evidence": 10, "held-out": 10}, "tok@1",
        {SEES: "small model", GUESSES: "small model", HOSTILE: "", ALONE: ""}, {"active in too few contexts": 3},
        {"detection": "not asked for", "one-by-one": "no log-probabilities", "sparse-json": "not asked for"},
    )  # fmt: skip


@cache
def _rows() -> tuple[BenchmarkRow, ...]:
    return tuple(row for of in grouped(_scores()) for row in rows_of(of, Cost(48.4, None), _about().plan, 0))


@cache
def _results() -> Results:
    """What reading the folder gives, as the first test says."""
    return Results(_about(), _rows(), tuple(grouped(_scores())))


@cache
def _committed(name: str) -> Results:
    return read_results(COMMITTED.with_name(name))


def test_the_tables_come_back_as_they_were(folder: Path) -> None:
    assert is_benchmark(folder)
    table = read_table(folder / TABLE)
    assert list(table.columns) == COLUMNS
    assert set(table["half"]) == {TEST, DEVELOPMENT, BOTH}
    assert table["coverage"].between(0, 1).all()
    results = read_results(folder)
    assert [scores.method for scores in results.scores] == [SEES, GUESSES, HOSTILE, ALONE]
    assert len(results.rows) == len(table)
    assert (results.about, results.rows) == (_about(), _rows())
    assert page(results) == page(_results())
    row = results.row(SEES, "word-class", DESCRIPTION, NEAR_MISS, BOTH)
    assert row is not None
    assert (row.auroc, row.high, row.n, row.foils, row.seconds_per_unit) == (1.0, 1.0, 40, 1, None)
    assert row.low == pytest.approx(0.025 ** (1 / 40))
    assert results.row(SEES, "word-class", DESCRIPTION, "noise", TEST) is None


def test_a_damaged_folder_is_one_line(folder: Path, tmp_path: Path) -> None:
    (folder / "about.json").write_text('{"seed": 1}')
    with pytest.raises(BadInput, match="about.json is not of this version: run autointerp benchmark again"):
        read_results(folder)
    assert not is_benchmark(tmp_path / "nowhere")


def test_what_is_at_chance_is_a_finding_with_its_model() -> None:
    said = list(findings(_results()))
    assert any(line.startswith(f"{SEES}, told in lists, tells the true explanation from wrong ones") for line in said)
    assert any(line.startswith(f"{GUESSES}, told in descriptions, is at chance with small model") for line in said)
    assert any(line.startswith(f"{ALONE} (reads no explanation) tells units that mean something") for line in said)
    assert any(line.startswith(f"{HOSTILE}, told in descriptions: no unit of the frozen half") for line in said)
    assert all(", n " in line for line in said if not line.startswith(HOSTILE))
    assert not any("control fails" in line for line in said)


def test_a_control_that_fails_is_said() -> None:
    results = _results()
    rows = [
        replace(row, low=0.7, auroc=0.8, high=0.9) if (row.method, row.kind) == (SEES, BLIND) else row
        for row in results.rows
    ]
    (scores, *_) = results.scores
    said = list(controls(replace(results, rows=tuple(rows)), scores))
    assert [line.split(":")[0] for line in said] == [
        f"The control fails for {SEES} ({DESCRIPTION}, {wrong})" for wrong in (OTHER, NEAR_MISS)
    ]


def test_the_page_says_what_cant_be_seen_and_what_failed() -> None:
    text = page(_results())
    assert "blind: " in text
    assert "partly: " in text
    assert f"- {SEES}: `position`; it predicts each token from the explanation alone" in text
    assert "0.50 in its place" in text
    assert "no \\| JSON" in text
    assert "Left out, because this corpus is too poor for them: 3 (active in too few contexts)" in text
    assert "- detection, sparse-json: not asked for" in text
    assert "- one-by-one: no log-probabilities" in text
    assert HOSTILE not in text
    assert all(kind in text for kind in ("`word-class`", "`position`"))
    assert text == page(_results())


def test_no_table_pools_what_a_method_sees_with_what_it_does_not() -> None:
    """`lift` tells words and not positions: its headline is of words alone, and its control of positions."""
    text = page(_results())
    seen, control = (
        text.split(f"\n## {name}")[1].split("\n## ")[0] for name in ("What a method can see", "What a method can't")
    )
    assert "| lift | 20 | 1 | **1.00 [0.83, 1.00]** |" in seen
    assert "at chance" in control
    assert "all kinds" not in text


def test_the_picture_shows_every_method_against_everything_wrong() -> None:
    results = _results()
    with house_style():
        figure = picture(results)
        figure.canvas.draw()
    panels = [*((SEEN, wrong) for wrong in WRONG), (BLIND, OTHER), (SEEN, NOISE)]
    for axis, (pool, wrong) in zip(figure.axes, panels, strict=True):
        assert np.asarray(axis.lines[0].get_xdata()).tolist() == [0.5, 0.5]
        points = sorted(float(np.asarray(line.get_xdata())[0]) for line in axis.lines if line.get_marker() == "o")
        rows = [r for r in results.rows if (r.kind, r.wrong, r.half) == (pool, wrong, TEST) and r.auroc is not None]
        assert points == pytest.approx(sorted(r.auroc for r in rows if r.auroc is not None))
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    sizes = {row.method: row.n for row in results.rows if (row.kind, row.half) == (SEEN, TEST)}
    assert labels[:2] == [f"{name}\nn = {sizes[name]}" for name in (SEES, GUESSES)]


def test_the_page_says_whether_scores_tell_and_whether_meanings_are_found() -> None:
    checks = (SanityRow("pearson", "uniform", HALVED, 0.9, 0.8, 1.0, 30, 4),)
    ends = tuple(
        RecoveryRow("lift", f"planted/{kind}/m{n}/binary", kind, TEST, INJECTIONS[0], 0.5, 0.25, 0.75, found)
        for kind, found in (("form", 0.6), ("after", 0.1))
        for n in range(8)
    )
    text = page(replace(_results(), sanity=checks, recovery=ends))
    assert "| `pearson` | uniform | half of the labels missing | 30 | 4 | 0.90 [0.80, 1.00] |" in text
    assert "| lift | the token decides | 8 | 0.50 | 0.25 | 0.75 | 0.60 | 1.00 [0.63, 1.00] |" in text
    assert "| lift | the context decides | 8 | 0.50 | 0.25 | 0.75 | 0.10 | 0.00 [0.00, 0.37] |" in text


def test_files_are_the_same_again(folder: Path) -> None:
    first = {path: path.read_bytes() for path in (*draw(folder), write_page(folder))}
    assert {path.name for path in first} == {"benchmark.svg", "benchmark.png", "benchmark.md"}
    again = {path: path.read_bytes() for path in (*draw(folder), write_page(folder))}
    assert first == again


def test_the_terminal_shows_n_and_what_did_not_run() -> None:
    lines = list(headline_lines(_results()))
    assert lines[0].split()[:5] == ["method", "told", "as", "n", "foils"]
    assert [line.split()[:2] for line in lines[1:5]] == [[m, form] for m in (SEES, GUESSES) for form in FORMS]
    assert "not run: detection, sparse-json: not asked for" in lines
    assert any(line.startswith(f"{ALONE} reads no explanation") for line in lines)


def test_amounts() -> None:
    assert [amount(v) for v in (None, 0.0, 0.0417, 48.4, 12_345.0)] == ["?", "0", "0.0417", "48.4", "12,345"]


@pytest.mark.parametrize("method", ["literal", "literal-words"])
@pytest.mark.parametrize("wrong", [OTHER, NEAR_MISS])
def test_string_matching_is_at_half_on_what_it_can_not_see_in_the_committed_benchmark(method: str, wrong: str) -> None:
    row = _committed("benchmark").row(method, BLIND, DESCRIPTION, wrong, TEST)
    assert row is not None
    assert row.n >= 24
    assert row.low is not None
    assert row.high is not None
    assert row.low <= 0.5 <= row.high


@pytest.mark.parametrize("name", ["benchmark", "benchmark-larger", "benchmark-larger-short"])
def test_the_committed_page_is_what_its_tables_say(name: str) -> None:
    assert COMMITTED.with_name(name).joinpath("benchmark.md").read_text("utf8") == page(_committed(name))
