"""Whole small runs with the simulators that ask by token or by many contexts, and with the one that asks nobody."""

from __future__ import annotations

import json
import re
from math import ceil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertModel

import autointerp
from autointerp.errors import BadInput
from autointerp.llm.capabilities import Capabilities, remember
from autointerp.records import Scale
from autointerp.run.estimating import estimate, estimate_lines
from autointerp.run.folder import Run
from autointerp.run.verify import verify
from autointerp.simulate.anthropic_batch import VALUES
from autointerp.study import Study
from autointerp.study_file import parse_study
from tests.llm.misbehaving import Body, Endpoint, draw, running
from tests.run.served import brain
from tests.small import HOOK, small_settings
from tests.tiny import VOCABULARY, tiny_tokenizer

pytestmark = [pytest.mark.pipeline, pytest.mark.slow, pytest.mark.usefixtures("own_cache")]
TOKENS = 16
"""Of a small context."""


def _writes(body: Body) -> str:
    """A value for every token that depends on the description and the token alone; else an explanation that no other
    draw gets."""
    asked = body["messages"][-1]["content"]
    described = re.search(r"^Description: (.*)$", asked, re.MULTILINE)
    token = re.search(r"^Last token: (.*)$", asked, re.MULTILINE)
    lines = re.findall(r"^(\d+): (\[.*\])$", asked, re.MULTILINE)
    if described is None or (token is None and not lines):
        return f"{brain(body)}, number {draw(asked, body['seed']).integers(10**6)}"
    if token is not None:
        return str(_value(described[1], json.loads(token[1])))
    return json.dumps({number: [_value(described[1], t) for t in json.loads(tokens)] for number, tokens in lines})


def _value(described: str, token: str) -> int:
    return max(0, int(draw(described, token).integers(-10, 10)))


def _settings(folder: Path, simulator: str, model: dict[str, Any]) -> dict[str, Any]:
    return {
        **small_settings(folder),
        "sae": [{"hook": HOOK, "train": {"width": 32, "k": 1, "passes": 4, "batch": 128}}],
        "units": {"features": 3, "neurons": 1, "controls": [], "min_contexts": 4},
        "evidence": {"top": 2, "quantiles": 0, "random": 2, "held_out_top": 1, "held_out_random": 1, "random_only": 2},
        "llm": {"explainer": model, "simulator": model},
        "explain": {"methods": ["highlight"], "candidates": 2},
        "simulate": {"method": simulator},
        "compare": {"resamples": 1000, "derangements": 1},
    }


def _endpoint(url: str) -> dict[str, Any]:
    return {"provider": "openai", "model": "m", "base_url": url, "timeout": 10.0, "max_tokens": 64, "temperature": 0.0}


def _check(run: Run, simulator: str, scale: Scale) -> None:
    simulations = run.table("simulations")
    own = simulations[simulations["simulator"] == simulator]
    assert set(own["status"]) == {"ok"}
    assert set(own["scale"]) == {str(scale)}
    assert any(max(row) > min(row) for row in own["predicted"])
    scores = run.table("scores")
    assert (scores[(scores["scorer"] == simulator) & (scores["pairing"] == "own")]["status"] == "ok").any()
    assert (run.table("shuffled")["status"] == "ok").any()
    assert all(check.ok for check in verify(run.folder))


def _held_out(run: Run) -> dict[str, int]:
    """How many held-out contexts each unit has."""
    simulations = run.table("simulations")
    lookup = simulations[simulations["simulator"] == "lookup"]
    return {str(unit): len(rows) for unit, rows in lookup.groupby("unit")}


@pytest.mark.parametrize("simulator", ["one-by-one", "anthropic-batch"])
def test_a_run_asks_as_much_as_was_estimated(tmp_path: Path, simulator: str) -> None:
    with running(Endpoint(_writes)) as server:
        study = parse_study(_settings(tmp_path, simulator, _endpoint(server.url)))
        remember(Capabilities(f"openai {server.url}", "m", top_logprobs=20))
        told = {line.stage: line for line in estimate(study, tmp_path / "run")}
        assert not server.asked, "no call is made"
        run = autointerp.run(study, tmp_path / "run", until="compare")
    _check(run, simulator, Scale.ZERO_TO_NINE)
    held_out = _held_out(run)
    of = {u: n * TOKENS if simulator == "one-by-one" else ceil(n * TOKENS / VALUES) for u, n in held_out.items()}
    # Every unit's own explanation, and to each feature another's: the only neuron has no other.
    most = sum(of.values()) + sum(n for unit, n in of.items() if unit.startswith("feature"))
    usage = run.table("usage").set_index("stage")
    attempts = int(usage["attempts"]["simulate"])
    # The tokens at the beginning of two contexts may be the same, and so their prompts are.
    assert 0.8 * most <= attempts <= most
    # Which orientation of a neuron wins is not known before, and so not on which contexts it is simulated.
    assert told["simulate"].requests == pytest.approx(attempts, rel=0.2)
    ranked = told["explain"].requests + told["explain (rank)"].requests
    assert ranked == usage.loc["explain", "attempts"]


def _encoder(folder: Path) -> str:
    """A tiny random sentence encoder."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=VOCABULARY, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=256,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder / "encoder")
    tiny_tokenizer().save_pretrained(folder / "encoder")
    return str(folder / "encoder")


def _embedding_study(folder: Path) -> Study:
    """The simulator's own section names an endpoint without a key, which nobody may ask."""
    settings = _settings(folder, "embedding", small_settings(folder)["llm"]["explainer"])
    settings["llm"]["simulator"] = {**_endpoint("http://127.0.0.1:9/v1"), "api_key_env": "NO_SUCH_KEY"}
    settings["explain"] = {"methods": ["exemplars"], "candidates": 4}
    return parse_study({**settings, "sentences": {"model": _encoder(folder)}})


def test_embedding_asks_no_language_model(tmp_path: Path) -> None:
    study = _embedding_study(tmp_path)
    lines = estimate(study, tmp_path / "run")
    assert lines == []
    assert "Simulator 'embedding' runs in this process and makes no requests." in list(estimate_lines(lines, study))
    run = autointerp.run(study, tmp_path / "run", until="compare")
    _check(run, "embedding", Scale.COSINE)
    before = {name: (run.folder / f"{name}.parquet").read_bytes() for name in ("simulations", "shuffled", "scores")}
    again = autointerp.run(study, tmp_path / "run", until="compare", replay=True)
    assert {name: (again.folder / f"{name}.parquet").read_bytes() for name in before} == before


def test_a_sentence_model_that_is_not_there_is_said_before_anything_runs(tmp_path: Path) -> None:
    study = _embedding_study(tmp_path)
    lost = study.model_copy(update={"sentences": study.sentences.model_copy(update={"model": "no/such/encoder"})})
    with pytest.raises(BadInput, match="no file or folder 'no/such/encoder'"):
        autointerp.run(lost, tmp_path / "run")
    assert not list(tmp_path.glob("run/*.parquet"))


def test_one_by_one_in_the_process_runs_whole(tmp_path: Path) -> None:
    settings = _settings(tmp_path, "one-by-one", small_settings(tmp_path)["llm"]["explainer"])
    settings["units"] = {"features": 2, "neurons": 0, "directions": 2, "controls": ["direction"], "min_contexts": 4}
    settings["evidence"] = {
        "top": 2, "quantiles": 0, "random": 2, "held_out_top": 1, "held_out_random": 1, "random_only": 1,
    }  # fmt: skip
    settings["explain"] = {"method": "exemplars", "candidates": 1}
    study = parse_study(settings)
    assert estimate(study, tmp_path / "run") == []
    run = autointerp.run(study, tmp_path / "run", until="compare")
    own = run.table("simulations")
    predicted = own[own["simulator"] == "one-by-one"]
    assert set(predicted["status"]) == {"ok"}
    assert all(0 <= value <= 9 and value % 1 for row in predicted["predicted"] for value in row)
