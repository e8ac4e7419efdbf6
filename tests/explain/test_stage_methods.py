"""A whole explain stage with the explainers that read output effects and the one that revises, behind an endpoint."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import autointerp
from autointerp.collect.effects_table import read_effects
from autointerp.llm.capabilities import Capabilities, remember
from autointerp.records import Effects
from autointerp.run.estimating import estimate
from autointerp.run.folder import Run
from autointerp.study import Study
from autointerp.study_file import parse_study
from autointerp.tables import EFFECTS, read_table
from tests.llm.misbehaving import Body, Endpoint, draw, running
from tests.run.served import brain, served_settings

pytestmark = [pytest.mark.pipeline, pytest.mark.slow]

METHODS = ["exemplars", "intervals", "max-act-logits", "revise"]


def _write(body: Body) -> str:
    """As `brain`, another explanation with every draw; a label of few words or, now and then, of many."""
    asked = body["messages"][-1]["content"]
    if "Makes likelier" in asked:
        long = "a sentence that goes on for too long, " * (draw(asked, str(body["seed"])).random() < 0.2)
        return f"[EXPLANATION]: {long}kind {body['seed'] % 1000}"
    text = brain(body)
    return f"{text}, number {body['seed'] % 1000}" if text.startswith("[") else text


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    with pytest.MonkeyPatch.context() as patch, running(Endpoint(_write)) as server:
        patch.setenv("AUTOINTERP_CACHE", str(tmp_path_factory.mktemp("cache")))
        remember(Capabilities(f"openai {server.url}", "m", top_logprobs=5))
        yield server


@pytest.fixture(scope="module")
def study(endpoint: Endpoint, tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("input")
    settings = served_settings(folder, endpoint.url, reasks=1, tokenizer=str(folder / "tiny-llama"))
    explain = {"methods": METHODS, "candidates": 8, "model_share": 0.75}
    units = {"features": 3, "neurons": 2, "directions": 2, "min_contexts": 4}
    return parse_study({**settings, "units": units, "explain": explain, "judge": {}})


@pytest.fixture(scope="module")
def finished(study: Study, endpoint: Endpoint, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("out") / "run"
    lines = {line.stage: line for line in estimate(study, folder)}
    assert not endpoint.asked
    run = autointerp.run(study, folder, until="explain")
    usage = run.table("usage").set_index("stage").loc["explain"]
    told = lines["explain"].requests + lines["explain (rank)"].requests
    # Which answers can't be read, and which first explanations make no mistake, is not known before.
    assert told == pytest.approx(usage["requests"] - usage["cached"], rel=0.25)
    return run


def test_every_unit_of_every_arm_has_its_effects(finished: Run) -> None:
    units = read_table(finished.folder / "work" / "candidates.parquet")
    effects = read_effects(finished.folder / EFFECTS)
    assert list(effects) == units.loc[units["status"] == "ok", "unit"].tolist()
    assert {unit.partition("/")[0] for unit, each in effects.items() if not isinstance(each, Effects)} == {"noise"}
    for unit, each in effects.items():
        if unit.startswith("neuron/") and unit.endswith("+") and f"{unit[:-1]}-" in effects:
            other = effects[f"{unit[:-1]}-"]
            assert isinstance(each, Effects)
            assert isinstance(other, Effects)
            assert (each.promoted, each.suppressed) == (other.suppressed, other.promoted)
        if unit.startswith("direction/"):
            assert each == effects[unit.replace("direction", "direction-sparse", 1)]


def test_every_unit_has_as_many_candidates_whoever_fails(finished: Run) -> None:
    explanations = finished.table("explanations")
    assert set(explanations["candidates"]) == {8}
    assert set(explanations["explainer"]) <= set(METHODS)


def test_what_became_of_each_first_explanation_is_in_a_table(finished: Run) -> None:
    revisions = finished.table("revisions")
    units = read_table(finished.folder / "work" / "candidates.parquet")
    asked = units.loc[units["status"] == "ok", "unit"]
    assert set(revisions["unit"]) <= set(asked)
    assert len(revisions) > len(set(revisions["unit"])) / 2
    read = revisions[revisions["status"] == "ok"]
    assert len(read)
    better = read["revision_score"] > read["first_score"].fillna(-2)
    assert (better == (read["kept"] == "revision")).all()
    failed = revisions[revisions["status"] != "ok"]
    assert set(failed["kept"]) <= {"first"}
    assert failed["reason"].str.len().gt(0).all()


def test_a_second_estimate_finds_every_request_in_the_ledger(finished: Run, study: Study, endpoint: Endpoint) -> None:
    asked = endpoint.asked.total()
    again = autointerp.run(study, finished.folder, until="explain")
    lines = {line.stage: line for line in estimate(study, finished.folder)}
    assert endpoint.asked.total() == asked
    assert again.folder == finished.folder
    for stage in ("explain", "explain (rank)"):
        assert lines[stage].requests == lines[stage].known
