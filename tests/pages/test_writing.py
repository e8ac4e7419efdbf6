"""Pages run no text as code, load nothing from elsewhere, and carry the library as its authors published it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser

from autointerp.artifacts import write_text
from autointerp.pages.writing import LIBRARY, assets_of, copy_assets, data_script, page
from tests.chromium import address, chromium, watched

HOSTILE = [
    "</script><script>hit()</script>",
    "<img src=x onerror=hit()>",
    "\u202egnp.exe",
    "a\x00\x07\x1b[31m",
    "\u2028\u2029",
    "\ud800",
    "\U000e0041\U0001f600",
    "{{constructor.constructor('hit()')()}}",
    "javascript:hit()",
    "&lt;b&gt; &amp;",
]
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


def test_the_library_is_what_was_published() -> None:
    assets = assets_of("autointerp.pages")
    told = json.loads((assets / "vendored.json").read_text("utf8"))
    assert set(told) == set(LIBRARY)
    for name, each in told.items():
        assert hashlib.sha256((assets / name).read_bytes()).hexdigest() == each["sha256"], name
        assert each["licence"] in ("MIT", "Apache-2.0")
        assert len((assets / each["text"]).read_text("utf8")) > 1000


def test_no_script_of_ours_can_make_code_or_markup_of_text() -> None:
    """A lint: what turns text into markup, code or a request to elsewhere isn't used at all."""
    banned = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser|srcdoc|setHTML|" \
             r"dangerouslySetInnerHTML|importScripts|XMLHttpRequest|WebSocket|sendBeacon|https?://"  # fmt: skip
    scripts = [each for each in ROOT.glob("autointerp/*/assets/*.js") if each.name not in LIBRARY]
    assert scripts
    for script in scripts:
        for line in script.read_text("utf8").splitlines():
            assert not re.search(banned, line), f"{script.name}: {line}"


def test_data_is_ascii_and_ends_no_script() -> None:
    script = data_script("x", {"texts": HOSTILE, "levels": np.array([0, 255], dtype=np.uint8), "none": float("nan")})
    assert script.isascii()
    assert not set("<>&") & set(script)
    value = json.loads(script.removeprefix('autointerp.take("x",').removesuffix(");\n"))
    assert value == {"texts": HOSTILE, "levels": [0, 255], "none": None}
    with pytest.raises(TypeError):
        data_script("x", object())


def test_hostile_text_is_shown_exactly_and_runs_nothing(browser: Browser, tmp_path: Path) -> None:
    copy_assets(tmp_path)
    write_text(tmp_path / "data.js", data_script("x", HOSTILE))
    write_text(
        tmp_path / "show.js",
        'autointerp.load("x", "data.js").then((texts) => autointerp.render(autointerp.html`<main><h1>Texts</h1>'
        "<${autointerp.Row} pieces=${texts} levels=${texts.map(() => 1)} label='true' told=${(i) => texts[i]} />"
        "${texts.map((text) => autointerp.html`<p><${autointerp.Text} text=${text} /></p>`)}</main>`,"
        ' document.getElementById("page")));',
    )
    write_text(tmp_path / "index.html", page(HOSTILE[0], ["show.js"], ""))
    with watched(browser) as seen:
        seen.page.add_init_script("window.hit = () => { window.wasHit = true; }")
        seen.page.goto(address(tmp_path / "index.html"))
        seen.page.wait_for_selector("main")
        assert seen.page.evaluate("window.wasHit") is None
        shown = seen.page.locator("p").all_inner_texts()
        assert all(url.startswith("file:") for url in seen.requests)
        assert seen.problems == []
        assert seen.page.locator("img, main script").count() == 0
        assert seen.axe() == []
    assert shown[0] == HOSTILE[0]
    assert shown[1] == HOSTILE[1]
    assert shown[2] == "\\u202egnp.exe"
    assert shown[3] == "a\\u0000\\u0007\\u001b[31m"
    assert shown[4] == "\\u2028\\u2029"
    assert shown[5] == "\\ud800"
    assert shown[6] == "\\ue0041\U0001f600"
    assert shown[7:] == HOSTILE[7:]


@pytest.mark.parametrize("attack", [
    "const s = document.createElement('script'); s.textContent = 'window.wasHit = 1'; document.body.append(s);",
    "fetch('http://127.0.0.1:9/').catch(() => {}); new Image().src = 'http://127.0.0.1:9/x.png';",
    "try { eval('window.wasHit = 1'); } catch (error) { console.error(error.message); }",
    "const a = document.createElement('a'); a.setAttribute('onclick', 'window.wasHit = 1');"
    "document.body.append(a); a.click();",
])  # fmt: skip
def test_the_policy_holds_even_where_a_script_of_the_page_goes_wrong(
    browser: Browser, tmp_path: Path, attack: str
) -> None:
    copy_assets(tmp_path)
    write_text(tmp_path / "bad.js", f"{attack} document.title = 'done';")
    write_text(tmp_path / "index.html", page("Pages", ["bad.js"], ""))
    with watched(browser) as seen:
        seen.page.goto(address(tmp_path / "index.html"))
        seen.page.wait_for_function("document.title === 'done'")
        assert seen.page.evaluate("window.wasHit") is None
        assert any("Content Security Policy" in problem for problem in seen.problems)
        assert not [url for url in seen.requests if not url.startswith("file:") and "127.0.0.1" not in url]
