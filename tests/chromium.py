"""A real browser for the tests of pages: Debian's chromium, driven by playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

GET_IT = "apt-get update && apt-get install -y --no-install-recommends chromium"
_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
_BROWSER = os.environ.get("AUTOINTERP_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser; the test is skipped where there is none, with the command that gets it."""
    if _BROWSER is None:
        pytest.skip(f"no chromium on the path: {GET_IT}")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=_BROWSER, args=_ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Watched:
    """A page of which everything is written down that it must not do."""

    page: Page
    requests: list[str] = field(default_factory=list)
    """Addresses asked, of whatever scheme."""
    problems: list[str] = field(default_factory=list)
    """Errors, warnings of the console, dialogs."""

    def axe(self) -> list[str]:
        """What axe-core finds that is serious or critical: one line each."""
        found: Any = Axe().run(self.page).response["violations"]
        return [
            f"{each['id']}: {each['help']}: {node['html'][:160]}"
            for each in found
            if each["impact"] in ("serious", "critical")
            for node in each["nodes"]
        ]


@contextmanager
def watched(browser: Browser, **settings: Any) -> Iterator[Watched]:
    """A new page, in a context of its own (`settings`: size, colours, scripts on or off...)."""
    context = browser.new_context(**settings)
    # axe is injected by the test, which the pages' policy would refuse: the driver evaluates it beside the policy.
    page = context.new_page()
    seen = Watched(page)
    page.on("request", lambda request: seen.requests.append(request.url))
    page.on("console", lambda said: seen.problems.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: seen.problems.append(str(error)))

    def dialog(opened: Any) -> None:
        seen.problems.append(f"dialog: {opened.message}")
        opened.dismiss()

    page.on("dialog", dialog)
    try:
        yield seen
    finally:
        context.close()


def address(path: Path) -> str:
    """Of a file, for the browser."""
    return path.resolve().as_uri()
