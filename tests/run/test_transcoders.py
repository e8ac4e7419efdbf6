"""A whole run on a published transcoder by its name in the registry: its latents are units like any other."""

from __future__ import annotations

from pathlib import Path

import pytest

import autointerp
from autointerp.run.verify import verify
from autointerp.study_file import parse_study
from sae.checkpoint import load
from tests.sae.written import PUBLISHED, put_in_place_of_the_hub
from tests.small import small_settings

pytestmark = pytest.mark.pipeline
NAME = "saelens:mwhanna-qwen3-4b-transcoders/layer_0"


def test_a_transcoder_is_explained_and_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_in_place_of_the_hub(PUBLISHED, monkeypatch)
    settings = small_settings(tmp_path)
    del settings["subject"]["hooks"]
    settings["sae"] = [{"name": "coder", "checkpoint": NAME}]
    study = parse_study(settings, ["units.features=6", "units.neurons=3", "sae.0.despite=['model', 'start_token']"])
    assert study.subject.hooks == ("layers.0.mlp.in",)
    run = autointerp.run(study, tmp_path / "run")
    scores = run.table("scores")
    features = scores[(scores["arm"] == "feature") & (scores["pairing"] == "own")]
    assert set(features["status"]) == {"ok"}
    assert features["value"].notna().all()
    (quality,) = run.table("sae").to_dict("records")
    assert quality["width"] == 64
    assert quality["status"] == "unscored"
    report = (run.folder / "report.md").read_text("utf8")
    assert "a transcoder writes another vector than it reads" in report
    assert "what its checkpoint says of its model and start token may contradict this study" in report
    assert all(check.ok for check in verify(run.folder))
    assert load(run.folder / "sae" / "coder").transcodes
