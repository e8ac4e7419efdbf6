"""The rating page in a real browser: keys, no scrolling, stopping and going on, and a file that the run takes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from autointerp.artifacts import write_text
from autointerp.pages.writing import data_script
from autointerp.rate.drawing import PageChoice, draw
from autointerp.rate.handing_out import FOLDER, HandedOut, hand_out, sheet_of
from autointerp.rate.taking import read_ratings, take
from autointerp.study_file import study_of
from tests.chromium import Watched, address, chromium, watched
from tests.pages.test_writing import HOSTILE as ANY_TEXT
from tests.rate.doubles import signed

HOSTILE = [text for text in ANY_TEXT if "\ud800" not in text]
"""What a table can hold."""
SCREEN = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def made(run: Path) -> HandedOut:
    return hand_out(run, PageChoice())


def _until(page: Page, script: str, arg: Any = None) -> None:
    """Wait until a function of the page is true; asked from here, since the page's policy lets nobody make code."""
    for _ in range(200):
        if page.evaluate(script, arg):
            return
        page.wait_for_timeout(20)
    raise AssertionError(f"never true: {script}")


def begin(seen: Watched, made: HandedOut, name: str = "Änne B.") -> Page:
    """To the first unit, by keys alone."""
    page = seen.page
    page.goto(address(made.page))
    page.wait_for_selector("form")
    for _ in range(9):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.type") == "text":
            break
    page.keyboard.type(name)
    page.keyboard.press("Enter")
    page.wait_for_selector("main.unit")
    return page


def press(page: Page, keys: str) -> int:
    """Keys of one unit, and Enter; how many that were."""
    place = page.locator("h1").inner_text()
    for key in keys:
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    _until(page, "before => document.querySelector('h1').innerText !== before", arg=place)
    return len(keys) + 1


def saved(page: Page, path: Path) -> Path:
    with page.expect_download() as download:
        page.get_by_role("button", name="Save answers").click()
    download.value.save_as(path)
    return path


def test_a_unit_takes_at_most_six_keys_and_no_scrolling_and_the_run_takes_the_file(
    browser: Browser, made: HandedOut, run: Path, tmp_path: Path
) -> None:
    items = list(made.sheet.items)
    with watched(browser, viewport=SCREEN, accept_downloads=True) as seen:
        page = begin(seen, made)
        for place in range(len(items)):
            assert page.locator("h1").inner_text() == f"Unit {place + 1} of {len(items)}"
            assert page.evaluate("document.documentElement.scrollHeight <= innerHeight"), f"unit {place} is too tall"
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            assert page.locator(".moves").bounding_box()["y"] + 30 < SCREEN["height"]  # type: ignore[index]
            assert press(page, f"{place % 4}{place % 6}1{(place + 1) % 4}") <= 6
        assert page.locator("h1").inner_text() == "All units are answered"
        path = saved(page, tmp_path / "saved.json")
        assert seen.problems == []
        assert all(url.startswith(("file:", "blob:")) for url in seen.requests)
    (told,) = take(run, [path])
    assert (told.rater, told.added, told.still_open) == ("Änne B.", len(items), 0)
    rows = {row.item: row for row in read_ratings(run)}
    for place, item in enumerate(items):
        row = rows[item]
        given = (row.confidence, row.activations, row.logits, row.specificity)
        assert given == (place % 4, place % 6, 1, (place + 1) % 4)
        assert row.seconds is not None
        assert row.seconds < 60


def test_keys_are_taken_back_passed_over_and_refused_with_a_word(browser: Browser, made: HandedOut) -> None:
    with watched(browser, viewport=SCREEN) as seen:
        page = begin(seen, made)
        page.keyboard.press("4")
        assert page.locator(".said").inner_text() == "Question 1 takes 0 to 3."
        page.keyboard.press("3")
        page.keyboard.press("Enter")
        assert page.locator(".said").inner_text() == "Question 2 has no answer yet."
        page.keyboard.press("Backspace")
        assert page.locator("input:checked").count() == 0
        page.keyboard.press("s")
        _until(page, "() => document.querySelector('h1').innerText.startsWith('Unit 2')")
        page.keyboard.press("p")
        _until(page, "() => document.querySelector('h1').innerText.startsWith('Unit 1')")
        assert "passed over" in page.locator("header").inner_text()
        # The pointer does the same as the keys.
        for part in range(4):
            page.locator("fieldset").nth(part).locator("input").nth(2).check()
        page.get_by_role("button", name="Next (Enter)").click()
        _until(page, "() => document.querySelector('h1').innerText.startsWith('Unit 2')")
        page.keyboard.press("p")
        assert page.locator("input:checked").count() == 4
        assert seen.problems == []


def test_a_rater_stops_and_goes_on_here_or_elsewhere(browser: Browser, made: HandedOut, tmp_path: Path) -> None:
    with watched(browser, viewport=SCREEN, accept_downloads=True) as seen:
        page = begin(seen, made, "ben")
        for _ in range(3):
            press(page, "1111")
        page.reload()
        page = begin(seen, made, "cleo")
        assert page.locator("h1").inner_text().startswith("Unit 1 "), "another rater begins at the beginning"
        page = begin(seen, made, "ben")
        assert page.locator("h1").inner_text().startswith("Unit 4 ")
        path = saved(page, tmp_path / "part.json")
    with watched(browser, viewport=SCREEN, accept_downloads=True) as seen:
        page = seen.page
        page.goto(address(made.page))
        page.set_input_files("input[type=file]", path)
        page.wait_for_selector("main.unit")
        assert page.locator("h1").inner_text().startswith("Unit 4 ")
        press(page, "2222")
        later = json.loads(saved(page, tmp_path / "more.json").read_text("utf8"))
    first = json.loads(path.read_text("utf8"))
    assert later["answers"][:3] == first["answers"]
    assert (later["session"], len(later["answers"])) == (first["session"], 4)
    assert signed(later) == later
    wrong = [
        ({**first, "sheet": "0" * 12}, "of another page"), ({**first, "rater": "x"}, "was changed"),
        ({"what": "scores"}, "holds no ratings"), ("<img src=x onerror=alert(1)>", "holds no ratings"),
    ]  # fmt: skip
    with watched(browser, viewport=SCREEN) as seen:
        seen.page.goto(address(made.page))
        for value, said in wrong:
            other = tmp_path / "other.json"
            other.write_text(json.dumps(value), encoding="utf8")
            seen.page.set_input_files("input[type=file]", other)
            _until(seen.page, "said => document.querySelector('[role=alert]').innerText.includes(said)", arg=said)
        assert seen.problems == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [SCREEN, PHONE], ids=["screen", "phone"])
def test_it_can_be_read_by_everybody(browser: Browser, made: HandedOut, scheme: Any, size: Any) -> None:
    with watched(browser, viewport=size, color_scheme=scheme) as seen:
        page = seen.page
        page.goto(address(made.page))
        page.wait_for_selector("form")
        assert seen.axe() == []
        page.fill("input[type=text]", "dora")
        page.get_by_role("button", name="Begin, or go on").click()
        for _ in range(3):
            page.wait_for_selector("main.unit")
            page.keyboard.press("2")
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing beside the screen"
            assert seen.axe() == []
            press(page, "302")
        page.get_by_role("button", name="Stop").click()
        assert "still open" in page.locator("h1").inner_text()
        assert seen.axe() == []
        assert seen.problems == []


def test_hostile_texts_are_shown_and_run_nothing(browser: Browser, run: Path) -> None:
    drawn = draw(study_of(run), run, PageChoice())
    window = replace(drawn.items[0].unit.windows[0], pieces=tuple(HOSTILE), strongest=0)
    items = tuple(
        replace(
            item, explanation=replace(item.explanation, text=HOSTILE[n % len(HOSTILE)]),
            unit=replace(item.unit, windows=(window, *item.unit.windows[1:]), promoted=tuple(HOSTILE[:8])),
        )
        for n, item in enumerate(drawn.items)
    )  # fmt: skip
    made = hand_out(run, PageChoice())
    write_text(run / FOLDER / "data.js", data_script("rating", sheet_of(replace(drawn, items=items))[1]))
    with watched(browser, viewport=SCREEN) as seen:
        seen.page.add_init_script("window.hit = () => { window.wasHit = true; }")
        page = begin(seen, made, HOSTILE[0])
        for _ in range(len(HOSTILE)):
            assert page.locator("main img, main script").count() == 0
            press(page, "0000")
        assert page.evaluate("window.wasHit") is None
        assert seen.problems == []
