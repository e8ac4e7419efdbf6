from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autointerp.errors import BadInput, CheckFailed
from autointerp.explain.contrastive import SILENT, Contrastive, look_alikes
from autointerp.explain.exemplars import Exemplars
from autointerp.explain.highlight import Highlight, marked, strength
from autointerp.explain.interface import ExplainSettings, PromptedCandidate, Proposal, Shown, shown_of
from autointerp.explain.phrase import MOST_WORDS, Phrase, parse_new_phrase
from autointerp.explain.proposing import answered, requests_in
from autointerp.explain.registry import EXPLAINERS, method_names, open_explainer, open_explainers
from autointerp.explain.texts import explanation_in, top_words
from autointerp.explain.token_activation import CONTEXTS, TokenActivation, display, pairs
from autointerp.explain.token_activation import parse_phrase as parse_short
from autointerp.llm.request import Failure, Request, Response, Unreadable, key
from autointerp.prompting import built_in_folder
from autointerp.records import Candidate, Context, Exemplar, Split, Unit, Unscored
from autointerp.study_file import parse_study
from autointerp.study_models import Llm
from tests.entries import Entry
from tests.explain.doubles import EFFECTS, SETTINGS, colours, context, shown
from tests.llm.doubles import Counter, EchoAsker


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def texts(proposals: Sequence[Proposal]) -> list[str]:
    return [p.text for p in proposals if isinstance(p, Candidate)]


def prompts(proposals: Sequence[Proposal]) -> list[PromptedCandidate]:
    return [p for p in proposals if isinstance(p, PromptedCandidate)]


def test_top_words_sum_over_all_tokens_of_a_word() -> None:
    contexts = [
        context("top", (" red", 2.0), ("red", 1.5), (" Red", 3.0), (" silent", 0.0), ("\n", 9.0)),
        context("top", (" blue", 3.25), (" red ", 0.25)),
    ]
    assert top_words(contexts, 9) == ["red", "blue", "Red"]
    assert top_words(contexts, 2) == ["red", "blue"]


def test_exemplars_name_the_top_words_over_all_two_thirds_and_a_third() -> None:
    unit = colours()
    tops = unit.contexts[:9]
    candidates = texts(Exemplars(SETTINGS).propose(unit, 9, rng()))
    expected = [
        "words such as " + ", ".join(top_words(tops[:share], count)) for share in (9, 6, 3) for count in (3, 6, 12)
    ]
    assert candidates == list(dict.fromkeys(expected))[:9]
    assert candidates[0] == "words such as " + ", ".join(top_words(tops, 3))
    assert "crimson" not in " ".join(candidates)


@given(n=st.integers(1, 30), seed=st.integers(0, 5))
@settings(max_examples=20, deadline=None)
def test_exemplars_are_distinct_seeded_and_as_many_as_can_be_had(n: int, seed: int) -> None:
    candidates = texts(Exemplars(SETTINGS).propose(colours(), n, rng(seed)))
    assert len(candidates) == len(set(candidates)) == n
    assert candidates == texts(Exemplars(SETTINGS).propose(colours(), n, rng(seed)))


def test_exemplars_give_fewer_when_there_are_no_more_and_a_reason_when_there_is_none() -> None:
    one = shown(context("top", (" red", 1.0), (" cat", 0.0)))
    assert texts(Exemplars(SETTINGS).propose(one, 12, rng())) == ["words such as red"]
    for empty in (shown(), shown(context("top", ("\n", 1.0), (" a", 0.0))), shown(context("random", (" a", 1.0)))):
        for explainer in (Exemplars(SETTINGS), Phrase(SETTINGS)):
            assert explainer.propose(empty, 3, rng()) == [Unscored("no word among its top tokens")]
    silent = shown(context("top", (" a", 0.0)), context("random", (" a", 1.0)))
    assert Highlight(SETTINGS).propose(silent, 3, rng()) == [Unscored("no active context to show")]


def test_a_unit_with_one_word_gets_as_many_lists_as_any_other_by_stray_words() -> None:
    strays = [(f" stray{i}", 0.0) for i in range(6)]
    one = shown(context("top", (" red", 1.0), (" cat", 0.0)), context("random", *strays))
    candidates = texts(Exemplars(SETTINGS).propose(one, 12, rng()))
    assert len(set(candidates)) == 12
    assert candidates[0] == "words such as red"
    assert all(c.startswith("words such as red, stray") for c in candidates[1:])


def test_phrase_asks_about_different_parts_of_the_top_contexts_after_a_shared_beginning() -> None:
    proposals = prompts(Phrase(SETTINGS).propose(colours(), 8, rng()))
    requests = [p.request for p in proposals]
    lists = [r.messages[0][1].rpartition("List: ")[2].splitlines()[0] for r in requests]
    shared = requests[0].messages[0][1].rpartition("List: ")[0]
    assert all(r.messages[0][1].startswith(shared) and len(shared) > 1000 for r in requests)
    assert lists[0] == ", ".join(top_words(colours().contexts[:9], 8))
    assert len(set(lists)) > 4
    assert [r.sample for r in requests] == list(range(8))
    assert {(r.model, r.temperature, r.stop, r.max_tokens) for r in requests} == {("m", 0.5, ("\n",), 20)}
    assert requests == [p.request for p in prompts(Phrase(SETTINGS).propose(colours(), 8, rng()))]
    other = prompts(Phrase(SETTINGS).propose(colours(), 8, rng(1)))
    assert {r.seed for r in requests} != {p.request.seed for p in other}


@pytest.mark.parametrize(
    ("answer", "phrase"),
    [
        (" names of colours\nList: a, b", "names of colours"),
        (' "warm colours".', "warm colours"),
        ("**colours**", "colours"),
        ("\n\n  colours  \n", "colours"),
        ("red and bright things", "red and bright things"),
        ("Sure! Here it is:\n names of colours", "names of colours"),
        ("", Unreadable("no explanation in the answer")),
        (" ...", Unreadable("no explanation in the answer")),
        ("red, green and Blue", Unscored("the answer only repeats the words it was shown")),
        ("New York", Unscored("the answer only repeats the words it was shown")),
        ("I'm sorry, I can't help", Unscored("the model declined")),
        ("I’m sorry, but", Unscored("the model declined")),
        (" ".join(["long"] * (MOST_WORDS + 1)), Unscored("the phrase is too long")),
        (" ".join(["long"] * MOST_WORDS), " ".join(["long"] * MOST_WORDS)),
        ("x" * 600, Unreadable("the answer is too long for an explanation")),
        ("col\x1b[0mours\u202e", "col[0mours"),
    ],
)
def test_phrases_are_one_short_line_of_the_model_s_own(answer: str, phrase: str | Unscored | Unreadable) -> None:
    assert parse_new_phrase(answer, ["red", "green", "blue", "New York"]) == phrase


def test_activations_are_shown_on_a_scale_of_ten_relative_to_the_evidence() -> None:
    assert [display(a, 4.0) for a in (-1.0, 0.0, 0.39, 0.4, 3.99, 4.0, 9.0)] == [0, 0, 0, 1, 9, 10, 10]
    assert display(1.0, 0.0) == 0


def test_every_token_is_shown_with_its_activation_and_the_few_active_ones_again() -> None:
    few = context("top", *((f" w{i}", 0.0) for i in range(9)), (" red\n\t10", 2.0))
    told = pairs([few], 2.0)
    assert [(t["text"], t["value"]) for t in told["excerpts"][0]][-2:] == [(" w8", 0), (" red\\n\\t10", 10)]
    assert told["repeated"] == [{"text": " red\\n\\t10", "value": 10}]
    assert pairs([context("top", (" a", 0.0), (" b", 1.0))], 1.0)["repeated"] == [], "half of them are active already"
    (proposal,) = prompts(TokenActivation(SETTINGS).propose(colours(), 1, rng()))
    text = proposal.request.messages[-1][1]
    assert text.count("Excerpt ") == CONTEXTS
    assert text.index(" red\t10\n") < text.index(" green\t8\n"), "the strongest first"
    assert "crimson" not in text


def test_token_activation_asks_n_times_and_reads_one_line() -> None:
    asked = prompts(TokenActivation(SETTINGS).propose(colours(), 3, rng()))
    assert [p.request.sample for p in asked] == [0, 1, 2]
    assert len({replace(p.request, sample=0) for p in asked}) == 1
    assert parse_short(" colours, mostly warm ones.\nUnit 4\n") == "colours, mostly warm ones"
    assert parse_short("\n") == Unreadable("no explanation in the answer")
    assert parse_short("I'm sorry, I can't") == Unscored("the model declined")
    silent = shown(context("top", (" a", 0.0)), context("random", (" a", 1.0)))
    assert TokenActivation(SETTINGS).propose(silent, 3, rng()) == [Unscored("no active context to show")]


def test_look_alikes_are_silent_contexts_with_the_units_own_words_first() -> None:
    tops = [context("top", (" red", 3.0), (" blue", 2.0), (" or", 0.0))]
    none = context("random", (" nothing", 0.0), (" or", 0.0))
    one = context("random", (" blue", 0.0), (" nothing", 0.0))
    both = context("random", ("red", 0.0), (" blue", 0.0))
    loud = context("random", (" red", 0.5), (" blue", 0.0))
    unit = shown(*tops, none, one, both, loud)
    assert look_alikes(unit, tops) == [both, one, none]
    assert len(look_alikes(shown(*tops, *[none] * 20), tops)) == SILENT


def test_contrastive_shows_active_contexts_then_silent_ones() -> None:
    first, second = prompts(Contrastive(SETTINGS).propose(colours(), 2, rng()))
    assert first.request == replace(second.request, sample=0)
    text = first.request.messages[-1][1]
    assert text.index("Active 1, strength 9:") < text.index("Active 11,") < text.index('Silent 1: " nothing here"')
    assert "Silent 2" not in text
    assert first.read(Response("[EXPLANATION]: colours", 1, 1)) == "colours"
    hard = [context(f"hard-negative-{sort}", (f" {sort}", 0)) for sort in ("token", "nearest")]
    (harder,) = prompts(Contrastive(SETTINGS).propose(shown(*colours().contexts, *hard), 1, rng()))
    lines = [line for line in harder.request.messages[-1][1].splitlines() if line.startswith("Silent")]
    assert lines == ['Silent 1: " token"', 'Silent 2: " nearest"', 'Silent 3: " nothing here"']
    loud = shown(context("top", (" a", 1.0)), context("random", (" a", 1.0)))
    assert Contrastive(SETTINGS).propose(loud, 1, rng()) == [Unscored("no silent context to show")]
    quiet = shown(context("top", (" a", 0.0)), context("random", (" a", 0.0)))
    assert Contrastive(SETTINGS).propose(quiet, 1, rng()) == [Unscored("no active context to show")]


def test_highlight_shows_active_contexts_strongest_first() -> None:
    (first, second) = prompts(Highlight(SETTINGS).propose(colours(), 2, rng()))
    assert first.request == replace(second.request, sample=0)
    assert (first.request.sample, second.request.sample) == (0, 1)
    (system, _), (user, text) = first.request.messages
    assert (system, user) == ("system", "user")
    assert 'Excerpt 1, strength 9: " The «red» or «yellow» cat"' in text
    assert 'strength 2: " a «crimson» dog"' in text
    assert text.count("Excerpt ") == 11
    assert "nothing here" not in text
    strengths = [int(line.split("strength ")[1][0]) for line in text.splitlines() if line.startswith("Excerpt")]
    assert strengths == sorted(strengths, reverse=True)


def test_strength_is_a_share_of_the_maximum() -> None:
    assert [strength(p, 2.0) for p in (0.01, 0.4, 1.0, 1.99, 2.0, 3.0)] == [1, 2, 5, 9, 9, 9]
    assert strength(1.0, 0.0) == 1


def test_runs_are_marked_together_from_thirty_per_cent_of_the_peak() -> None:
    row = context("top", ("In", 0), (" New", 1.0), (" York", 0.3), (" and", 0.29), (" Rome", 0.5))
    assert marked(row) == '"In «New York» and «Rome»"'
    assert marked(context("top", ("a", 0), ("", 1.0), ("b", 0), ("  ", 1.0))) == '"ab«  »"'


@given(st.lists(st.tuples(st.text(max_size=8), st.sampled_from([0.0, 1.0])), min_size=1, max_size=8))
@settings(max_examples=200, deadline=None)
def test_no_text_can_forge_a_mark_or_end_its_line(tokens: list[tuple[str, float]]) -> None:
    line = marked(context("top", *tokens))
    assert all(c.isprintable() or unicodedata.category(c) == "Zs" for c in line)
    inside = json.loads(line)
    runs = ["".join(piece for piece, _ in run) for active, run in groupby(tokens, key=lambda t: t[1]) if active]
    assert inside.count("«") == inside.count("»") == sum(map(bool, runs))
    plain = "".join(piece for piece, _ in tokens).replace("«", "‹").replace("»", "›")
    assert inside.replace("«", "").replace("»", "") == plain


@pytest.mark.parametrize(
    ("answer", "explanation"),
    [
        ("[EXPLANATION]: names of colours", "names of colours"),
        ("They are words.\n\n[EXPLANATION]: names of\ncolours\n\nHope this helps", "names of colours"),
        ("[EXPLANATION]: first\n[EXPLANATION]: second", "second"),
        ("Explanation: colours", "colours"),
        ("Names of colours.\n\nMore about it", "Names of colours."),
        ("EXPLANATION**: French adverbs", "French adverbs"),
        ("[EXPLANATION] French adverbs", "French adverbs"),
        ("**Description:** French adverbs", "French adverbs"),
        ('[EXPLANATION]: "warm" colours', '"warm" colours'),
        ('words like "red"', 'words like "red"'),
        ('"red" and "green"', '"red" and "green"'),
        ("“warm colours”", "warm colours"),
        ("<think>\nThey are red.\n\nSo:</think>\n\nnames of colours", "names of colours"),
        ("They are red.\n</think>\nnames of colours", "names of colours"),
        ("<think>They are red", Unreadable("a thought without an answer")),
        ("<think>[EXPLANATION]: red</think>", Unreadable("a thought without an answer")),
        ("Sure! Here is the description:\n\nnames of colours", "names of colours"),
        ("Sure! Here is the description:", Unreadable("no explanation in the answer")),
        ("The marked tokens have the following in common:", Unreadable("no explanation in the answer")),
        ("The marked tokens have in common the letter s", "the letter s"),
        ("the description of a court case", "the description of a court case"),
        ("Okay, alright and fine", "Okay, alright and fine"),
        (
            "[EXPLANATION]: a short description, at most twenty words",
            Unreadable("the answer is the prompt's placeholder"),
        ),
        ("[EXPLANATION]: <explanation>", Unreadable("the answer is the prompt's placeholder")),
        ("[EXPLANATION]: None", Unreadable("the answer says that there is nothing to say")),
        ("N/A", Unreadable("the answer says that there is nothing to say")),
        ("Unable to determine.", Unreadable("the answer says that there is nothing to say")),
        ("What do the marked tokens have in common?", Unreadable("the answer repeats the question")),
        ("[EXPLANATION]: What is the unit active on?", Unreadable("the answer repeats the question")),
        ("There is no common theme.", Unreadable("the answer says that there is nothing to say")),
        ("None of these.", Unreadable("the answer says that there is nothing to say")),
        ("N/A - no pattern", Unreadable("the answer says that there is nothing to say")),
        ("Sure! Here is the description: names of colours", "names of colours"),
        ("## Description\n\nNames of colours", "Names of colours"),
        ("Names of colours:\n- red\n- blue", "Names of colours: - red - blue"),
        ("The word before a colon, as in Note:", "The word before a colon, as in Note:"),
        ('the word "explanation": what introduces a reason', 'the word "explanation": what introduces a reason'),
        ("words before an explanation: because, since", "words before an explanation: because, since"),
        ("[EXPLANATION]: colours\n\n(The [EXPLANATION] above fits)", "colours"),
        ("[EXPLANATION: names of colours]", "names of colours"),
        ("[EXPLANATION]：颜色词", "颜色词"),
        ("a short phrase in parentheses", "a short phrase in parentheses"),
        ("a brief description of products in shops", "a brief description of products in shops"),
        ("[citation needed]", "[citation needed]"),
        ("null", "null"),
        ("No common element but the suffix -ium", "No common element but the suffix -ium"),
        ("Adjectives. All the marked words share a sense", "Adjectives. All the marked words share a sense"),
        ("unlisted words share a prefix", "unlisted words share a prefix"),
        ("Certainly, the adverb of assent", "Certainly, the adverb of assent"),
        ('the "<think>" tag that opens reasoning', 'the "<think>" tag that opens reasoning'),
        ("[THINK]They are red.[/THINK]names of colours", "names of colours"),
        ("__init__ methods in Python", "__init__ methods in Python"),
        ("None of the words is a verb", "None of the words is a verb"),
        ("[EXPLANATION]:  ", Unreadable("no explanation in the answer")),
        ("", Unreadable("no explanation in the answer")),
        ("x" * 600, Unreadable("the answer is too long for an explanation")),
        ("[EXPLANATION]: I cannot tell", Unscored("the model declined")),
    ],
)
def test_explanations_are_read_without_what_stands_around_them(
    answer: str, explanation: str | Unscored | Unreadable
) -> None:
    assert explanation_in(answer) == explanation


def test_a_line_is_read_without_looking_for_labels_further_down() -> None:
    assert explanation_in("names of colours\n\nExplanation: all of them are", lines=True) == "names of colours"
    assert explanation_in("colour words:\n- red", lines=True) == "colour words:"


@pytest.mark.parametrize("part", ["a ", "<", "</think", "[EXPLANATION", "the marked ", "no common ", "none "])
def test_a_long_hostile_answer_is_read_in_one_go(part: str) -> None:
    """Quadratic patterns would take minutes here."""
    assert isinstance(explanation_in(part * (200_000 // len(part)) + "x"), Unreadable)


def test_all_units_are_asked_together_and_every_answer_reaches_its_unit() -> None:
    units = [colours(f"feature/{i}") for i in range(3)]
    phrase, exemplars = Phrase(SETTINGS), Exemplars(SETTINGS)
    proposals = [[*exemplars.propose(u, 2, rng(i)), *phrase.propose(u, 2, rng(i))] for i, u in enumerate(units)]
    proposals.append(phrase.propose(shown(), 2, rng()))
    calls: list[int] = []

    def write(request: object) -> Response | Failure:
        calls.append(len(calls))
        if len(calls) == 3:
            return Failure("the model refused", "refusal")
        return Response(f" kind {len(calls)}", 1, 1)

    asker, bar = EchoAsker(write), Counter()
    settled = answered(proposals, asker, bar)
    assert requests_in(proposals) == bar.done == len(asker.seen) == 6
    assert [texts(unit)[2:] for unit in settled[:3]] == [["kind 1", "kind 2"], ["kind 4"], ["kind 5", "kind 6"]]
    assert settled[1][2] == Unscored("the model refused")
    assert settled[3] == [Unscored("no word among its top tokens")]
    first = settled[0][2]
    assert isinstance(first, Candidate)
    assert first.request == key(asker.seen[0], "echo")
    assert first.prompt.startswith("phrase/v1@")
    assert [c.request for c in settled[0][:2] if isinstance(c, Candidate)] == ["", ""]


def test_without_a_model_only_what_asks_none_is_answered() -> None:
    proposals = [Exemplars(SETTINGS).propose(colours(), 2, rng())]
    assert answered(proposals, None, Counter()) == proposals
    with pytest.raises(ValueError, match="2 proposals hold a request"):
        answered([Phrase(SETTINGS).propose(colours(), 2, rng())], None, Counter())


def _corpus() -> tuple[Unit, list[Exemplar], dict[int, Context]]:
    contexts = {
        i: Context(i, split, i, "s", 0, np.arange(2), (f" secret{i}", f" word{i}"))
        for i, split in enumerate([Split.EVIDENCE, Split.EVIDENCE, Split.HELD_OUT, Split.CALIBRATION, Split.TRAIN])
    }
    rows = [Exemplar("feature/1", 0, i, "top", 1.0, np.array([2.0 - i / 4, 0.5], dtype=np.float32)) for i in contexts]
    return Unit("feature/1", 0, "feature", "h", "sae", 1, 1, 0.0, 0.1, 2.0, 0.5), rows, contexts


@pytest.mark.parametrize("place", [2, 3, 4])
def test_a_context_that_is_not_evidence_reaches_no_explainer(place: int) -> None:
    unit, rows, contexts = _corpus()
    with pytest.raises(CheckFailed, match=f"feature/1: context {place} is of split"):
        shown_of(unit, [*rows[:2], rows[place]], contexts)


@pytest.mark.parametrize("name", EXPLAINERS.built_in)
def test_what_is_proposed_and_asked_holds_evidence_alone(name: str) -> None:
    unit, rows, contexts = _corpus()
    contexts[5] = Context(5, Split.EVIDENCE, 5, "s", 0, np.arange(2), (" nothing", " here"))
    silent = Exemplar("feature/1", 0, 5, "random", 1.0, np.zeros(2, dtype=np.float32))
    seen: Shown = shown_of(unit, [*rows[:2], silent], contexts, EFFECTS)
    assert seen.max_activation == 2.0
    proposals = open_explainer(name, SETTINGS).propose(seen, 4, rng())
    asker = EchoAsker(lambda r: Response('{"description": "a kind of word"}', 1, 1))
    settled = answered([proposals], asker, Counter())
    everything = " ".join([*texts(settled[0]), *(content for r in asker.seen for _, content in r.messages)])
    assert "secret0" in everything
    assert "secret1" in everything
    for held_out in (2, 3, 4):
        assert f"secret{held_out}" not in everything
        assert f"word{held_out}" not in everything


def test_explainers_by_name() -> None:
    study = parse_study({"explain": {"prompts": {"short-snippets": "short-snippets/v1"}}})
    needing = {name: explainer.needs_model for name, explainer in open_explainers(study).items()}
    assert needing == {"exemplars": False, "short-snippets": True}
    assert method_names(parse_study({"explain": {"method": "highlight"}})) == ("highlight",)
    with pytest.raises(BadInput, match=r"no explainer 'exemplar': did you mean 'exemplars'"):
        open_explainer("exemplar", SETTINGS)
    with pytest.raises(BadInput, match=r"no prompt 'phrase/v9': did you mean 'phrase/v1'"):
        open_explainer("phrase", replace(SETTINGS, prompt="phrase/v9"))
    with pytest.raises(BadInput, match="prompt for 'highlight', which is not asked"):
        open_explainers(parse_study({"explain": {"prompts": {"highlight": "highlight/v1"}}}))
    with pytest.raises(BadInput, match="none twice"):
        method_names(parse_study({"explain": {"methods": ["phrase", "phrase"]}}))


def test_other_packages_register_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    class Theirs(Exemplars):
        name = "theirs"

    entries = [Entry("theirs", Theirs), Entry("broken", ImportError("no module")), Entry("phrase", Theirs)]
    monkeypatch.setattr("autointerp.registry.entry_points", lambda group: entries)
    assert isinstance(open_explainer("theirs", SETTINGS), Theirs)
    assert isinstance(open_explainer("phrase", SETTINGS), Phrase)
    with pytest.raises(BadInput, match=r"'broken' can't be imported \(no module\)"):
        open_explainer("broken", SETTINGS)


def test_an_explainer_that_continues_a_text_is_refused_for_a_provider_of_chats_before_anything_runs() -> None:
    with pytest.raises(BadInput, match=r"'phrase/v1' is a text to continue, and provider 'anthropic'.*take 'phrase'"):
        Phrase(ExplainSettings(Llm(provider="anthropic", model="m")))
    Phrase(ExplainSettings(Llm(provider="openai", model="m")))
    Highlight(ExplainSettings(Llm(provider="anthropic", model="m")))


def test_an_empty_answer_is_asked_for_again_and_not_the_explainers_word_on_the_unit() -> None:
    candidate = PromptedCandidate(Request((("user", "why"),), "m", 8, 0.7, 0), "highlight", "p", lambda text: text)
    assert candidate.read(Response(" \n", 1, 1)) == Unreadable("the answer is empty")
    assert candidate.read(Response("colours", 1, 1)) == "colours"


def test_prompts_of_a_folder_in_the_users_home_take_the_place_of_the_built_in_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    own = tmp_path / "mine" / "highlight" / "v1.toml"
    own.parent.mkdir(parents=True)
    text = (built_in_folder() / "highlight" / "v1.toml").read_text("utf8")
    own.write_text(text.replace('content = """', 'content = """Mine. ', 1), encoding="utf8")
    raw = {"explain": {"method": "highlight"}, "prompts_folder": "~/mine"}
    mine = open_explainers(parse_study(raw))["highlight"]
    theirs = open_explainers(parse_study({"explain": {"method": "highlight"}}))["highlight"]
    assert isinstance(mine, Highlight)
    assert isinstance(theirs, Highlight)
    assert mine._prompt.identity != theirs._prompt.identity
