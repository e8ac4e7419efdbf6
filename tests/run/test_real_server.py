"""A whole run through a real server: llama.cpp on loopback explains, simulates with log-probabilities, and judges."""

from __future__ import annotations

from pathlib import Path

import pytest

import autointerp
from autointerp.llm.capabilities import known
from autointerp.run.verify import verify
from autointerp.study import Study
from autointerp.study_file import parse_study
from tests.llm.llama import llama
from tests.small import HOOK, small_settings

pytestmark = [pytest.mark.offline_model, pytest.mark.pipeline, pytest.mark.slow]


def _study(folder: Path, url: str) -> Study:
    """Few units of a tiny subject: what takes the time is the server. At temperature 0: other draws, which the last
    digit of a sum decides, may all be too long.
    """
    llm = {"provider": "openai", "model": "m", "base_url": url, "concurrency": 1, "max_tokens": 40, "reasks": 0,
           "timeout": 120, "temperature": 0}  # fmt: skip
    return parse_study({
        "scrambled": {"seeds": []},
        **small_settings(folder),
        "sae": [{"hook": HOOK, "train": {"width": 32, "k": 1, "passes": 4, "batch": 128}}],
        "units": {"features": 2, "neurons": 1, "controls": [], "min_contexts": 4},
        "evidence": {"top": 2, "quantiles": 0, "random": 2, "held_out_top": 1, "held_out_random": 1, "random_only": 4},
        "llm": {"explainer": llm, "simulator": llm},
        "explain": {"method": "highlight", "candidates": 2},
        "simulate": {"method": "digits-output", "literal": False, "both_kinds": False},
        "judge": {"methods": ["detection"], "examples": 4},
        "compare": {"resamples": 1000, "derangements": 1},
    })  # fmt: skip


def test_llama_cpp_explains_simulates_and_judges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOINTERP_CACHE", str(tmp_path / "cache"))
    with llama(2048) as url:
        study = _study(tmp_path, url)
        run = autointerp.run(study, tmp_path / "run")
    found = known(study.llm["simulator"])
    assert found is not None
    assert (found.top_logprobs, found.prompt_logprobs) == (20, 0)
    explanations = run.table("explanations")
    assert len(explanations) == 3
    assert (explanations["text"].str.len() > 0).any()
    simulations = run.table("simulations")
    predicted = simulations[(simulations["simulator"] == "digits-output") & (simulations["status"] == "ok")]
    assert len(predicted), "the weak model follows the format somewhere"
    assert all(0 <= value <= 9 for row in predicted["predicted"] for value in row)
    assert any(value % 1 for row in predicted["predicted"] for value in row), "expected values, by log-probabilities"
    judgements = run.table("judgements")
    assert set(judgements["judge"]) == {"detection"}
    lost = judgements[judgements["status"] != "ok"]
    assert (lost["reason"] != "").all()
    assert not set(lost["reason"]) & {"wrong number of values", "malformed JSON in the answer"}, "held to a schema"
    assert all(check.ok for check in verify(run.folder))
    usage = run.table("usage").set_index("stage")
    assert {"explain", "simulate", "judge"} <= set(usage.index)
    assert (usage["input_tokens"] > 0).all()
