"""`intervals` and `max-act-logits`: explainers that read what a unit promotes."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from autointerp.explain.interface import UNREAD, PromptedCandidate, Proposal, Shown, ShownContext
from autointerp.explain.intervals import TOKENS, Intervals, examples
from autointerp.explain.max_act_logits import MaxActLogits, parse_label
from autointerp.explain.texts import peak_words
from autointerp.llm.request import Response, Unreadable
from autointerp.records import Effects, Unscored
from tests.explain.doubles import EFFECTS, SETTINGS, colours, context, shown
from tests.injections import INJECTIONS


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def with_effects(unit: Shown, effects: Effects = EFFECTS) -> Shown:
    return replace(unit, effects=effects)


def text_of(proposal: Proposal) -> str:
    assert isinstance(proposal, PromptedCandidate)
    return proposal.request.messages[-1][1]


def long(kind: str, peak: float, word: str, at: int = 10) -> ShownContext:
    """Twenty tokens, active on one of them."""
    return context(kind, *((f" {word}", peak) if i == at else (f" {word}{kind}{i}", 0.0) for i in range(20)))


def whole() -> Shown:
    """A unit that fills every group: what `[evidence]` as in the docstring of `intervals` shows."""
    tops = [long("top", 90.0 - i, f"top{i}", at=i * 2) for i in range(10)]
    bands = [long(f"quantile-{i // 2}", 75.0 - 3 * i, f"band{i}") for i in range(24)]
    randoms = [long("random", 0.0, f"blind{i}") for i in range(5)]
    hard = [long("hard-negative-token", 0.0, "top3", at=i) for i in range(10)]
    return with_effects(shown(*tops, *bands[::-1], *randoms, *hard))


def sizes(groups: list[dict[str, Any]]) -> dict[str, int]:
    return {group["label"]: len(group["examples"]) for group in groups}


def test_a_unit_with_evidence_enough_is_shown_49_examples_in_labelled_groups() -> None:
    groups = examples(whole(), rng())
    counts = sizes(groups)
    assert list(counts.values()) == [10, *[2] * 12, 5, 10]
    assert sum(counts.values()) == 49
    labels = list(counts)
    assert labels[0] == "Top interval (peak 9)"
    assert [re.sub(r" \(.*", "", label) for label in labels[1:13]] == [f"Interval {i} of 12" for i in range(12, 0, -1)]
    assert labels[-2:] == ["Random", "Top token in another context"]
    text = text_of(Intervals(SETTINGS).propose(whole(), 1, rng())[0])
    assert text.count(", example ") == 49
    assert 'Likelier next tokens: " paint", "ish"\nLess likely next tokens: " seven", "\\n"\n' in text


def test_intervals_follow_the_peaks_and_their_labels_say_which() -> None:
    groups = examples(whole(), rng())
    peaks = [[max(t["value"] for t in tokens) for tokens in g["examples"]] for g in groups[:13]]
    assert all(min(high) >= max(low) for high, low in pairwise(peaks))
    for group, found in zip(groups, peaks, strict=False):
        told = {int(digit) for digit in re.findall(r"\d", group["label"].partition("(")[2])}
        assert told == {min(found), max(found)}
    assert peaks[0] == [9] * 10


def test_windows_are_nine_tokens_around_the_peak_and_stay_inside() -> None:
    for at in range(20):
        unit = with_effects(shown(long("top", 5.0, "red", at=at)))
        (tokens,) = examples(unit, rng())[0]["examples"]
        assert len(tokens) == TOKENS
        place = next(i for i, t in enumerate(tokens) if t["text"] == " red")
        assert tokens[place]["value"] == 9
        assert place == min(at, 4) if at <= 15 else place == at - 11
    (tokens,) = examples(with_effects(shown(context("top", (" a", 1.0), (" b", 0.0)))), rng())[0]["examples"]
    assert [t["text"] for t in tokens] == [" a", " b"]


def test_where_there_is_less_evidence_there_are_fewer_examples_and_none_twice() -> None:
    tops = [long("top", 9.0 - 0.95 * i if i < 10 else 0.2 - i / 100, f"w{i}") for i in range(12)]
    groups = examples(with_effects(shown(*tops)), rng())
    assert sizes(groups) == {
        "Top interval (peaks 0 to 9)": 10, "Interval 2 of 2 (peak 0)": 1, "Interval 1 of 2 (peak 0)": 1,
    }  # fmt: skip
    seen = Counter(tuple(t["text"] for t in tokens) for g in groups for tokens in g["examples"])
    assert set(seen.values()) == {1}


def test_random_contexts_that_hold_a_top_token_stand_in_where_no_hard_negative_does() -> None:
    tops = [long("top", 9.0, "red")]
    holding = [long("random", 0.0, "red", at=i) for i in range(3)]
    plain = [long("random", 0.0, "sea") for _ in range(4)]
    loud = long("random", 2.0, "red")
    groups = examples(with_effects(shown(*tops, *plain, loud, *holding)), rng())
    assert sizes(groups)["Random"] == 5
    assert sizes(groups)["Top token in another context"] == 3
    for tokens in groups[-1]["examples"]:
        assert " red" in [t["text"] for t in tokens]
        assert not any(t["value"] for t in tokens)
    few = examples(with_effects(shown(*tops, *plain, loud)), rng())
    assert [group["label"] for group in few] == ["Top interval (peak 9)", "Random"], "none is made up"
    scarce = examples(with_effects(shown(*tops, *holding, *plain[:2])), rng())
    assert sizes(scarce)["Random"] == 5, "random examples come first"


def test_a_hard_negative_without_a_top_token_is_not_called_one() -> None:
    unit = with_effects(shown(long("top", 9.0, "red"), long("hard-negative-nearest", 0.0, "sea")))
    assert [group["label"] for group in examples(unit, rng())] == ["Top interval (peak 9)"]


def test_drawn_examples_depend_on_the_seed_alone() -> None:
    unit = with_effects(shown(*(long("top", 99.0 - i, f"w{i}") for i in range(60)), long("random", 0.0, "sea")))
    assert examples(unit, rng(1)) == examples(unit, rng(1))
    assert examples(unit, rng(1)) != examples(unit, rng(2))
    asked = Intervals(SETTINGS).propose(unit, 3, rng())
    assert [p.request.sample for p in asked if isinstance(p, PromptedCandidate)] == [0, 1, 2]


@pytest.mark.parametrize("kind", [Intervals, MaxActLogits])
def test_without_effects_the_reason_is_passed_on(kind: Any) -> None:
    reason = Unscored("what is hooked does not write")
    assert kind(SETTINGS).propose(replace(colours(), effects=reason), 3, rng()) == [reason]
    assert kind(SETTINGS).propose(colours(), 3, rng()) == [UNREAD]


def test_without_an_active_context_there_is_nothing_to_show() -> None:
    silent = with_effects(shown(context("top", (" a", 0.0)), context("random", (" a", 1.0))))
    assert Intervals(SETTINGS).propose(silent, 1, rng()) == [Unscored("no active context to show")]
    assert MaxActLogits(SETTINGS).propose(silent, 1, rng()) == [Unscored("no word among its top tokens")]


def test_peak_words_are_those_under_the_peaks_each_once() -> None:
    contexts = [
        context("top", (" red", 2.0), (" blue", 1.9)),
        context("top", ("\n", 2.0), (" green", 1.0)),
        context("top", (" sea", 0.0)),
        context("top", ("red", 1.0)),
        context("top", (" Red", 0.5), (" a", 0.1)),
    ]
    assert peak_words(contexts) == ["red", "Red"]


def test_max_act_logits_shows_peak_words_and_promoted_tokens_after_a_shared_beginning() -> None:
    first, second = MaxActLogits(SETTINGS).propose(with_effects(colours()), 2, rng())
    assert isinstance(first, PromptedCandidate)
    assert isinstance(second, PromptedCandidate)
    assert first.request == replace(second.request, sample=0)
    text = text_of(first)
    assert text.startswith('Most active on: "red", "green", "blue"')
    assert text.endswith('Makes likelier: " paint", "ish"')
    assert "seven" not in text
    other = text_of(MaxActLogits(SETTINGS).propose(with_effects(shown(context("top", (" x", 1.0)))), 1, rng())[0])
    assert other == 'Most active on: "x"\nMakes likelier: " paint", "ish"'


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ("[EXPLANATION]: names of colours.", "names of colours"),
        ("one two three four five six", "one two three four five six"),
        ("one two three four five six seven", Unreadable("the label has too many words")),
        ("[EXPLANATION]: words that name colours and also some shades", Unreadable("the label has too many words")),
        ("I'm sorry, I can't", Unscored("the model declined")),
        ("\n", Unreadable("the answer is empty")),
    ],
)
def test_a_label_of_more_than_six_words_is_asked_for_again(answer: str, label: object) -> None:
    (proposal,) = MaxActLogits(SETTINGS).propose(with_effects(colours()), 1, rng())
    assert isinstance(proposal, PromptedCandidate)
    assert proposal.read(Response(answer, 1, 1)) == label
    if answer.strip():
        assert parse_label(answer) == label


def hostile(text: str) -> Shown:
    tops = [context("top", (" before", 0.0), (text, 2.0 - i / 4), (" after", 0.5)) for i in range(2)]
    randoms = [context("random", (" before", 0.0), (text, 0.0)) for _ in range(6)]
    return with_effects(shown(*tops, *randoms), Effects((text, " x"), (text,)))


@pytest.mark.parametrize("text", INJECTIONS)
@pytest.mark.parametrize("kind", [Intervals, MaxActLogits])
def test_neither_tokens_nor_effects_can_leave_their_place(kind: Any, text: str) -> None:
    (proposal,) = kind(SETTINGS).propose(hostile(text), 1, rng())
    (plain,) = kind(SETTINGS).propose(hostile("plain"), 1, rng())
    assert proposal.request.messages[:-1] == plain.request.messages[:-1]
    data, expected = text_of(proposal), text_of(plain)
    assert len(data.splitlines()) == len(expected.splitlines()) == data.count("\n") + 1
    assert data.count("\t") == expected.count("\t")
    assert not re.search(r"<\|[^<>\s]*\|>|</?s>|\[/?[A-Z]{2,}\]|<start_of", data)
    for line, other in zip(data.splitlines(), expected.splitlines(), strict=True):
        assert line.rpartition("\t")[2] == other.rpartition("\t")[2] or "\t" not in line
