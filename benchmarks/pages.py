"""How long the browser's pages take with many units: to the first view of the list, to filter, search and sort it.

    python benchmarks/pages.py                    # 1,000 and 100,000 units: a minute
    python benchmarks/pages.py --units 500000

Needs `pip install playwright` and a chromium on the path. The units are made up; the pages are those of a run of 24
drawn units, whose list holds the others as well. Time of a filter: from the call to the places that pass, sorted, in
the page's own code; the drawing of 40 rows is measured with the first view.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
ROUNDS = 5
QUERIES = {
    "one arm": {"arm": "feature"},
    "one arm, by density": {"arm": "feature", "sort": "density"},
    "search for a token": {"q": "river"},
    "search that finds one": {"q": "feature/1500"},
    "two ranges": {"density-from": "0.01", "single-to": "0.5"},
    "all, by density": {"sort": "density"},
    "all, by arm and number": {"sort": "unit"},
}


def measured(page_file: Path, browser: Any) -> dict[str, Any]:
    """Milliseconds, the median of the rounds (the first filter, which prepares the search, apart)."""
    views, times = [], {name: list[float]() for name in QUERIES}
    first: dict[str, float] = {}
    for _ in range(ROUNDS):
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(f"{page_file.as_uri()}#/list")
        page.wait_for_selector(".body .line")
        views.append(page.evaluate("performance.now()"))
        for name, query in QUERIES.items():
            runs = page.evaluate(
                "async (query) => { const columns = await autointerp.parts.index(0); const all = [];"
                " for (let i = 0; i < 4; i++) { const t = performance.now(); autointerp.chosen(columns, query);"
                " all.push(performance.now() - t); } return all; }",
                query,
            )
            first.setdefault(name, runs[0])
            times[name].append(statistics.median(runs[1:]))
        nodes = page.evaluate("document.querySelectorAll('.body *').length")
        page.close()
    return {
        "first view": statistics.median(views),
        "nodes": nodes,
        **{name: statistics.median(found) for name, found in times.items()},
        "first search": first["search for a token"],
    }


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--units", type=int, nargs="*", default=[1_000, 100_000])
    parser.add_argument("--json", type=Path, help="write the numbers here too")
    given = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    from common.machine import machine, sentence
    from playwright.sync_api import sync_playwright

    from autointerp.browser.pages import make
    from tests.browser.made_run import made_run

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        raise SystemExit("no chromium on the path")
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for count in given.units:
            run = made_run(Path(folder) / str(count), undrawn=count, quality={"feature": 0.9, "neuron": 0.5})
            page_file = make([run])
            sizes = sum(path.stat().st_size for path in (run / "browser/data/0").glob("*.js"))
            found[f"{count:,}"] = {"megabytes": sizes / 1e6, **measured(page_file, browser)}
        browser.close()
    print(sentence(machine()))
    print(f"{'units':24s}" + "".join(f"{count:>14s}" for count in found))
    for name in next(iter(found.values())):
        print(f"{name:24s}" + "".join(f"{each[name]:14.1f}" for each in found.values()))
    if given.json:
        given.json.write_text(json.dumps(found, indent=1), "utf8")


if __name__ == "__main__":
    main()
