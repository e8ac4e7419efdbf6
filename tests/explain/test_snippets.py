"""`snippets`: what a small model is shown, and what is taken out of its answer."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from autointerp.contexts.naming import named_words
from autointerp.explain.interface import PromptedCandidate, Shown
from autointerp.explain.snippets import LONG, SHORT, ShortSnippets, Sizes, Snippets, described
from autointerp.explain.texts import top_words
from autointerp.llm.request import Response, Unreadable
from autointerp.records import Unscored
from tests.explain.doubles import SETTINGS, colours, context, shown
from tests.injections import INJECTIONS


def asked(unit: Shown, n: int, seed: int = 0, kind: type[Snippets] = Snippets) -> list[PromptedCandidate]:
    proposals = kind(SETTINGS).propose(unit, n, np.random.default_rng(seed))
    return [p for p in proposals if isinstance(p, PromptedCandidate)]


def last(proposal: PromptedCandidate) -> str:
    return proposal.request.messages[-1][1]


def test_prompts_are_asked_twice_and_the_first_shows_the_strongest_and_others_other_contexts() -> None:
    first, again, *others = asked(colours(), 7)
    assert again.request == replace(first.request, sample=1)
    assert [last(p) for p in others[0::2]][:2] == [last(p) for p in others[1::2]]
    lines = last(first).splitlines()
    assert len(lines) == LONG.contexts + 1
    assert lines[0] == '1. " The «red» or «yellow» cat"'
    assert lines[-1] == "Marked: " + ", ".join(top_words(colours().active()[: LONG.contexts], LONG.words_shown))
    assert "crimson" in last(first), "a band's, after the nine top contexts"
    assert len({last(p) for p in (first, *others)}) > 2
    assert all(len(last(p).splitlines()) == LONG.contexts + 1 for p in others)
    for proposal in others:
        assert proposal.request.messages[:-1] == first.request.messages[:-1], "shared, for a cache"
    assert [p.request.sample for p in (first, again, *others)] == list(range(7))
    assert [p.request for p in asked(colours(), 7)] == [p.request for p in (first, again, *others)]
    silent = shown(context("top", (" a", 0.0)), context("random", (" a", 1.0)))
    assert Snippets(SETTINGS).propose(silent, 2, np.random.default_rng(0)) == [Unscored("no active context to show")]


@pytest.mark.parametrize(("kind", "sizes"), [(Snippets, LONG), (ShortSnippets, SHORT)])
@pytest.mark.parametrize("peak", [0, 3, 10, 30, 39])
def test_a_piece_of_text_around_the_peak_is_shown(peak: int, kind: type[Snippets], sizes: Sizes) -> None:
    tokens = [(f" w{place}", 1.0 if place == peak else 0.2 if place == 20 else 0.0) for place in range(40)]
    (proposal,) = asked(shown(context("top", *tokens)), 1, kind=kind)
    begin, end = max(0, peak - sizes.before), min(40, peak + 1 + sizes.after)
    words = [f"«w{place}»" if place == peak else f"w{place}" for place in range(begin, end)]
    assert last(proposal).splitlines()[0] == f'1. " {" ".join(words)}"'


@pytest.mark.parametrize(
    ("answer", "explanation"),
    [
        ({"description": "names of colours", "words": ["red", "teal"]}, 'names of colours, such as "red", "teal"'),
        ({"description": "names of colours.", "words": []}, "names of colours"),
        ({"description": "names of colours"}, "names of colours"),
        ({"description": "colours", "words": ["red", " red ", "", 'a "b"', "x" * 41, 7]}, 'colours, such as "red"'),
        ({"description": "colours", "words": list("abcdefgh")}, 'colours, such as "a", "b", "c", "d", "e", "f"'),
        ({"description": "None", "words": ["red"]}, Unreadable("the answer says that there is nothing to say")),
        ({"description": " ", "words": ["red"]}, Unreadable("no explanation in the answer")),
        ({"words": ["red"]}, Unreadable("no description in the answer's JSON")),
        ({"description": "colours", "words": "red"}, Unreadable("no description in the answer's JSON")),
        ({"description": ["colours"]}, Unreadable("no description in the answer's JSON")),
        ({"description": "I cannot tell", "words": []}, Unscored("the model declined")),
        ("names of colours", Unreadable("no JSON in the answer")),
        ({"description": "underscores", "words": ["_", "__init__", "*"]}, 'underscores, such as "_", "__init__", "*"'),
        ({"description": "words such as red", "words": ["red"]}, 'words, such as "red"'),
        ({"description": "words such as red", "words": []}, Unreadable("a list of words in place of a description")),
        (
            {"description": "d" * 499, "words": ["red"]},
            Unreadable("the answer is too long for an explanation"),
        ),
    ],
)
def test_an_explanation_is_a_description_and_the_words_that_it_names(answer: Any, explanation: object) -> None:
    text = answer if isinstance(answer, str) else json.dumps(answer)
    assert described(text) == explanation
    if isinstance(explanation, str) and "such as" in explanation:
        assert set(explanation.partition(" such as ")[2].replace('"', "").split(", ")) <= named_words(explanation)


def test_it_is_held_to_its_schema_and_read_from_it() -> None:
    (proposal,) = asked(colours(), 1)
    schema = json.loads(proposal.request.schema)
    assert list(schema["properties"]) == ["description", "words"]
    assert proposal.request.json_object
    assert proposal.read(Response('{"description": "colours", "words": ["red"]}', 1, 1)) == 'colours, such as "red"'


def test_short_snippets_show_and_ask_for_less() -> None:
    proposals = asked(colours(), 3, kind=ShortSnippets)
    assert all(len(last(p).splitlines()) == SHORT.contexts + 1 for p in proposals)
    assert all(len(last(p).splitlines()[-1].split(", ")) <= SHORT.words_shown for p in proposals)
    assert {p.prompt.partition("@")[0] for p in proposals} == {"short-snippets/v1"}
    answer = json.dumps({"description": "letters", "words": list("abcdefgh")})
    assert proposals[0].read(Response(answer, 1, 1)) == 'letters, such as "a", "b", "c", "d"'
    assert json.loads(proposals[0].request.schema or "")["properties"]["words"]["maxItems"] == SHORT.words_kept
    assert proposals[0].request.max_tokens < asked(colours(), 1)[0].request.max_tokens


@pytest.mark.parametrize("text", INJECTIONS)
def test_no_text_can_leave_its_place(text: str) -> None:
    hostile, plain = (
        shown(*(context("top", (" before", 0.0), (piece, 2.0 - i / 4), (" after", 0.0)) for i in range(3)))
        for piece in (text, "plain")
    )
    (mine,), (theirs,) = asked(hostile, 1), asked(plain, 1)
    assert mine.request.messages[:-1] == theirs.request.messages[:-1]
    assert len(last(mine).splitlines()) == len(last(theirs).splitlines()) == last(mine).count("\n") + 1
    assert last(mine).count("«") == last(theirs).count("«")
