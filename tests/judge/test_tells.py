"""Nothing but the text tells true items from false ones: classifiers of everything else are fitted, and get chance.

The units have habits: where in a context they are active, on how many tokens, how weakly beside. The same classifiers,
on marks that are drawn as other harnesses draw them, win: they could see a tell if there was one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
from jaxtyping import Bool, Float

from autointerp.explain.highlight import strongly_active
from autointerp.judge.detection import Detection
from autointerp.judge.fuzzing import Fuzzing
from autointerp.judge.interface import Case, HeldOut, Item, Judge
from autointerp.judge.intruder import Intruder
from autointerp.metrics.classification import classify
from tests.judge.doubles import SETTINGS, asked, excerpts, tokens_of
from tests.judge.test_fuzzing import marked_places

TOKENS = 24
UNITS = 100
_ITEMS = 5
"""Of a request at most."""
Row = Float[np.ndarray, " feature"]
Features = Float[np.ndarray, "item feature"]
Truth = Bool[np.ndarray, " item"]
Rows = Iterator[tuple[Row, bool]]


def unit(seed: int) -> tuple[HeldOut, ...]:
    """Its active tokens crowd around a favourite place, mostly early, and are of a usual number; some are weak."""
    rng = np.random.default_rng(seed)
    favourite, spread, habit = rng.beta(1, 3) * TOKENS, rng.uniform(1, 6), rng.integers(1, 4)
    contexts = []
    for number in range(12):
        values = np.zeros(TOKENS)
        drawn = rng.normal(favourite, spread, size=habit + rng.integers(0, 3)).astype(int).clip(0, TOKENS - 1)
        values[drawn] = rng.choice([0.2, 1.0, 1.5], size=len(drawn), p=[0.3, 0.4, 0.3])
        contexts.append(tokens_of(number, values.tolist()))
    return (*contexts, *(tokens_of(100 + n, [0.0] * TOKENS) for n in range(12)))


def of_marks(places: Sequence[int]) -> Row:
    """Which tokens are marked, how many, how many runs, the first, the last and the middle."""
    mask = np.zeros(TOKENS)
    mask[list(places)] = 1
    runs = float((np.diff(mask, prepend=0) == 1).sum())
    return np.array([*mask, len(places), runs, min(places), max(places), np.mean(places)], dtype=np.float64)


def of_request(items: Sequence[Item], marks: Sequence[Row]) -> Rows:
    """An item's own marks, its place, and the marks of all others beside it in the request."""
    for place, item in enumerate(items):
        others = [row for p, row in enumerate(marks) if p != place]
        same = sum(bool((row == marks[place]).all()) for row in others)
        beside = np.mean(others, axis=0) if others else np.zeros_like(marks[place])
        where = np.eye(_ITEMS)[place]
        row = np.concatenate([marks[place], beside, marks[place] - beside, where, [item.shown, len(marks), same]])
        yield row, item.truth


def fuzzed(seed: int) -> Rows:
    contexts = unit(seed)
    by_id = {c.context.context: c for c in contexts}
    batches = Fuzzing(SETTINGS).batches(Case("e", contexts), np.random.default_rng(seed))
    for batch in batches if isinstance(batches, list) else ():
        _, shown = asked(batch.question.request.messages)
        marks = [of_marks(marked_places(e, by_id[i.context])) for e, i in zip(shown, batch.items, strict=True)]
        yield from of_request(batch.items, marks)


def drawn_anew(wrong: Callable[[int, np.random.Generator], Sequence[int]]) -> Callable[[int], Rows]:
    """Half of the active contexts keep their marks, half get `wrong` ones, as many."""

    def rows(seed: int) -> Rows:
        rng = np.random.default_rng(seed)
        active = [strongly_active(c.activations) for c in unit(seed) if c.peak > 0][:_ITEMS]
        truth = [bool(t) for t in rng.random(len(active)) < 0.5]
        own = [np.flatnonzero(a).tolist() for a in active]
        marks = [of_marks(p if t else wrong(len(p), rng)) for p, t in zip(own, truth, strict=True)]
        yield from of_request([Item(0, shown, t) for shown, t in enumerate(truth)], marks)

    return rows


def shown_whole(judge: Judge) -> Callable[[int], Rows]:
    """What is not the text of a context: its place, its length, where its window begins, and its neighbours'."""

    def rows(seed: int) -> Rows:
        rng = np.random.default_rng([seed, 1])
        facts = {c.context.context: rng.integers(1, 9, size=2).astype(float) for c in unit(seed)}
        batches = judge.batches(Case("e", unit(seed)), np.random.default_rng(seed))
        for batch in batches if isinstance(batches, list) else ():
            assert len(excerpts(batch.question.request.messages)) == len(batch.items)
            yield from of_request(batch.items, [facts[item.context] for item in batch.items])

    return rows


def won(rows: Callable[[int], Rows]) -> tuple[float, float]:
    """The best AUROC, on units that were not fitted on, of a linear rule, one with products, and nearest neighbours.

    Beside it, how far a guess may be above 0.5: four standard errors.
    """
    train, test = (_table(rows, seeds) for seeds in (range(UNITS), range(UNITS, 2 * UNITS)))
    guesses = (
        _linear(*train, test[0]),
        _linear(_products(train[0]), train[1], _products(test[0])),
        _near(*train, test[0]),
    )
    scores = [classify("auroc", test[1], guess) for guess in guesses]
    true, false = int(test[1].sum()), int((~test[1]).sum())
    return max(score for score in scores if isinstance(score, float)), 4 * np.sqrt(
        (true + false + 1) / (12 * true * false)
    )


def _table(rows: Callable[[int], Rows], seeds: range) -> tuple[Features, Truth]:
    found = [row for seed in seeds for row in rows(seed)]
    features = np.array([row for row, _ in found], dtype=np.float64)
    return (features - features.mean(axis=0)) / (features.std(axis=0) + 1e-9), np.array([t for _, t in found])


def _linear(features: Features, truth: Truth, new: Features) -> Float[np.ndarray, " new"]:
    """Ridge regression."""
    square = features.T @ features + 50 * np.eye(features.shape[1])
    return np.asarray(new @ np.linalg.solve(square, features.T @ (truth - truth.mean())))


def _products(features: Features) -> Features:
    """With the products of random pairs of features."""
    pairs = np.random.default_rng(0).integers(features.shape[1], size=(2, 200))
    return np.concatenate([features, features[:, pairs[0]] * features[:, pairs[1]]], axis=1)


def _near(features: Features, truth: Truth, new: Features, k: int = 50) -> Float[np.ndarray, " new"]:
    distance = (new**2).sum(axis=1)[:, None] - 2 * new @ features.T + (features**2).sum(axis=1)[None]
    return np.asarray(truth[np.argpartition(distance, k, axis=1)[:, :k]].mean(axis=1))


def test_marks_can_not_be_told_by_number_and_place() -> None:
    score, error = won(fuzzed)
    assert error < 0.08, "there are items enough to see a tell"
    assert score < 0.5 + error


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("in the middle", lambda n, rng: range(TOKENS // 2, TOKENS // 2 + n)),
        ("anywhere", lambda n, rng: rng.choice(TOKENS, size=n, replace=False).tolist()),
        ("one too many", lambda n, rng: np.sort((rng.beta(1, 3, size=n + 1) * TOKENS).astype(int)).tolist()),
    ],
)
def test_marks_that_are_drawn_anew_can(name: str, wrong: Callable[[int, np.random.Generator], Sequence[int]]) -> None:
    assert won(drawn_anew(wrong))[0] > 0.6, name


@pytest.mark.parametrize("judge", [Detection(SETTINGS), Intruder(SETTINGS)], ids=lambda judge: str(judge.name))
def test_contexts_can_not_be_told_by_place_length_and_neighbours(judge: Judge) -> None:
    score, error = won(shown_whole(judge))
    assert score < 0.5 + error
