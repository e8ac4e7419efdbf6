"""Whole small runs with `lift` behind a server that gives log-probabilities of prompts; the estimate counts it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import autointerp
from autointerp.llm.capabilities import Capabilities, remember
from autointerp.run.estimating import estimate
from autointerp.study import Study
from autointerp.study_file import parse_study
from tests.llm.served import serving
from tests.small import small_settings
from tests.tiny import tiny_loaded

pytestmark = [pytest.mark.pipeline, pytest.mark.slow]


def _study(folder: Path, url: str, method: str) -> Study:
    settings: dict[str, Any] = small_settings(folder)
    served = {"provider": "openai", "model": "m", "base_url": url, "tokenizer": settings["subject"]["model"]}
    return parse_study({
        "scrambled": {"seeds": []},
        **settings,
        "units": {"features": 2, "neurons": 2, "controls": [], "min_contexts": 4},
        "evidence": {"top": 4, "quantiles": 1, "per_quantile": 1, "random": 4, "held_out_top": 2,
                     "held_out_random": 2, "random_only": 2},
        "llm": {**settings["llm"], "simulator": served},
        "explain": {"methods": ["exemplars"], "candidates": 2},
        "simulate": {"method": method, "bank": 2, "literal": False, "both_kinds": False},
        "compare": {"resamples": 1000, "derangements": 1},
    })  # fmt: skip


@pytest.mark.parametrize("method", ["lift", "lift-in-context"])
def test_a_run_uses_what_the_estimate_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    monkeypatch.setenv("AUTOINTERP_CACHE", str(tmp_path / "cache"))
    loaded = tiny_loaded()
    with serving(loaded, "echo") as server:
        study = _study(tmp_path, server.url, method)
        remember(Capabilities(f"openai {server.url}", "m", prompt_logprobs=5))
        lines = estimate(study, tmp_path / "run")
        assert not server.bodies, "no call is made"
        run = autointerp.run(study, tmp_path / "run", until="compare")
    usage = run.table("usage").set_index("stage")
    told = {stage: [line for line in lines if line.stage.startswith(stage)] for stage in ("explain", "simulate")}
    for stage, parts in told.items():
        # Which candidate wins, and so what is asked about held-out contexts, is not known before.
        near = pytest.approx(usage.loc[stage, "attempts"], rel=0.02 if stage == "explain" else 0.3)
        assert sum(part.requests - part.known for part in parts) == near, stage
    scores = run.table("scores")
    own = scores[(scores["pairing"] == "own") & (scores["scorer"] == method) & (scores["slice"] == "top-and-random")]
    assert (own["status"] == "ok").any()
