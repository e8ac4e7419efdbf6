"""To which part of a run a difference belongs, and what is said of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autointerp.between_runs.answer_of_runs import lines_of
from autointerp.between_runs.compared import ComparedRuns, compared_runs
from autointerp.between_runs.settings import RunPart, _belongs, _comparable, _keys
from autointerp.study import Study
from autointerp.tables import read_table
from tests.between_runs.made import EXPLAINER, PLAIN, changed, made
from tests.fake_run import Plan

_OF_NO_PART = {"judge", "score", "compare", "budget", "scrambled", "threads"}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("runs") / "base", Plan(units=12, quality=PLAIN))


def against(base: Path, folder: Path, settings: Mapping[str, Any], simulators: bool = False) -> ComparedRuns:
    """The base and a run with these settings, whose scores are a little others."""
    scores = read_table(base / "scores.parquet")
    scores["value"] += np.random.default_rng(1).normal(0.01, 0.02, len(scores))
    texts = read_table(base / "explanations.parquet")
    texts.loc[texts["unit"] == "feature/2", "text"] = "another text"
    return compared_runs([base, changed(base, folder, settings, scores=scores, explanations=texts)], simulators)


@pytest.mark.parametrize(
    ("settings", "parts", "said"),
    [
        (EXPLAINER, [RunPart.EXPLAINER], "in the explainer alone: explain.methods "),
        ({"seeds": {"explain": 3}}, [RunPart.SEEDS], "in the seeds alone: seeds.explain 3 (in base -)."),
        ({"subject": {"dtype": "bfloat16"}}, [RunPart.SUBJECT], "in the subject alone: subject.dtype "),
        ({"llm": {"explainer": {"model": "gpt2"}}}, [RunPart.EXPLAINER], "explainer.model gpt2 (in base builtin)."),
        (
            {**EXPLAINER, "units": {"features": 32}}, [RunPart.UNITS, RunPart.EXPLAINER],
            "in the units and the explainer: no difference can be put down to one of them.",
        ),
        ({"llm": {"explainer": {"concurrency": 2}}}, [], "have no key that differs but these, on which no score"),
        ({"threads": 1}, [], "have no key that differs but these, on which no score depends: threads 1 (in base 0)"),
    ],
)  # fmt: skip
def test_what_differs_is_told_with_its_part(
    base: Path, tmp_path: Path, settings: Mapping[str, Any], parts: list[RunPart], said: str
) -> None:
    compared = against(base, tmp_path / "other", settings)
    found = {part for one in compared.differences["other"] for part in one.parts if part}
    assert found == set(parts)
    assert any(said in line for line in lines_of(compared))


def test_every_key_of_a_study_has_a_part_or_is_known_to_have_none() -> None:
    """A section that is added must be placed."""
    for key, _ in _keys(_comparable(Study())):
        section = key.partition(".")[0]
        assert (_belongs(key) != (RunPart.NONE,)) or section in _OF_NO_PART or key in {
            "subject.device", "subject.batch", "training.minutes", "training.log", "training.log_every",
            "simulate.lookup", "simulate.literal", "simulate.both_kinds", "explain.llm", "simulate.llm",
            *(f"{role}.{name}" for role in ("explainer", "simulator") for name in (
                "concurrency", "batch", "timeout", "attempts")),
            *(f"simulator.{name}" for name in ("temperature", "max_tokens", "reasks")),
        }, key  # fmt: skip


def test_another_simulator_is_compared_where_that_was_asked_for(base: Path, tmp_path: Path) -> None:
    compared = against(base, tmp_path / "other", {"simulate": {"bank": 8}}, simulators=True)
    found = compared.row("other", "feature")
    assert found is not None
    assert (found.paired, found.same_explanations) == (12, 11)
    lines = lines_of(compared)
    assert any("in the simulator alone: simulate.bank 8 (in base 64)." in line for line in lines)
    assert any(line.startswith("Of 12 SAE features 11 have the same explanation in both") for line in lines)
