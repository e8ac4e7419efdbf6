"""Files of raters are whole and of this run, or refused in one line; of those that are taken nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autointerp.errors import BadInput
from autointerp.rate.drawing import PageChoice
from autointerp.rate.handing_out import Sheet, hand_out
from autointerp.rate.received import read_file
from autointerp.rate.taking import RATINGS, RECEIVED, read_ratings, take
from autointerp.records import Status
from autointerp.tables import read_table
from tests.rate.doubles import answer, answers_file, played, save, signed

File = dict[str, Any]


@pytest.fixture
def sheet(run: Path) -> Sheet:
    return hand_out(run, PageChoice()).sheet


def of(sheet: Sheet, count: int, rater: str = "anna", **more: Any) -> File:
    return answers_file(sheet, rater, [answer(item, **more) for item in list(sheet.items)[:count]])


def changed(change: Callable[[File], None]) -> Callable[[File], File]:
    def done(file: File) -> File:
        change(file)
        return signed(file)

    return done


REFUSED: dict[str, tuple[Callable[[File], Any], str]] = {
    "no object": (lambda _: [1, 2], "holds no ratings"),
    "another thing": (lambda f: {**f, "what": "scores"}, "holds no ratings"),
    "a later version": (changed(lambda f: f.update(version=2)), "is of version 2"),
    "true for 1": (changed(lambda f: f.update(version=True)), "is of version true"),
    "another run's": (changed(lambda f: f.update(sheet="0123456789ab")), "this run has not handed out"),
    "a page that is none": (lambda f: {**f, "sheet": ["x"]}, "this run has not handed out"),
    "a further key": (lambda f: {**f, "arm": "feature"}, "not laid out"),
    "no list": (lambda f: {**f, "answers": {}}, "not laid out"),
    "no name": (changed(lambda f: f.update(rater="  ")), "by a rater named"),
    "a name that turns the line": (changed(lambda f: f.update(rater="a\u202eb")), "by a rater named"),
    "a long name": (changed(lambda f: f.update(rater="n" * 41)), "by a rater named"),
    "a session": (changed(lambda f: f.update(session="../../x")), "has a session"),
    "an unknown item": (changed(lambda f: f["answers"][0].update(item="ffffffffffff")), "which its page does not show"),
    "an item that is no text": (lambda f: (f["answers"][0].update(item={}), f)[1], "which its page does not show"),
    "an item twice": (changed(lambda f: f["answers"].append(f["answers"][0])), "twice"),
    "too many points": (changed(lambda f: f["answers"][1].update(confidence=4)), "has confidence 4, not 0 to 3"),
    "fewer than none": (changed(lambda f: f["answers"][1].update(activations=-1)), "has activations -1, not 0 to 5"),
    "half a point": (changed(lambda f: f["answers"][1].update(specificity=1.5)), "has specificity 1.5"),
    "true for a point": (changed(lambda f: f["answers"][1].update(specificity=True)), "has specificity true"),
    "half an answer": (changed(lambda f: f["answers"][1].update(logits=None)), "has logits null, not 0 to 3"),
    "points for what was passed over": (changed(lambda f: f["answers"][0].update(status="skipped")), "not nothing"),
    "a status": (changed(lambda f: f["answers"][0].update(status="best")), 'has status "best"'),
    "a time": (changed(lambda f: f["answers"][0].update(at=10**30)), "has at"),
    "a part that is none": (changed(lambda f: f["answers"][0].update(total=14)), "not laid out"),
    "edited": (lambda f: (f["answers"][2].update(confidence=3), f)[1], "was changed since it was saved"),
    "another's name on it": (lambda f: {**f, "rater": "ben"}, "was changed since it was saved"),
    "no checksum": (lambda f: {**f, "sum": None}, "was changed since it was saved"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str, run: Path, sheet: Sheet, tmp_path: Path) -> None:
    change, said = REFUSED[name]
    path = save(tmp_path, {"rater": "x"}, "bad")
    path.write_text(json.dumps(change(of(sheet, 4))), encoding="utf8")
    with pytest.raises(BadInput) as refused:
        take(run, [path])
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 300 + len(str(path))
    assert not (run / RATINGS).exists()


@pytest.mark.parametrize(
    "text", ["", "{", "[" * 100_000, '{"a": NaN}', '{"what": 1, "what": 2}', "\udcff", "9" * 5000, "\x00"]
)
def test_what_is_no_json_is_refused(text: str, run: Path, sheet: Sheet, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(text.encode("utf8", "surrogateescape"))
    with pytest.raises(BadInput, match="is not JSON"):
        read_file(path, {sheet.sheet: sheet})
    with pytest.raises(BadInput, match="no file"):
        take(run, [tmp_path / "none.json"])
    with pytest.raises(BadInput, match="can't be read"):
        take(run, [tmp_path])


def test_a_run_without_a_page_takes_nothing(run: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="make the page first"):
        take(run, [tmp_path / "x.json"])


def test_answers_become_rows_with_what_the_key_knows(run: Path, sheet: Sheet, tmp_path: Path) -> None:
    file = of(sheet, 3)
    file["answers"][2].update(dict.fromkeys(("confidence", "activations", "logits", "specificity")), status="skipped")
    (told,) = take(run, [save(tmp_path, signed(file))])
    assert (told.added, told.skipped, told.still_open) == (3, 1, len(sheet.items) - 3)
    rows = {row.item: row for row in read_ratings(run)}
    for item in list(sheet.items)[:2]:
        row = rows[item]
        assert (row.unit, row.arm, row.explanation_of, row.text) == tuple(
            sheet.items[item][name] for name in ("unit", "arm", "explanation_of", "text")
        )
        assert (row.confidence, row.activations, row.logits, row.specificity) == (2, 3, 1, 2)
        assert (row.total, row.points, row.seconds, row.rater, row.rater_kind) == (8, 14, 9.0, "anna", "human")
    passed = rows[file["answers"][2]["item"]]
    assert (passed.total, passed.status, passed.reason) == (None, Status.UNSCORED, "passed over by the rater")


def test_a_second_file_adds_and_the_later_answer_counts(run: Path, sheet: Sheet, tmp_path: Path) -> None:
    early, late = of(sheet, 4), of(sheet, 6)
    late["answers"][0].update(confidence=0, at=early["answers"][0]["at"] + 60)
    late["answers"][1].update(confidence=0, at=early["answers"][1]["at"] - 60)
    paths = [save(tmp_path, early, "early"), save(tmp_path, signed(late), "late")]
    take(run, paths[:1])
    before = (run / RATINGS).read_bytes()
    (again,) = take(run, paths[:1])
    assert (again.added, again.known) == (0, 4)
    assert (run / RATINGS).read_bytes() == before
    (told,) = take(run, paths[1:])
    assert (told.added, told.known, told.changed, told.older) == (2, 2, 1, 1)
    rows = {row.item: row.confidence for row in read_ratings(run)}
    assert [rows[each["item"]] for each in late["answers"]] == [0, 2, 2, 2, 2, 2]
    assert len(list((run / RECEIVED).iterdir())) == 2, "every file is kept as it came"


def test_two_people_of_one_name_are_not_put_together(run: Path, sheet: Sheet, tmp_path: Path) -> None:
    first, second = of(sheet, 4), signed({**of(sheet, 4), "session": "f" * 16})
    paths = [save(tmp_path, first, "first"), save(tmp_path, second, "second")]
    with pytest.raises(BadInput, match="another person named 'anna'.*--rater"):
        take(run, paths)
    assert not (run / RATINGS).exists(), "all files or none"
    take(run, paths[:1])
    take(run, paths[1:], rename="anna 2")
    assert set(read_table(run / RATINGS)["rater"]) == {"anna", "anna 2"}


def test_answers_to_an_earlier_page_are_still_taken(run: Path, sheet: Sheet, tmp_path: Path) -> None:
    later = hand_out(run, PageChoice(seed=5, logits=False)).sheet
    take(run, [save(tmp_path, played(s, name, lambda _: 0.5)) for s, name in ((sheet, "a"), (later, "b"))])
    assert {row.points for row in read_ratings(run)} == {14, 11}
    assert all((row.logits is None) == (row.points == 11) for row in read_ratings(run))
