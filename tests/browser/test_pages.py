"""The pages in a real browser, from `file://`: every page, 100,000 units, hostile text, keyboard, screen readers."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from autointerp.browser.pages import make
from autointerp.errors import BadInput
from autointerp.tables import read_table
from tests.browser.made_run import HOSTILE_TEXTS, UNREADABLE, made_run
from tests.chromium import Watched, address, chromium, watched

MANY = 100_000
_TRAP = "window.hit = () => { window.wasHit = true; }"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    runs = [made_run(folder / "one", undrawn=40), made_run(folder / "two", quality={"feature": 0.4, "neuron": 0.4})]
    make(runs)
    return runs[0]


@pytest.fixture
def seen(browser: Browser, run: Path) -> Iterator[Watched]:
    """A page that must ask nobody, run nothing and complain of nothing."""
    with watched(browser, viewport={"width": 1280, "height": 800}) as opened:
        opened.page.add_init_script(_TRAP)
        yield opened
        assert all(url.startswith(("file:", "blob:")) for url in opened.requests)
        assert opened.problems == []
        assert opened.page.evaluate("window.wasHit") is None


def _open(page: Page, run: Path, place: str = "") -> None:
    page.goto(f"{address(run / 'browser/index.html')}#/{place}")
    page.wait_for_selector("main h1")
    expect(page.locator("main [role=status]", has_text="loading")).to_have_count(0)


def test_the_overview_answers_and_every_point_leads_to_its_unit(seen: Watched, run: Path) -> None:
    _open(seen.page, run)
    expect(seen.page.locator(".answer")).to_contain_text("SAE features score")
    points = seen.page.locator("svg a:has(circle)")
    scores = read_table(run / "scores.parquet")
    own = scores[(scores["scorer"] == "lift") & (scores["metric"] == "pearson") & (scores["pairing"] == "own")
                 & (scores["slice"] == "top-and-random") & (scores["status"] == "ok")]  # fmt: skip
    assert points.count() == len(own)
    told = {re.split(": ", str(label))[0] for label in points.evaluate_all("all => all.map((a) => a.ariaLabel)")}
    assert told == set(own["unit"])
    label = str(points.first.get_attribute("aria-label"))
    points.first.click()
    expect(seen.page.locator("h1")).to_have_text(label.split(":")[0])


def test_a_unit_page_shows_what_stands_behind_its_score(seen: Watched, run: Path) -> None:
    page = seen.page
    _open(page, run, "u/feature/8")
    text = page.locator("main").inner_text()
    scores = read_table(run / "scores.parquet")
    own = scores[(scores["unit"] == "feature/8") & (scores["scorer"] == "lift") & (scores["metric"] == "pearson")
                 & (scores["pairing"] == "own") & (scores["slice"] == "top-and-random")].iloc[0]  # fmt: skip
    assert f"Score: {own['value']:.2f}" in text
    assert f"{own['n_tokens']} tokens of {own['n_contexts']} contexts" in text
    assert "Its null: with the explanations of 16 other units of its arm" in text
    assert re.search(r"Rank \d+ of 10 SAE features", text)
    for words in (
        "Neurons that make it up", "Nearest features by decoder", "Features active with it", "layers.5.mlp.neurons",
        "Every candidate (2)", "of 1000 tokens are active", "Evidence: what the explainer saw",
    ):  # fmt: skip
        assert words in text, words
    assert page.locator(".context").first.locator(".row").count() == 2, "true above, predicted below"
    page.locator(".context .token").nth(3).hover()
    expect(page.locator(".told").first).to_contain_text("true ")
    expect(page.locator(".told").first).to_contain_text("predicted ")
    page.get_by_label("whole contexts").check()
    assert page.locator(".context").first.locator(".row").first.locator(".token").count() == 24
    page.get_by_text("Every candidate (2)").click()
    expect(page.locator("pre")).to_have_text(UNREADABLE)


def test_the_neuron_beside_a_feature_is_a_link_where_it_has_a_page(seen: Watched, run: Path) -> None:
    page = seen.page
    _open(page, run, "u/feature/8")
    near = page.locator(".near", has=page.get_by_role("link", name="3-", exact=True)).first
    expect(near.get_by_text("88888+")).to_have_attribute("title", "not drawn: no page")
    near.get_by_role("link", name="3-", exact=True).click()
    expect(page.locator("h1")).to_have_text("neuron/3-")
    expect(page.locator("aside").first).to_contain_text("Features that use it")
    page.go_back()
    expect(page.locator("h1")).to_have_text("feature/8")
    page.go_forward()
    expect(page.locator("h1")).to_have_text("neuron/3-")


def test_hostile_explanations_are_text_on_every_page(seen: Watched, run: Path) -> None:
    page = seen.page
    explanations = read_table(run / "explanations.parquet")
    for text in HOSTILE_TEXTS:
        unit = str(explanations.loc[explanations["text"] == text, "unit"].iloc[0])
        _open(page, run, f"u/{unit}")
        shown = page.locator(".explanation").inner_text()
        assert shown == text.replace("\u202e", "\\u202e").replace("\x07", "\\u0007").replace("\x1b", "\\u001b")
    for place in (
        "list",
        "failures",
        "compare?a=0%3Afeature%2F0&b=1%3Afeature%2F0",
        "nothing<img>",
        "u/%E0%A4%A",
        "u/__proto__",
    ):
        _open(page, run, place)
        assert page.locator("main img, main script, main svg[onload]").count() == 0
    _open(page, run, "failures")
    page.get_by_text("no explanation in the answer").first.click()
    expect(page.locator("pre").first).to_have_text(UNREADABLE)


def test_the_list_is_sorted_filtered_and_searched_and_its_address_says_how(seen: Watched, run: Path) -> None:
    page = seen.page
    _open(page, run, "list")
    everything = page.locator("main > div > p[role=status]")
    expect(everything).to_have_text("102 of 102 units")
    page.get_by_label("arm").select_option("neuron")
    expect(everything).to_have_text("14 of 102 units")
    page.get_by_role("columnheader", name="score").get_by_role("button").click()
    shown = [float(text.replace("\u2212", "-")) for text in page.locator(".body .cell.score").all_inner_texts() if text]
    assert shown == sorted(shown, reverse=True)
    assert len(shown) > 8
    assert "arm=neuron" in page.url
    assert "sort=score" in page.url
    page.reload()
    expect(everything).to_have_text("14 of 102 units")
    page.get_by_role("button", name="clear").click()
    page.locator("#search").fill("onerror=hit()")
    expect(everything).to_have_text("1 of 102 units")
    page.locator("#search").fill("")
    page.get_by_label("status").select_option("unexplained")
    expect(page.locator(".body .cell.text")).to_have_text("no word among its top tokens")
    page.get_by_label("status").select_option("")
    page.get_by_text("ranges").click()
    page.get_by_label("density, to").fill("0.0005")
    expect(everything).not_to_have_text("102 of 102 units")
    assert "density-to=0.0005" in page.url


def test_the_keyboard_goes_everywhere(seen: Watched, run: Path) -> None:
    page = seen.page
    _open(page, run)
    page.keyboard.press("/")
    expect(page.locator("#search")).to_be_focused()
    page.keyboard.type("feature/3")
    expect(page.locator(".body .line")).to_have_count(1)
    page.keyboard.press("Escape")
    page.keyboard.press("o")
    expect(page.locator("h1")).to_have_text("How interpretable are they?")
    _open(page, run, "list?arm=feature&sort=score")
    order = page.locator(".body .cell.unit a").all_inner_texts()
    page.locator(".body .cell.unit a").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text(order[0])
    for key, place in (("n", 1), ("n", 2), ("p", 1)):
        page.keyboard.press(key)
        expect(page.locator("h1")).to_have_text(order[place])
    page.keyboard.press("f")
    expect(page.locator("h1")).to_have_text("Failures")
    page.keyboard.press("r")
    expect(page.locator("h1")).to_contain_text("/")
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.keyboard.press("t")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before
    page.keyboard.press("?")
    expect(page.get_by_label("keys", exact=True).last).to_be_visible()


def test_one_unit_in_two_runs_is_seen_side_by_side(seen: Watched, run: Path) -> None:
    page = seen.page
    _open(page, run, "compare?a=0%3Afeature%2F4&b=1%3Afeature%2F4")
    expect(page.locator("section[aria-label$=' unit'] h2")).to_have_text(["feature/4 one", "feature/4 two"])
    scores = [page.locator("section[aria-label$=' unit']").nth(place).inner_text() for place in range(2)]
    for place, folder in enumerate((run, run.parent / "two")):
        table = read_table(folder / "scores.parquet")
        own = table[(table["unit"] == "feature/4") & (table["scorer"] == "lift") & (table["metric"] == "pearson")
                    & (table["pairing"] == "own") & (table["slice"] == "top-and-random")].iloc[0]  # fmt: skip
        assert f"Score {own['value']:.2f}" in scores[place].replace("\u2212", "-")
    page.get_by_role("textbox", name="second unit").fill("nothing/1")
    page.get_by_role("button", name="show").nth(1).click()
    expect(page.get_by_role("alert")).to_contain_text("nothing/1 has no page in two")
    _open(page, run, "run/1/u/feature/4")
    expect(page.locator("dd").last).to_have_text("two")


@pytest.mark.parametrize("settings", [
    {"viewport": {"width": 1280, "height": 800}}, {"viewport": {"width": 390, "height": 844}},
    {"viewport": {"width": 1280, "height": 800}, "color_scheme": "dark"},
])  # fmt: skip
def test_nothing_serious_for_axe_and_no_page_is_wider_than_its_screen(
    browser: Browser, run: Path, settings: dict[str, object]
) -> None:
    with watched(browser, **settings) as opened:
        for place in ("", "list", "u/feature/8", "u/neuron/3-", "u/feature/1", "u/feature/1020", "failures",
                      "compare?a=0%3Afeature%2F4&b=0%3Aneuron%2F3-"):  # fmt: skip
            _open(opened.page, run, place)
            opened.page.wait_for_timeout(50)
            assert opened.axe() == [], place
            wide = opened.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wide <= 0, place
        assert opened.problems == []


def test_a_hundred_thousand_units_are_listed_with_few_rows_drawn(browser: Browser, tmp_path: Path) -> None:
    folder = made_run(tmp_path / "run", undrawn=MANY, quality={"feature": 0.9, "neuron": 0.5})
    make([folder])
    first_view = sum((folder / "browser/data/0" / name).stat().st_size for name in ("run.js", "index.js"))
    assert first_view < 12e6
    with watched(browser, viewport={"width": 1280, "height": 800}) as opened:
        page = opened.page
        _open(page, folder, "list?sort=density")
        everything = page.locator("main > div > p[role=status]")
        expect(everything).to_have_text("100,026 of 100,026 units")
        assert page.locator(".body .line").count() < 60
        shown = [float(text.strip("%")) for text in page.locator(".body .cell.density").all_inner_texts() if text]
        assert shown == sorted(shown, reverse=True)
        page.locator("#search").fill("feature/100999")
        expect(everything).to_have_text("1 of 100,026 units")
        page.locator("#search").fill("")
        page.locator(".body").evaluate("(body) => { body.scrollTop = body.scrollHeight; }")
        expect(page.locator(".body .line").last).to_have_attribute("aria-rowindex", str(MANY + 27))
        assert page.locator(".body .line").count() < 60
        assert opened.problems == []


def test_a_file_that_is_missing_is_said_on_the_page(browser: Browser, run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run / "browser", copy / "browser")
    (copy / "browser/data/0/shards/0000.js").unlink()
    with watched(browser) as opened:
        _open(opened.page, copy, "u/feature/8")
        expect(opened.page.get_by_role("alert")).to_contain_text("0000.js can't be loaded: make the pages again")


def test_no_score_is_shown_without_its_null(browser: Browser, tmp_path: Path) -> None:
    folder = made_run(tmp_path / "run", quality={"feature": 0.9, "neuron": 0.5})
    (folder / "shuffled.parquet").unlink()
    make([folder])
    with watched(browser) as opened:
        _open(opened.page, folder, "u/feature/8")
        expect(opened.page.get_by_text("Its null: with the explanations of other units of its arm")).to_be_visible()
        expect(opened.page.locator("svg.ruler .band")).to_have_count(1)
        _open(opened.page, folder)
        expect(opened.page.locator("svg .band")).to_have_count(2)
        assert opened.problems == []


def test_addresses_that_mean_nothing_say_so_and_break_nothing(seen: Watched, run: Path) -> None:
    page = seen.page
    for sort in ("zzz", "arm_names", "__proto__", "per_shard"):
        _open(page, run, f"list?sort={sort}")
        expect(page.locator("main > div > p[role=status]")).to_have_text("102 of 102 units")
    for place in ("run/9/u/feature/8", "run/x/list", "run/-1/"):
        _open(page, run, place)
        expect(page.locator("main h1")).to_have_text("No such run")
    _open(page, run, "u/feature/8")
    expect(page.locator("h1")).to_have_text("feature/8")


def test_what_scored_and_what_could_not_be_scored_is_said(seen: Watched, run: Path) -> None:
    page = seen.page
    _open(page, run, "u/feature/8")
    expect(page.get_by_text("By lift: Pearson correlation")).to_be_visible()
    _open(page, run, "compare?a=0%3Afeature%2F4&b=0%3Aneuron%2F3-")
    expect(page.get_by_text(re.compile("^Its null: other units' explanations score"))).to_have_count(2)
    assert all("Its null" in str(each.get_attribute("aria-label")) for each in page.locator("svg.ruler").all())


def test_runs_of_one_name_are_told_apart_and_none_is_named_twice(tmp_path: Path) -> None:
    first = made_run(tmp_path / "a" / "demo", quality={"feature": 0.9, "neuron": 0.5})
    second = tmp_path / "b" / "demo"
    shutil.copytree(first, second)
    make([first, second])
    assert '["a/demo","b/demo"]' in (first / "browser/data/runs.js").read_text("ascii")
    with pytest.raises(BadInput, match="named twice"):
        make([first, first])
