from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from autointerp.errors import BadInput
from autointerp.explain.exemplars import Exemplars
from autointerp.explain.highlight import Highlight, marked
from autointerp.explain.interface import Explainer, PromptedCandidate, Proposal
from autointerp.explain.registry import open_explainers
from autointerp.explain.revise import CONTEXTS, Mistakes, Revise, mistakes
from autointerp.llm.request import Response
from autointerp.records import Candidate, Unscored
from autointerp.study_file import parse_study
from tests.explain.doubles import SETTINGS, colours, context
from tests.injections import INJECTIONS


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def text_of(proposal: Proposal) -> str:
    assert isinstance(proposal, PromptedCandidate)
    return proposal.request.messages[-1][1]


SEEN = [
    context("top", (" red", 4.0), (" or", 0.0), (" blue", 3.0)),
    context("random", (" sea", 0.0), (" red", 1.0), (" car", 0.0)),
    context("random", (" two", 0.0), (" cars", 0.0), (" run", 0.0)),
]


def told(found: Mistakes) -> tuple[list[str], list[str]]:
    return [marked(c) for c in found.missed], [marked(c) for c in found.false_alarms]


def test_what_is_active_and_not_expected_is_missed_and_what_is_expected_and_silent_is_a_false_alarm() -> None:
    predicted = np.array([[9.0, 0, 0], [0, 3, 0], [0, 7, 2]])
    missed, false = told(mistakes(SEEN, predicted, 4.0))
    assert missed == ['" red or «blue»"']
    assert false == ['" two «cars» run"'], "2 of 9 is a small mistake, and the 3 of 9 on an active token is none"


def test_the_scale_of_predictions_does_not_matter_and_below_zero_is_nothing() -> None:
    predicted = np.array([[9.0, 0, 0], [0, 3, 0], [0, 7, 2]])
    in_nats = predicted * 0.013
    in_nats[0, 1] = -5.0
    assert told(mistakes(SEEN, in_nats, 4.0)) == told(mistakes(SEEN, predicted, 4.0))
    assert told(mistakes(SEEN, predicted, 400.0))[0] == [], "the truth's scale is the unit's maximum, not the context's"


def test_a_prediction_of_nothing_misses_everything_and_one_of_everything_is_false_everywhere() -> None:
    missed, false = told(mistakes(SEEN, np.zeros((3, 3)), 3.0))
    assert missed == ['" «red» or «blue»"', '" sea «red» car"']
    assert false == []
    missed, false = told(mistakes(SEEN, np.ones((3, 3)), 4.0))
    assert missed == []
    assert false == ['" red «or» blue"', '" «sea» red «car»"', '" «two cars run»"']


def test_a_right_prediction_makes_no_mistake() -> None:
    right = np.stack([c.activations for c in SEEN]) * 2.5
    assert mistakes(SEEN, right, 4.0) == Mistakes((), ())
    assert mistakes([], np.zeros((0, 0)), 4.0) == Mistakes((), ())


def test_the_worst_mistakes_come_first_and_few_are_shown() -> None:
    seen = [context("top", (f" w{i}", 1.0 + i)) for i in range(9)]
    found = mistakes(seen, np.zeros((9, 1)), 9.0)
    assert [c.pieces[0] for c in found.missed] == [f" w{8 - i}" for i in range(CONTEXTS)]


def test_first_explanations_are_those_of_the_other_explainer_under_this_ones_name() -> None:
    first = Highlight(SETTINGS).propose(colours(), 3, rng())
    mine = Revise(SETTINGS).propose(colours(), 3, rng())
    for one, other in zip(first, mine, strict=True):
        assert isinstance(one, PromptedCandidate)
        assert isinstance(other, PromptedCandidate)
        assert other == replace(one, explainer="revise")
    words = Revise(replace(SETTINGS, first=Exemplars(SETTINGS))).propose(colours(), 3, rng())
    assert {w.explainer for w in words if isinstance(w, Candidate)} == {"revise"}
    assert len(words) == 3
    silent = replace(colours(), contexts=())
    assert Revise(SETTINGS).propose(silent, 3, rng()) == [Unscored("no active context to show")]


def test_the_question_holds_the_first_explanation_and_its_mistakes_after_a_shared_beginning() -> None:
    found = mistakes(SEEN, np.array([[9.0, 0, 0], [0, 3, 0], [0, 7, 2]]), 4.0)
    question = Revise(SETTINGS).revision("words for red", found, rng())
    assert text_of(question).splitlines() == [
        'First description: "words for red"',
        'Missed 1: " red or «blue»"',
        'False 1: " two «cars» run"',
        "What is the better description?",
    ]
    assert isinstance(question, PromptedCandidate)
    assert question.explainer == "revise"
    assert question.prompt.startswith("revise/v1@")
    assert question.read(Response("[EXPLANATION]: colours.", 1, 1)) == "colours."
    other = Revise(SETTINGS).revision("cars", found, rng(1))
    assert isinstance(other, PromptedCandidate)
    assert other.request.messages[:-1] == question.request.messages[:-1]
    assert other.request.seed != question.request.seed


def test_without_a_mistake_there_is_nothing_to_ask() -> None:
    reason = Unscored("the first explanation makes no mistake to show")
    assert Revise(SETTINGS).revision("words for red", Mistakes((), ()), rng()) == reason


@pytest.mark.parametrize("text", INJECTIONS)
def test_neither_explanation_nor_contexts_can_leave_their_line(text: str) -> None:
    seen = [context("top", (" before", 1.0), (text, 1.0)), context("random", (text, 0.0), (" after", 0.0))]
    found = mistakes(seen, np.array([[0.0, 0.0], [1.0, 1.0]]), 1.0)
    lines = text_of(Revise(SETTINGS).revision(text, found, rng())).splitlines()
    assert [re.sub(r"\".*", "", line) for line in lines] == [
        "First description: ", "Missed 1: ", "False 1: ", "What is the better description?"
    ]  # fmt: skip
    assert json.loads(lines[0].removeprefix("First description: ")) == text
    assert not any(not c.isprintable() for line in lines for c in line if c != "\u3000")


def test_a_study_names_the_explainer_that_is_revised_and_may_give_both_a_prompt() -> None:
    def study(**explain: object) -> Mapping[str, Explainer]:
        return open_explainers(parse_study({"explain": {"method": "revise", **explain}}))

    assert list(study()) == ["revise"]
    study(revises="contrastive", prompts={"contrastive": "contrastive/v1", "revise": "revise/v1"})
    with pytest.raises(BadInput, match="explain.revises = 'revise' starts from itself"):
        study(revises="revise")
    with pytest.raises(BadInput, match="no explainer 'highlihgt': did you mean 'highlight'"):
        study(revises="highlihgt")
    with pytest.raises(BadInput, match="prompt for 'phrase', which is not asked"):
        study(prompts={"phrase": "phrase/v1"})
    with pytest.raises(BadInput, match="prompt for 'highlight', which is not asked"):
        open_explainers(parse_study({"explain": {"prompts": {"highlight": "highlight/v1"}}}))
