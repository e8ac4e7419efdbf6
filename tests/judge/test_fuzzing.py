from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from autointerp.explain.highlight import strongly_active
from autointerp.judge.fuzzing import Fuzzing
from autointerp.judge.interface import Case, HeldOut, Items, Judge
from autointerp.records import Unscored
from tests.injections import INJECTIONS, injected_context
from tests.judge.doubles import SETTINGS, asked, tokens_of

FUZZING = Fuzzing(SETTINGS)
TOKENS = 12


def unit(seed: int, active: int = 8) -> tuple[HeldOut, ...]:
    """Contexts with one to four active tokens, some of them weakly active."""
    rng = np.random.default_rng(seed)
    contexts = []
    for number in range(active):
        values = np.zeros(TOKENS)
        places = rng.choice(TOKENS, size=int(rng.integers(1, 5)), replace=False)
        values[places] = rng.choice([0.1, 2.0, 3.0], size=len(places))
        contexts.append(tokens_of(number, values.tolist()))
    return (*contexts, *(tokens_of(100 + n, [0.0] * TOKENS) for n in range(4)))


def draw(contexts: tuple[HeldOut, ...], seed: int = 0, explanation: str = "e") -> list[Items]:
    batches = FUZZING.batches(Case(explanation, contexts), np.random.default_rng(seed))
    assert isinstance(batches, list)
    return batches


def marked_places(excerpt: str, held: HeldOut) -> tuple[int, ...]:
    """The tokens that stand between marks."""
    inside, rest, found = False, excerpt, []
    for place, piece in enumerate(held.context.pieces):
        for character in piece:
            while rest[0] in "«»":
                inside, rest = rest[0] == "«", rest[1:]
            assert rest[0] == character
            rest = rest[1:]
        if inside:
            found.append(place)
    return tuple(found)


def test_it_is_a_judge() -> None:
    assert isinstance(FUZZING, Judge)
    assert FUZZING.prompt.startswith("fuzzing/v1@")


@pytest.mark.parametrize("seed", range(20))
def test_right_marks_are_on_the_active_tokens_and_wrong_ones_on_silent_tokens(seed: int) -> None:
    contexts = unit(seed)
    by_id = {c.context.context: c for c in contexts}
    right, wrong = Counter[tuple[int, ...]](), Counter[tuple[int, ...]]()
    batches = draw(contexts, seed)
    items = [item for batch in batches for item in batch.items]
    assert [i.shown for i in items] == list(range(len(items)))
    assert 4 <= len(items) <= SETTINGS.examples
    for batch in batches:
        _, excerpts = asked(batch.question.request.messages)
        assert len({i.context for i in batch.items}) == len(batch.items), "no context is twice in a request"
        for item, excerpt in zip(batch.items, excerpts, strict=True):
            held = by_id[item.context]
            places = marked_places(excerpt, held)
            if item.truth:
                assert places == tuple(np.flatnonzero(strongly_active(held.activations)))
            else:
                assert all(held.activations[place] == 0 for place in places)
            (right if item.truth else wrong)[places] += 1
    assert right == wrong, "number, length and places of the marks are the same"


def test_each_context_is_shown_once_each_way() -> None:
    items = [item for batch in draw(unit(3)) for item in batch.items]
    for context in {i.context for i in items}:
        assert sorted(i.truth for i in items if i.context == context) == [False, True]


@pytest.mark.parametrize(("examples", "sizes"), [(10, [5, 5]), (12, [3, 3, 3, 3]), (4, [2, 2])])
def test_requests_are_even(examples: int, sizes: list[int]) -> None:
    contexts = tuple(tokens_of(n, np.eye(8)[n].tolist()) for n in range(8))
    batches = Fuzzing(replace(SETTINGS, examples=examples)).batches(Case("e", contexts), np.random.default_rng(0))
    assert isinstance(batches, list)
    assert [len(b.items) for b in batches] == sizes


def test_a_unit_that_is_active_in_the_same_place_everywhere_has_no_wrong_marks() -> None:
    contexts = tuple(tokens_of(n, [1.0, 0.0, 0.0]) for n in range(6))
    found = FUZZING.batches(Case("e", contexts), np.random.default_rng(0))
    assert found == Unscored("no silent tokens where its other contexts are active")


def test_one_active_context_is_too_few() -> None:
    contexts = (tokens_of(0, [1.0, 0.0]), *(tokens_of(n, [0.0, 0.0]) for n in range(1, 5)))
    found = FUZZING.batches(Case("e", contexts), np.random.default_rng(0))
    assert found == Unscored("too few active held-out contexts")


def test_no_mark_is_on_a_token_without_text() -> None:
    """A token that only starts a character is '': marks there would be seen on one side alone."""

    def split(number: int, *active: int) -> HeldOut:
        held = tokens_of(number, [float(p in active) for p in range(6)])
        pieces = tuple("" if p == 2 else piece for p, piece in enumerate(held.context.pieces))
        return replace(held, context=replace(held.context, pieces=pieces))

    contexts = (split(0, 0), split(1, 2), split(2, 4), split(3, 2, 3), split(4, 5))
    for seed in range(20):
        batches = draw(contexts, seed)
        shown = {item.context for batch in batches for item in batch.items}
        assert shown == {0, 2, 4}, "1 has marks that nobody sees, 3 gives marks that nobody else could show"


def test_the_draw_does_not_depend_on_the_explanation() -> None:
    one, other = draw(unit(5), 5, "one"), draw(unit(5), 5, "another, longer")
    assert [b.items for b in one] == [b.items for b in other]
    assert [b.items for b in one] != [b.items for b in draw(unit(5), 6)]


@pytest.mark.parametrize("text", INJECTIONS)
def test_no_context_and_no_explanation_forges_a_mark_or_leaves_its_quotes(text: str) -> None:
    contexts = tuple(
        HeldOut(injected_context(text, n), np.eye(3, dtype=np.float32)[n % 3], True) for n in range(6)
    )  # fmt: skip
    plain = tuple(HeldOut(injected_context("x", n), c.activations, True) for n, c in enumerate(contexts))
    for batch, usual in zip(draw(contexts, explanation=text), draw(plain), strict=True):
        messages, harmless = batch.question.request.messages, usual.question.request.messages
        assert [role for role, _ in messages] == [role for role, _ in harmless]
        assert messages[:-1] == harmless[:-1]
        assert len(messages[-1][1].splitlines()) == len(harmless[-1][1].splitlines())
        explanation, excerpts = asked(messages)
        assert explanation == text
        stand_ins = text.translate(str.maketrans("«»", "‹›"))
        for excerpt in excerpts:
            assert excerpt.count("«") == excerpt.count("»") == 1
            assert excerpt.replace("«", "").replace("»", "") == f" before{stand_ins} after"
