"""Judges by name, those of other packages among them; what a study's model lacks is said before anything runs."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest

from autointerp.errors import BadInput
from autointerp.judge.interface import Case, Items, Judgement, JudgeSettings, Traits
from autointerp.judge.registry import (
    JUDGES,
    check_judges,
    open_judge,
    open_judges,
    reads_in_process,
    traits_of,
    uses_model,
)
from autointerp.llm.address import identity
from autointerp.llm.capabilities import Capabilities, Needs, remember
from autointerp.metrics.classification import JUDGED_SCORES
from autointerp.records import Unscored
from autointerp.study_file import parse_study
from autointerp.study_models import Llm
from tests.judge.doubles import SETTINGS


class Asks:
    """A third party's judge that asks, and says nothing special."""

    name = "asks"
    prompt = ""

    def __init__(self, settings: JudgeSettings) -> None:
        self.settings = settings

    def batches(self, case: Case, rng: np.random.Generator) -> list[Items] | Unscored:
        return Unscored("never")


class Decides:
    """A third party's judge that needs no model at all."""

    name = "decides"
    prompt = ""
    traits = Traits(asks=False, metrics=("auroc",))

    def __init__(self, settings: JudgeSettings) -> None:
        self.settings = settings

    def judge(self, case: Case, rng: np.random.Generator) -> list[Judgement] | Unscored:
        return Unscored("never")


class Pretends(Asks):
    traits = Traits(asks=False)


@pytest.fixture(autouse=True)
def registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOINTERP_CACHE", str(tmp_path))
    entries = [
        EntryPoint(name, f"tests.judge.test_registry:{kind}", "autointerp.judges")
        for name, kind in (("asks", "Asks"), ("decides", "Decides"), ("pretends", "Pretends"), ("gone", "Gone"))
    ]
    monkeypatch.setattr("autointerp.registry.entry_points", lambda group: entries)


def test_every_built_in_judge_is_made_and_has_what_its_traits_say() -> None:
    for name in JUDGES.built_in:
        judge, traits = open_judge(name, SETTINGS), traits_of(name)
        assert judge.name == name
        assert hasattr(judge, "batches") == traits.asks
        assert set(traits.metrics) <= set(JUDGED_SCORES)
        assert "auroc" in traits.metrics


def test_judges_of_other_packages_of_both_kinds() -> None:
    assert isinstance(open_judge("asks", SETTINGS), Asks)
    assert traits_of("asks") == Traits()
    assert isinstance(open_judge("decides", SETTINGS), Decides)
    with pytest.raises(BadInput, match="judge 'pretends' is no ComputedJudge"):
        open_judge("pretends", SETTINGS)
    with pytest.raises(BadInput, match="judge 'gone' can't be imported"):
        open_judge("gone", SETTINGS)
    with pytest.raises(BadInput, match="no judge 'decide': did you mean 'decides'"):
        open_judge("decide", SETTINGS)


def test_who_needs_the_language_model_and_where() -> None:
    used = {name for name in (*JUDGES.built_in, "asks", "decides") if uses_model(name)}
    assert used == {"detection", "fuzzing", "intruder", "saebench", "surprisal", "promoted-tokens", "asks"}
    served = parse_study({"judge": {"llm": "far"}, "llm": {"far": {"provider": "openai", "model": "m"}}})
    for name in JUDGES.built_in:
        assert reads_in_process(parse_study({}), name) == (name in ("surprisal", "promoted-tokens"))
        assert not reads_in_process(served, name)


def test_a_judge_gets_what_the_study_says() -> None:
    judge_section = {"methods": ["asks"], "examples": 6, "negatives": "mixed"}
    study = parse_study({"seed": 7, "judge": judge_section, "evidence": {"hard_negatives": 2}})
    (judge,) = open_judges(study, study.judge.methods, None)
    assert isinstance(judge, Asks)
    assert (judge.settings.seed, judge.settings.examples, judge.settings.negatives) == (7, 6, "mixed")


def test_no_model_is_needed_where_no_judge_uses_one() -> None:
    check_judges(parse_study({"judge": {"methods": ["embedding", "decides"], "llm": "nobody"}}))
    with pytest.raises(BadInput, match=r"judge\.llm 'nobody' is not configured"):
        check_judges(parse_study({"judge": {"methods": ["embedding", "surprisal"], "llm": "nobody"}}))


@pytest.mark.parametrize(("there", "enough"), [(0, False), (5, True), (None, True)])
def test_an_endpoint_without_log_probabilities_is_refused_when_that_is_known(there: int | None, enough: bool) -> None:
    llm = Llm(provider="openai", model="m", base_url="http://127.0.0.1:9/v1")
    if there is not None:
        remember(Capabilities(identity(llm), "m", prompt_logprobs=there))
    study = parse_study(
        {"judge": {"methods": ["detection", "surprisal"], "llm": "far"}, "llm": {"far": llm.model_dump()}}
    )
    if enough:
        check_judges(study)
        return
    with pytest.raises(BadInput, match="judge 'surprisal' needs log-probabilities of every token") as caught:
        check_judges(study)
    assert "\n" not in str(caught.value)
    assert traits_of("surprisal").needs == Needs(prompt_logprobs=1)


def test_an_endpoint_never_gives_a_whole_distribution_and_is_refused_without_a_probe() -> None:
    llm = {"provider": "openai", "model": "m", "base_url": "http://127.0.0.1:9/v1"}
    study = parse_study({"judge": {"methods": ["promoted-tokens"], "llm": "far"}, "llm": {"far": llm}})
    with pytest.raises(BadInput, match=r"judge 'promoted-tokens' needs log-probabilities of the whole vocabulary"):
        check_judges(study)
    check_judges(parse_study({"judge": {"methods": ["promoted-tokens", "promoted-literal"]}}))
