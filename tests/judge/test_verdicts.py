from __future__ import annotations

from math import log

import pytest

from autointerp.judge.verdicts import read_choice, read_yes_no
from autointerp.llm.request import Response, TokenLogprob, Unreadable


def said(text: str, *logprobs: TokenLogprob) -> Response:
    return Response(text, 1, 1, logprobs=logprobs)


def sure(text: str) -> TokenLogprob:
    return TokenLogprob(text, 0.0, ((text, 0.0),))


def torn(text: str, **shares: float) -> TokenLogprob:
    """A token with alternatives of these shares; `_1` is " 1"."""
    top = tuple((name.replace("_", " ").replace("x", ""), log(share)) for name, share in shares.items())
    return TokenLogprob(text, dict(top)[text], top)


@pytest.mark.parametrize(
    "text",
    [
        '{"answers": [1, 0, 1]}',
        "[1,0,1]",
        "```json\n[\n  1,\n  0,\n  1\n]\n```",
        'The answers are {"answers": [true, false, true]}. 0 doubts!',
    ],
)
def test_an_answer_without_log_probabilities_is_certain(text: str) -> None:
    assert read_yes_no(said(text), 3) == (1.0, 0.0, 1.0)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"answers": [1, 0]}', "wrong number of values"),
        ('{"answers": [1, 0, 1, 1]}', "wrong number of values"),
        ('{"answers": []}', "wrong number of values"),
        ('{"answers": [1, 0, 2]}', "a value other than 0 and 1"),
        ('{"answers": [1, 0, -1]}', "a value other than 0 and 1"),
        ('{"answers": [1, 0, 0.5]}', "a value other than 0 and 1"),
        ('{"answers": [1, 0, "1"]}', "a value other than 0 and 1"),
        ('{"answers": [1, 0, null]}', "a value other than 0 and 1"),
        ('{"answers": [[1], 0, 1]}', "a value other than 0 and 1"),
        ('{"answers": "1, 0, 1"}', "the answer's JSON is not a list of answers"),
        ('{"answer": [1, 0, 1]}', "the answer's JSON is not a list of answers"),
        ('{"answers": [1, 0, 1], "more": [0, 0, 0]}', "the answer's JSON is not a list of answers"),
        ('{"answers": [1, 0, 1], "answers": [1, 0, 1]}', "a duplicate key in the answer's JSON"),
        ("[1, 0, 1] [1, 0, 1]", "several JSON values in the answer"),
        ("1, 0, 1", "no JSON in the answer"),
        ("", "no JSON in the answer"),
    ],
)
def test_anything_else_is_asked_again(text: str, reason: str) -> None:
    assert read_yes_no(said(text), 3) == Unreadable(reason)


def test_p_yes_is_the_share_of_one_among_one_and_zero() -> None:
    first = torn("1", x1=0.6, x0=0.2, _1=0.1, maybe=0.1)
    second = torn(" 0", _0=0.9, _1=0.06, x1=0.04)
    tokens = [sure('{"'), sure("answers"), sure('":'), sure(" ["), first, sure(","), second, sure("]}")]
    found = read_yes_no(said('{"answers": [1, 0]}', *tokens), 2)
    assert found == pytest.approx((0.7 / 0.9, 0.1), abs=1e-12)


def test_digits_in_prose_and_keys_are_not_taken_for_answers() -> None:
    tokens = [torn("1", x1=0.5, x0=0.5), sure(" is 0: ["), torn("1", x1=0.8, x0=0.2), sure("] 0")]
    assert read_yes_no(said("1 is 0: [1] 0", *tokens), 1) == pytest.approx((0.8,))


def test_blanks_before_and_end_tokens_behind_the_text_do_not_shift_it() -> None:
    tokens = [sure("\n"), sure("["), torn("0", x0=0.75, x1=0.25), sure("]"), sure("<|im_end|>")]
    assert read_yes_no(said("[0]", *tokens), 1) == pytest.approx((0.25,))


def test_a_token_that_holds_the_bracket_too() -> None:
    both = TokenLogprob("[1", log(0.5), (("[0", log(0.5)), ("[1", log(0.5))))
    assert read_yes_no(said("[1]", both, sure("]")), 1) == pytest.approx((0.5,))


def test_a_drawn_token_beyond_the_listed_alternatives_counts() -> None:
    drawn = TokenLogprob("1", log(0.01), (("0", log(0.99)),))
    assert read_yes_no(said("[1]", sure("["), drawn, sure("]")), 1) == pytest.approx((0.01,))


@pytest.mark.parametrize(
    ("tokens", "reason"),
    [
        ((sure("[0"), sure("]")), "the log-probabilities are of another text than the answer"),
        ((sure("[1, 1"), sure("]")), "neither 0 nor 1 among the top log-probabilities"),
        (
            (sure("["), TokenLogprob("1", float("-inf")), sure(", 1]")),
            "neither 0 nor 1 among the top log-probabilities",
        ),
        ((sure("["), TokenLogprob("1", float("nan")), sure(", 1]")), "neither 0 nor 1 among the top log-probabilities"),
        ((sure("["), TokenLogprob("1", None), sure(", 1]")), "neither 0 nor 1 among the top log-probabilities"),
    ],
)
def test_log_probabilities_that_do_not_fit_are_asked_for_again(tokens: tuple[TokenLogprob, ...], reason: str) -> None:
    assert read_yes_no(said("[1, 1]", *tokens), 2) == Unreadable(reason)


@pytest.mark.parametrize(
    "text",
    ['{"intruder": 3}', '{"intruder":"3"}', '```json\n{\n  "intruder": 3\n}\n```', 'Excerpt 3 of 5: {"intruder": 3}.'],
)
def test_a_choice_without_log_probabilities_is_certain(text: str) -> None:
    assert read_choice(said(text), 5) == (0.0, 0.0, 1.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("3", "no JSON in the answer"),
        ("[3]", "the answer's JSON does not name one intruder"),
        ('{"intruder": [3]}', "the answer's JSON does not name one intruder"),
        ('{"intruder": 3.0}', "the answer's JSON does not name one intruder"),
        ('{"intruder": true}', "the answer's JSON does not name one intruder"),
        ('{"intruder": null}', "the answer's JSON does not name one intruder"),
        ('{"intruder": "three"}', "the answer's JSON does not name one intruder"),
        ('{"intruder": 3, "why": "it rains"}', "the answer's JSON does not name one intruder"),
        ('{"intruder": 3} {"intruder": 4}', "several JSON values in the answer"),
        ('{"intruder": 0}', "an intruder that was not shown"),
        ('{"intruder": 6}', "an intruder that was not shown"),
        ('{"intruder": -3}', "an intruder that was not shown"),
    ],
)
def test_anything_but_one_choice_is_asked_again(text: str, reason: str) -> None:
    assert read_choice(said(text), 5) == Unreadable(reason)


def test_with_log_probabilities_each_number_has_its_share() -> None:
    number = torn(" 3", _3=0.5, x3=0.1, x1=0.2, _5=0.1, seven=0.05, x9=0.05)
    tokens = [sure("Of 5: "), sure('{"'), sure("intruder"), sure('":'), number, sure("}")]
    found = read_choice(said('Of 5: {"intruder": 3}', *tokens), 5)
    assert found == pytest.approx((0.2 / 0.9, 0.0, 0.6 / 0.9, 0.0, 0.1 / 0.9), abs=1e-12)


def test_log_probabilities_that_say_nothing_of_the_numbers_are_no_answer() -> None:
    tokens = [sure('{"intruder": '), torn("4", x4=0.5, x5=0.5), sure("}")]
    assert read_choice(said('{"intruder": 4}', *tokens), 3) == Unreadable("an intruder that was not shown")
    other = [sure('{"intruder": '), sure("x"), sure("}")]
    assert read_choice(said('{"intruder": 4}', *other), 5) == Unreadable(
        "the log-probabilities are of another text than the answer"
    )
    merged = [sure('{"intruder": 4}')]
    assert read_choice(said('{"intruder": 4}', *merged), 5) == Unreadable(
        "no shown number among the top log-probabilities"
    )
