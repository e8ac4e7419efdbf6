"""From the page nothing tells an arm: no name, no scale, no order; and decoys are not to be told from the others."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autointerp.artifacts import hash_file, rng_of
from autointerp.contexts.reading import load_contexts
from autointerp.contexts.sharing import read_exemplars
from autointerp.errors import BadInput
from autointerp.rate.drawing import NO_PROMOTED, PageChoice, draw
from autointerp.rate.handing_out import FOLDER, KEY, hand_out, read_key, sheet_of
from autointerp.rate.showing import INTERVALS, PER_INTERVAL, TOO_FEW_ACTIVE, TOO_FEW_WEAK, WEAKEST, ShownWindow, windows
from autointerp.records import Split, Unscored
from autointerp.study_file import study_of
from autointerp.tables import read_table, write_table
from autointerp.units.interface import base_id, twin_id
from tests.fake_run import Plan, finished


def data_of(run: Path) -> dict[str, Any]:
    script = (run / FOLDER / "data.js").read_text("utf8")
    data: dict[str, Any] = json.loads(re.fullmatch(r'autointerp\.take\("rating",(.*)\);\n', script).group(1))  # type: ignore[union-attr]
    return data


def test_the_folder_that_is_handed_out_says_nothing_of_units(run: Path) -> None:
    made = hand_out(run, PageChoice())
    units = read_table(run / "units.parquet")
    texts = {path: path.read_text("utf8") for path in (run / FOLDER).rglob("*") if path.is_file()}
    assert not any(KEY in str(path) for path in texts)
    ours = {path.name: text for path, text in texts.items() if path.name in ("data.js", "index.html")}
    ours["index.html"] = re.sub("<style>.*</style>", "", ours["index.html"], flags=re.S)
    for name in [*units["unit"], *units["arm"], *units["hook"], "mlp", "permuted", "scrambled", "density", str(run)]:
        assert not any(re.search(rf"(?<![\w]){re.escape(name)}(?![\w])", text) for text in ours.values()), name
    for value in units["max_activation"].dropna():
        assert f"{value:.4f}" not in ours["data.js"]
    for item in data_of(run)["items"]:
        assert set(item) == {"id", "text", "rows", "promoted"}
        assert re.fullmatch(r"[0-9a-f]{12}", item["id"])
        assert [len(row) for row in item["rows"]] == [2] * (INTERVALS * PER_INTERVAL + WEAKEST)
        assert [row[1] is None for row in item["rows"]] == [False] * INTERVALS * PER_INTERVAL + [True] * WEAKEST
        assert len(item["promoted"]) == 8
    assert {i["id"] for i in data_of(run)["items"]} == set(made.sheet.items)


def test_ids_and_page_depend_on_what_is_shown_alone(run: Path) -> None:
    """Other names, arms, signs, hooks, scales and sparsities under the same contents: the same page, byte for byte."""
    drawn = draw(study_of(run), run, PageChoice())
    other = replace(drawn, items=tuple(
        replace(
            item, unit=replace(item.unit, unit=f"x/{n}", arm="y", subject="z"),
            explanation=replace(item.explanation, unit=f"w/{n}"),
        )
        for n, item in enumerate(drawn.items)
    ))  # fmt: skip
    assert sheet_of(drawn)[1] == sheet_of(other)[1]
    exemplars, contexts = _tables(run)
    for unit, each in exemplars.items():
        scaled = [replace(e, activations=e.activations * np.float32(32)) for e in each]
        assert windows(each, contexts, rng_of(unit)) == windows(scaled, contexts, rng_of(unit))
        shown = windows(each, contexts, rng_of(unit))
        others = [replace(e, activations=_only_the_peak(e.activations)) for e in each]
        assert windows(others, contexts, rng_of(unit)) == shown, "a unit that is active on one token of a context alone"


def _only_the_peak(activations: np.ndarray) -> np.ndarray:
    alone = np.zeros_like(activations)
    alone[activations.argmax()] = activations.max()
    return alone


def _tables(run: Path) -> tuple[Any, Any]:
    exemplars = read_exemplars(run / "evidence.parquet")
    return exemplars, load_contexts(run / "contexts.parquet", {e.context for each in exemplars.values() for e in each})


def test_the_order_tells_no_arm_and_can_not_be_drawn_without_the_run(run: Path) -> None:
    places = []
    for seed in range(60):
        drawn = draw(study_of(run), run, PageChoice(seed=seed))
        places.append(np.mean([n / len(drawn.items) for n, i in enumerate(drawn.items) if i.unit.arm == "feature"]))
    assert abs(np.mean(places) - 0.5) < 0.03
    assert draw(study_of(run), run, PageChoice()) == draw(study_of(run), run, PageChoice())
    before = [item.unit.unit for item in draw(study_of(run), run, PageChoice()).items]
    table = read_table(run / "explanations.parquet")
    table.loc[0, "text"] = "another text"
    table.to_parquet(run / "explanations.parquet")
    assert [item.unit.unit for item in draw(study_of(run), run, PageChoice()).items] != before


def test_every_unit_and_every_explanation_is_met_once(run: Path) -> None:
    for seed in range(8):
        drawn = draw(study_of(run), run, PageChoice(seed=seed, units=8))
        assert len({item.unit.unit for item in drawn.items}) == len(drawn.items)
        assert len({item.explanation.unit for item in drawn.items}) == len(drawn.items)
        decoys = [item for item in drawn.items if item.unit.unit != item.explanation.unit]
        assert all(i.unit.arm == i.explanation.arm and i.unit.text != i.explanation.text for i in decoys)
        by_arm = [sum(item.unit.arm == arm for item in decoys) for arm in ("feature", "neuron", "direction")]
        assert by_arm == [2, 2, 2]
    assert all(i.unit == i.explanation for i in draw(study_of(run), run, PageChoice(decoys=0)).items)


def test_windows_go_over_the_whole_range_and_prefer_held_out_text(run: Path) -> None:
    exemplars, contexts = _tables(run)
    for unit, each in exemplars.items():
        shown = windows(each, contexts, rng_of(unit))
        assert not isinstance(shown, Unscored)
        active, weakest = shown[: INTERVALS * PER_INTERVAL], shown[INTERVALS * PER_INTERVAL :]
        peaks = [_peak(window, each, contexts) for window in active]
        assert peaks[0] == max(e.activations.max() for e in each if not e.kind.startswith("hard_negative"))
        assert peaks == sorted(peaks, reverse=True)
        assert [w.strongest for w in weakest] == [None] * WEAKEST
        held_out = [e for e in each if contexts[e.context].split == Split.HELD_OUT and e.kind == "random"]
        quarter = np.quantile([e.activations.max() for e in held_out], 0.25, method="higher")
        for window in weakest:
            assert _peak(window, held_out, contexts, of_silent=True) <= quarter
    few = [e for e in next(iter(exemplars.values())) if e.kind == "random"][:5]
    assert windows(few, contexts, rng_of("few")) == TOO_FEW_ACTIVE
    assert windows(few[:1], contexts, rng_of("few")) == TOO_FEW_WEAK


def test_a_character_of_several_tokens_is_marked_where_its_text_is(run: Path) -> None:
    exemplars, contexts = _tables(run)
    each = exemplars["feature/1"]
    top = max(each, key=lambda e: e.activations.max())
    at = int(top.activations.argmax())
    pieces = list(contexts[top.context].pieces)
    assert 0 <= at < len(pieces) - 2
    pieces[at : at + 3] = ["", "", "✨"]
    changed = {**contexts, top.context: replace(contexts[top.context], pieces=tuple(pieces))}
    shown = windows(each, changed, rng_of("character"))
    assert not isinstance(shown, Unscored)
    place = shown[0].strongest
    assert place is not None
    assert shown[0].pieces[place - 2 : place + 1] == ("", "", "✨")


def _peak(window: ShownWindow, exemplars: Any, contexts: Any, of_silent: bool = False) -> float:
    """The highest activation of the context that a window is of, found by its text; on the token that is marked."""
    found = []
    for each in exemplars:
        pieces = contexts[each.context].pieces
        for first in range(len(pieces) - len(window.pieces) + 1):
            if pieces[first : first + len(window.pieces)] != window.pieces:
                continue
            most, marked = int(each.activations.argmax()), first + (window.strongest or 0)
            if of_silent or (most <= marked and not "".join(pieces[most:marked])):
                found.append(float(each.activations.max()))
    assert found, "the marked token is the strongest of its context"
    return min(found) if of_silent else max(found)


def test_what_can_not_be_shown_is_counted(run: Path) -> None:
    whole = draw(study_of(run), run, PageChoice())
    assert whole.left_out == {("neuron", "no explanation"): 1, ("direction", NO_PROMOTED.reason): 1}
    without = draw(study_of(run), run, PageChoice(logits=False))
    assert without.left_out == {("neuron", "no explanation"): 1}
    assert not any(item.unit.promoted for item in without.items)
    shutil.rmtree(run / "work")
    assert not draw(study_of(run), run, PageChoice()).logits
    with pytest.raises(BadInput, match="has not kept what its units promote .*--without-logits"):
        draw(study_of(run), run, PageChoice(logits=True))


def test_a_page_is_made_again_byte_for_byte_and_every_key_is_kept(run: Path) -> None:
    first = hand_out(run, PageChoice())
    before = hash_file(run / FOLDER)
    second = hand_out(run, PageChoice(seed=1))
    assert second.sheet.sheet != first.sheet.sheet
    assert set(read_key(run)) == {first.sheet.sheet, second.sheet.sheet}
    assert hand_out(run, PageChoice()).sheet == first.sheet
    assert hash_file(run / FOLDER) == before
    (run / KEY).write_text('{"version": 1, "sheets": {"a": {}}}')
    with pytest.raises(BadInput, match="is no key of rating pages"):
        read_key(run)


def test_no_unit_and_no_text_stands_on_a_page_in_two_arms(tmp_path: Path) -> None:
    """A twin writes the same tokens, so that a rater would know both for controls, and one of them for a decoy."""
    quality = {"feature": 0.9, "neuron": 0.5, "neuron-sparse": 0.5, "direction": 0.1, "direction-sparse": 0.1}
    plan = Plan(quality, units=9, evidence_top=8, contexts=120)
    folder = finished(tmp_path / "run", plan)
    explanations = read_table(folder / "explanations.parquet")
    same = explanations["unit"].isin(["neuron/1+", "feature/1", "direction/1"])
    explanations.loc[same, "text"] = "words such as  the same"
    write_table("explanations", folder / "explanations.parquet", explanations.to_dict("records"))
    for seed in range(8):
        drawn = draw(study_of(folder), folder, PageChoice(units=9, seed=seed, logits=False))
        bases = [base_id(twin_id(item.unit.unit)) for item in drawn.items]
        texts = [" ".join(item.explanation.text.split()) for item in drawn.items]
        assert len(set(bases)) == len(bases)
        assert len(set(texts)) == len(texts)
        arms = Counter(item.unit.arm for item in drawn.items)
        assert min(arms["direction"], arms["direction-sparse"]) >= 3, "twins share what there is"
        assert sum(n for (_, why), n in drawn.left_out.items() if "already" in why) > 0
