"""A whole run with --batch: explain and judge go through the batch interface, at half the price."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import autointerp
from autointerp.errors import BadInput
from autointerp.llm.capabilities import Capabilities, remember
from autointerp.study_file import parse_study
from tests.llm.batch.standin import KEY, PROMPT_TOKENS, stand_in
from tests.run.served import served_settings
from tests.small import small_settings

pytestmark = [pytest.mark.pipeline, pytest.mark.slow]


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_explain_and_judge_go_through_batches(
    provider: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AUTOINTERP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("BATCH_KEY", KEY)
    monkeypatch.setattr("time.sleep", lambda _: None)
    with stand_in(provider) as server:
        remember(Capabilities(f"{provider} {server.url}", "m"))
        settings: dict[str, Any] = served_settings(
            tmp_path, server.url, provider=provider, api_key_env="BATCH_KEY", input_usd=2.0, output_usd=8.0, reasks=1
        )
        local = small_settings(tmp_path)["llm"]["simulator"]
        study = parse_study({
            "scrambled": {"seeds": []},
            **settings, "llm": {"explainer": settings["llm"]["explainer"], "simulator": local},
            "simulate": {"method": "lift", "bank": 8, "literal": False, "both_kinds": False},
            "units": {"features": 5, "neurons": 4, "directions": 0, "controls": [], "min_contexts": 4},
        })  # fmt: skip
        run = autointerp.run(study, tmp_path / "run", until="compare", batch=True)
        assert not server.problems
        held = [name for batch in server.batches for name in batch.names]
        assert len(held) == len(set(held)) > 10
        usage = run.table("usage").set_index("stage")
        assert usage.loc[["explain", "judge"], "attempts"].sum() == len(held)
        explain = usage.loc["explain"]
        assert explain["input_tokens"] == PROMPT_TOKENS * explain["attempts"]
        full = (explain["input_tokens"] * 2.0 + explain["output_tokens"] * 8.0) / 1e6
        assert explain["cost_usd"] == pytest.approx(full / 2)
        judged = run.table("judgements")
        assert set(judged["status"]) == {"unscored"}, "the stand-in's answers are no judgements"
        batches = len(server.batches)
        again = autointerp.run(study, tmp_path / "run", until="compare", replay=True)
        assert again.table("judgements").equals(judged)
        assert len(server.batches) == batches
    with pytest.raises(BadInput, match="provider 'local' has no batch interface"):
        autointerp.run(parse_study(small_settings(tmp_path)), tmp_path / "local", batch=True)


def test_replicates_side_by_side_hand_in_batches_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOINTERP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("BATCH_KEY", KEY)
    monkeypatch.setattr("time.sleep", lambda _: None)  # of the run itself
    with stand_in("openai") as server:
        settings = served_settings(tmp_path, server.url, api_key_env="BATCH_KEY", reasks=1)
        local = small_settings(tmp_path)["llm"]["simulator"]
        study = parse_study({
            **settings, "llm": {"explainer": settings["llm"]["explainer"], "simulator": local},
            "simulate": {"method": "lift", "bank": 8, "literal": False, "both_kinds": False}, "judge": {},
            "units": {"features": 3, "neurons": 3, "controls": [], "min_contexts": 4},
            "compare": {"resamples": 1000, "replicates": 3, "redraw": ["explain"], "side_by_side": 2},
        })  # fmt: skip
        run = autointerp.run(study, tmp_path / "run", until="compare", batch=True)
        assert not server.problems
        held = [name for batch in server.batches for name in batch.names]
        assert len(held) == len(set(held)) > 10
    assert run.table("usage").set_index("stage").loc["explain", "attempts"] == len(held)
    assert {path.parent.name for path in run.folder.glob("replicates/*/batches.sqlite")} == {"1", "2"}
