"""The verb: from a prompt to tables, page, pictures and the words that say how faithful it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from pandas.testing import assert_frame_equal
from playwright.sync_api import Browser, expect
from typer.testing import CliRunner

import autointerp
from autointerp import attribution_rows
from autointerp.attribution.attributing import AttributionChoice, attribute, costs
from autointerp.attribution.attributors import DUMB, METHODS, AttributionSettings
from autointerp.attribution.drawn import draw
from autointerp.attribution.opening import OpenedModel, SaeAtHook, open_model
from autointerp.attribution.prompts import GivenPrompt, prompts_of_corpus, read_prompts
from autointerp.attribution.saved import SavedAttribution, attribute_into, write_tables
from autointerp.attribution.trust import PERMUTED
from autointerp.cli import app
from autointerp.errors import BadInput
from autointerp.tables import read_table
from tests.attribution.test_matrices import random_sae
from tests.chromium import chromium, watched
from tests.fake_run import HOSTILE
from tests.small import small_study
from tests.tiny import tiny_folder, tiny_loaded

pytestmark = pytest.mark.usefixtures("one_thread")
REAL = tuple(name for name in METHODS if name not in DUMB)
SETTINGS = AttributionSettings(steps=48, draws=64)
PROMPTS = [
    GivenPrompt("A river runs", " to the sea"),
    GivenPrompt("One, two, three,"),
    GivenPrompt("".join(HOSTILE)[:60]),
]


@pytest.fixture(scope="module")
def opened() -> OpenedModel:
    sae = SaeAtHook("own", "layers.1.resid", random_sae(16, 40), {3: "words for <b>rivers</b>", 5: "\u202e"})
    return OpenedModel(tiny_loaded("llama"), sae)


@pytest.fixture(scope="module")
def folder(opened: OpenedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    choice = AttributionChoice(REAL, SETTINGS, tokens=3, chat="no", permuted=True)
    out = tmp_path_factory.mktemp("attribution")
    write_tables(out, opened, list(attribute(opened, PROMPTS, choice)), choice)
    draw(out)
    return out


@pytest.fixture(scope="module")
def browser() -> Any:
    with chromium() as opened:
        yield opened


def test_tables_hold_every_entry_that_a_target_depends_on(opened: OpenedModel, folder: Path) -> None:
    saved = SavedAttribution(folder)
    choice = AttributionChoice(("occlusion",), SETTINGS, tokens=3, chat="no", tried=0)
    for number, each in enumerate(attribute(opened, PROMPTS, choice)):
        matrix = saved.matrix(number, "occlusion")
        there = np.isfinite(matrix)
        assert_allclose(matrix[there], each.matrices["occlusion"].values[there], atol=1e-6)
        assert not each.matrices["occlusion"].values[~there].any()
        for target in range(each.passage.targets):
            assert there[:, target].sum() == each.passage.before(target) - each.passage.fixed
        tokens = saved.of(number)
        assert "".join(tokens["piece"]) == opened.loaded.tokenizer.decode(list(each.passage.ids))
        latents = saved.latents(number)
        assert each.latents is not None
        assert set(latents["latent"]) == {-1, *each.latents.latent.tolist()}
    assert saved.methods == [*REAL, *DUMB]


def test_faithfulness_stands_beside_dumb_methods_and_a_destroyed_model(folder: Path) -> None:
    rows = read_table(folder / "attribution_faithfulness.parquet")
    assert {f"integrated-gradients{PERMUTED}", "random", "recency"} <= set(rows["method"])
    assert (rows.groupby("method").size() == rows.groupby("method").size().iloc[0]).all()
    assert rows[rows["method"] == "lime"]["stability"].notna().all()
    assert rows[rows["method"] == "occlusion"]["stability"].isna().all()
    best = rows.groupby("method")["comprehensiveness"].mean()
    assert best["occlusion"] > best["random"]
    report = (folder / "report.md").read_text("utf8")
    assert "| occlusion | 3 (" in report
    assert "| by how much better than recency |" in report
    assert "Another seed of lime" in report
    assert "Convergence delta of integrated-gradients" in report
    assert "The SAE's error takes" in report


def test_everything_is_drawn_again_from_the_tables_to_the_byte(folder: Path) -> None:
    made = [
        path for path in folder.rglob("*") if path.is_file() and path.suffix in (".png", ".svg", ".md", ".js", ".html")
    ]
    before = {path: path.read_bytes() for path in made}
    assert sum(path.suffix == ".png" for path in made) == len(PROMPTS) * len(REAL)
    done = CliRunner().invoke(app, ["attribute", "--redraw", "--out", str(folder)])
    assert done.exit_code == 0, done.output
    assert {path: path.read_bytes() for path in made} == before


def test_the_page_is_looked_at_in_both_directions_and_runs_no_text(browser: Browser, folder: Path) -> None:
    with watched(browser, viewport={"width": 1280, "height": 900}) as seen:
        page = seen.page
        page.add_init_script("window.hit = () => { window.wasHit = true; }")
        page.goto((folder / "page" / "index.html").as_uri())
        tokens = page.locator(".passage .token")
        count = tokens.count()
        tokens.nth(count - 1).click()
        expect(page.locator(".chosen h2")).to_contain_text(f"Token {count - 1}")
        expect(page.locator("section h3").first).to_have_text("What speaks for it, or against it")
        tokens.nth(1).hover()
        expect(page.locator(".chosen h2")).to_contain_text("Token 1")
        expect(page.locator("section h3").first).to_have_text("What it speaks for, or against")
        page.keyboard.press("ArrowLeft")
        page.mouse.move(0, 0)
        expect(page.locator(".chosen h2")).to_contain_text(f"Token {count - 2}")
        for name in REAL:
            page.locator("select").first.select_option(name)
            expect(page.locator(".chosen h2")).to_be_visible()
        page.locator("select").nth(1).select_option("2")
        expect(page.locator("main img, main script")).to_have_count(0)
        assert seen.axe() == []
        assert page.evaluate("window.wasHit") is None
        assert seen.problems == []
        assert all(url.startswith("file:") for url in seen.requests)
    for scheme in ("light", "dark"):
        with watched(browser, viewport={"width": 390, "height": 800}, color_scheme=scheme) as seen:
            seen.page.goto((folder / "page" / "index.html").as_uri())
            seen.page.wait_for_selector(".passage")
            assert seen.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            assert seen.axe() == []


def test_an_interrupted_call_goes_on_and_an_answered_one_computes_nothing(
    opened: OpenedModel, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choice = AttributionChoice(REAL, SETTINGS, tokens=3, chat="no", permuted=True)
    from autointerp.attribution import attributing

    computed: list[int] = []
    compute = attributing._attributed

    def interrupted(*given: Any) -> Any:
        computed.append(given[3])
        if len(computed) == 2:
            raise KeyboardInterrupt
        return compute(*given)

    monkeypatch.setattr(attributing, "_attributed", interrupted)
    with pytest.raises(KeyboardInterrupt):
        attribute_into(tmp_path, opened, PROMPTS, choice)
    assert not (tmp_path / "passages.parquet").exists()
    attribute_into(tmp_path, opened, PROMPTS, choice)
    assert len(computed) == 4, "the first is not computed again"
    attribute_into(tmp_path, opened, PROMPTS, choice)
    assert len(computed) == 4
    for name in attribution_rows.TABLES:
        assert_frame_equal(read_table(tmp_path / f"{name}.parquet"), read_table(folder / f"{name}.parquet"))
    assert (tmp_path / "attribution.json").read_text() == (folder / "attribution.json").read_text()
    attribute_into(tmp_path, opened, PROMPTS, replace(choice, tokens=2))
    assert len(computed) == 7, "another choice is another question"


def test_passes_are_counted_before_they_are_made(opened: OpenedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that went forward, counted in the model: never more than what was said, and not much fewer."""
    choice = AttributionChoice(REAL, SETTINGS, tokens=3, chat="no", tried=2, permuted=True)
    given = [GivenPrompt("A river runs", " to the sea and")]
    said = costs(opened, given, choice)
    rows = 0

    def count(module: Any, args: Any, kwargs: Any) -> None:
        nonlocal rows
        rows += len(kwargs["input_ids"])

    from autointerp.attribution import attributing

    made = attributing._destroyed(opened.loaded, 0)
    monkeypatch.setattr(attributing, "_destroyed", lambda loaded, seed: made)
    handles = [each.model.register_forward_pre_hook(count, with_kwargs=True) for each in (opened.loaded, made)]
    list(attribute(opened, given, choice))
    for handle in handles:
        handle.remove()
    assert 0.5 * said.forward < rows <= 1.1 * said.forward
    assert said.backward > 0
    assert "GiB beside the weights" in said.line


def test_it_runs_from_the_command_line_and_says_what_it_can_not_do(tmp_path: Path) -> None:
    model, out = str(tiny_folder(tmp_path)), str(tmp_path / "out")
    run = CliRunner().invoke
    done = run(app, ["attribute", model, "A river runs", "--tokens", "2", "--steps", "24", "--out", out])
    assert done.exit_code == 0, done.output
    assert "| integrated-gradients | 1 (" in done.output
    assert (tmp_path / "out" / "page" / "index.html").is_file()
    only = run(app, ["attribute", model, "A river runs", "--estimate", "--out", str(tmp_path / "none")])
    assert only.exit_code == 0
    assert not (tmp_path / "none").exists()
    for arguments, said in (
        ([], "no model"), ([model], "one source of prompts"), ([model, "x", "--method", "guess"], "no method 'guess'"),
        ([model, "x", "--baseline", "blank"], "take one of mean, zero, end"),
        ([model, "x", "--hook", "layers.1.resid"], "without an SAE"), ([model, "x", "--sae", "none/"], "none"),
        (["--redraw", "--out", str(tmp_path)], "holds no attribution"),
    ):  # fmt: skip
        failed = run(app, ["attribute", *arguments])
        assert isinstance(failed.exception, BadInput), arguments
        assert said in str(failed.exception)


def test_prompts_come_from_files_and_from_the_built_in_text(tmp_path: Path) -> None:
    plain, lines = tmp_path / "p.txt", tmp_path / "p.jsonl"
    plain.write_text("One.\n\nTwo.\n", encoding="utf8")
    lines.write_text('{"prompt": "One.", "output": " Two."}\n{"prompt": "Three."}\n', encoding="utf8")
    assert read_prompts(plain) == [GivenPrompt("One."), GivenPrompt("Two.")]
    assert read_prompts(lines) == [GivenPrompt("One.", " Two."), GivenPrompt("Three.")]
    lines.write_text('{"text": "One."}\n', encoding="utf8")
    with pytest.raises(BadInput, match="line 1 of"):
        read_prompts(lines)
    found = prompts_of_corpus(tiny_loaded(), 3, seed=1)
    assert len({each.prompt for each in found}) == 3
    assert found == prompts_of_corpus(tiny_loaded(), 3, seed=1)


@pytest.mark.pipeline
def test_a_run_lends_its_subject_its_sae_and_its_explanations(tmp_path: Path) -> None:
    small_run = tmp_path / "run"
    autointerp.run(small_study(tmp_path), small_run)
    opened = open_model(str(small_run))
    assert opened.sae is not None
    assert opened.sae.explanations
    choice = AttributionChoice(settings=AttributionSettings(steps=24), tokens=2, chat="no", tried=0)
    (found,) = attribute(opened, [GivenPrompt("A river runs")], choice)
    assert found.latents is not None
    with pytest.raises(BadInput, match="has no SAE 'other'"):
        open_model(str(small_run), sae="other")
