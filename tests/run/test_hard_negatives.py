"""A whole run that gathers hard negatives and quantile bands, judges on the first and scores on the second."""

from __future__ import annotations

from pathlib import Path

import pytest

import autointerp
from autointerp.report.stage import report
from tests.small import small_study

WANTED = (
    "evidence.hard_negatives=3", "evidence.held_out_per_quantile=1", "judge.methods=['detection']",
    "judge.negatives=hard", "score.slices=['top-and-random', 'random-only', 'quantile-1']",
    "score.metrics=['pearson', 'weighted_pearson']", "llm.explainer.reasks=0", "llm.explainer.batch=32",
    "explain.methods=['exemplars']", "explain.model_share=0", "compare.derangements=1",
)  # fmt: skip


@pytest.mark.pipeline
@pytest.mark.offline_model
def test_judges_get_hard_negatives_and_simulators_do_not(tmp_path: Path) -> None:
    run = autointerp.run(small_study(tmp_path, *WANTED), tmp_path / "run", until="compare")
    evidence = run.table("evidence")
    hard = evidence[evidence["kind"].str.startswith("hard-negative")]
    assert set(hard["kind"]) == {f"hard-negative-{sort}" for sort in ("token", "co-active", "nearest")}
    assert all(not any(activations) for activations in hard["activations"])
    held_out = set(run.table("contexts").query("split == 'held-out'")["context"])
    assert 0 < hard["context"].isin(held_out).mean() < 1
    of_unit = set(zip(hard["unit"], hard["context"], strict=True))
    judged = run.table("judgements").dropna(subset=["context"])
    negatives = judged[~judged["truth"].astype(bool)]
    assert len(negatives) == len(judged) / 2 > 0
    assert set(zip(negatives["unit"], negatives["context"], strict=True)) <= of_unit
    simulated = run.table("simulations").dropna(subset=["context"])
    assert not of_unit & set(zip(simulated["unit"], simulated["context"].astype(int), strict=True))
    scores = run.table("scores").query("scorer == 'lift' and pairing == 'own'")
    assert (scores.query("slice == 'quantile-1' and metric == 'weighted_pearson'")["status"] == "ok").any()
    told = report(run.folder).read_text("utf8")
    assert "### On contexts of quantile 1\n" in told
    assert "## The same by importance-weighted Pearson correlation\n" in told
