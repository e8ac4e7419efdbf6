from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import Float

from autointerp.progress import Bar
from autointerp.records import Context, Scale, Simulation, Unscored
from autointerp.simulate.embedding import EmbeddingSimulator, word_spans
from autointerp.simulate.interface import Simulator, Task
from tests.llm.doubles import Counter
from tests.simulate.contexts import WORDS, context, predicted, random_context

BANK = ["words such as list, two", "words such as width, one, runs"]


class Drawn:
    """A random unit vector for every text, or a given one; remembers what it read."""

    identity = "drawn"

    def __init__(self, given: Mapping[str, Sequence[float]] | None = None, seed: int = 0) -> None:
        self._given, self._seed = given or {}, seed
        self.read: list[str] = []

    def vectors(self, texts: Sequence[str]) -> Float[np.ndarray, "text dimension"]:
        self.read += texts
        rows = [np.asarray(self._given[t]) if t in self._given else self._draw(t) for t in texts]
        return np.array(rows, dtype=np.float32).reshape(len(texts), 16)

    def _draw(self, text: str) -> Float[np.ndarray, " dimension"]:
        vector = np.random.default_rng([self._seed, *text.encode()]).normal(size=16)
        return np.asarray(vector / np.linalg.norm(vector))


def _one(model: Drawn, explanation: str, *contexts: Context) -> Float[np.ndarray, "context token"]:
    ((_, result),) = EmbeddingSimulator(model, BANK).simulate([Task(explanation, contexts)], Bar())
    assert isinstance(result, Simulation)
    assert result.scale is Scale.COSINE
    return result.predicted


def _slow(model: Drawn, explanation: str, c: Context) -> list[float]:
    """Character by character: each has its word's value, a token the mean over its characters that are in a word."""

    def value(word: str) -> float:
        w, e, *bank = model.vectors([word, explanation, *BANK]).astype(float)
        return max(0.0, float(w @ e) - float(np.mean([w @ b for b in bank])))

    by_character: list[float | None] = [None] * len(c.text)
    for start, end in word_spans(c.text):
        by_character[start:end] = [value(c.text[start:end])] * (end - start)
    row, start = [], 0
    for piece in c.pieces:
        end = start + len(piece)
        known = [v for v in by_character[start : end if piece else start + 1] if v is not None]
        row.append(float(np.mean(known)) if known else 0.0)
        start = end
    return row


@given(st.lists(st.text("ab_é. \n😀", max_size=4), min_size=1, max_size=8))
def test_a_token_has_the_value_of_its_words(pieces: list[str]) -> None:
    model, c = Drawn(), context(0, *pieces)
    predicted = _one(model, "rivers", c)
    assert predicted.shape == (1, len(pieces))
    assert predicted.dtype == np.float32
    np.testing.assert_allclose(predicted[0], _slow(model, "rivers", c), atol=1e-5)


def test_a_fragment_is_its_word_and_a_blank_is_silent() -> None:
    model = Drawn({"rivers": np.eye(16)[0], "wide rivers": np.eye(16)[0]} | {b: np.eye(16)[1] for b in BANK})
    row = _one(model, "wide rivers", context(0, "The", " riv", "ers", ".", "\n", "  ", ""))[0]
    assert row[1:3].tolist() == [1, 1]
    assert row[4:].tolist() == [0, 0, 0]
    np.testing.assert_array_equal(_one(model, "wide rivers", context(1, " ", "\n", "\t")), np.zeros((1, 3)))


def test_what_is_as_near_to_unrelated_explanations_counts_for_nothing() -> None:
    near = np.eye(16)[0]
    model = Drawn({"sea": near, "water": near, **dict.fromkeys(BANK, near)})
    assert _one(model, "water", context(0, " sea"))[0, 0] == 0
    assert _one(Drawn({"sea": near, "water": near, BANK[0]: near, BANK[1]: -near}), "water", context(0, " sea")) == 1


def test_an_oracle_is_found_out_as_one_and_random_vectors_as_none() -> None:
    rng = np.random.default_rng(0)
    contexts = tuple(random_context(i, 64, rng) for i in range(12))
    water = ("river", "sea", "rain")
    truth = np.array([[p.strip() in water for p in c.pieces] for c in contexts], dtype=float)
    meaning = {word: np.eye(16)[0 if word in water else 1] for word in WORDS}
    knowing = Drawn({**meaning, "water": np.eye(16)[0], **dict.fromkeys(BANK, np.eye(16)[2])})
    assert np.corrcoef(truth.ravel(), _one(knowing, "water", *contexts).ravel())[0, 1] >= 0.99
    guessed = [_one(Drawn(seed=n), "water", *contexts).ravel() for n in range(60)]
    scores = [np.corrcoef(truth.ravel(), g)[0, 1] for g in guessed if np.ptp(g) > 0]
    assert abs(np.mean(scores)) < 3 * np.std(scores) / len(scores) ** 0.5


def test_every_distinct_word_and_explanation_is_embedded_once() -> None:
    model = Drawn()
    first, second = context(0, "The", " sea", " sea"), context(1, " rain", " The", " sea")
    tasks = [
        Task("water", (first,)), Task(" \x00 . ", (first,)), Task("water\n", (second, first)), Task("lists", ()),
        Task("lists", (second,)),
    ]  # fmt: skip
    simulator = EmbeddingSimulator(model, BANK)
    assert isinstance(simulator, Simulator)
    results = dict(simulator.simulate(tasks, bar := Counter()))
    assert bar.done == 5
    assert model.read == ["The", "sea", "rain", *BANK, "water", "lists"]
    assert results[1] == Unscored("empty explanation")
    assert results[3] == Unscored("no context to predict")
    np.testing.assert_array_equal(predicted(results[2])[1], predicted(results[0])[0])
    model.read.clear()
    assert list(simulator.simulate([], Bar())) == []
    assert model.read == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (" self.assertEqual(a_b, 10)\n", ["self", ".", "assertEqual", "(", "a", "_", "b", ",", "10", ")"]),
        ("don't", ["don", "'", "t"]),
        ("नमस्ते cafe\u0301 naïve", ["नमस्ते", "cafe\u0301", "naïve"]),
        ("مرحبا، سلام", ["مرحبا", "،", "سلام"]),
        ("天空，蓝", ["天空", "，", "蓝"]),
        ("a\u00a0b\u2028c\x00d", ["a", "b", "c", "d"]),
        ("👩\u200d🚀!", ["👩", "🚀", "!"]),
        (" \n\t", []),
        ("", []),
    ],
)  # fmt: skip
def test_words_of_any_script(text: str, words: list[str]) -> None:
    assert [text[start:end] for start, end in word_spans(text)] == words


@pytest.mark.offline_model
def test_the_offline_sentence_model_knows_animals() -> None:
    from autointerp.models.sentences import load_sentence_model

    pieces = (" The", " dog", " and", " the", " cat", " sat", " by", " a", " window", ",", " hor", "ses", " ran")
    ((_, result),) = EmbeddingSimulator(load_sentence_model("builtin", "cpu"), BANK).simulate(
        [Task("names of animals", (context(0, *pieces),))], Bar()
    )
    assert isinstance(result, Simulation)
    row = dict(zip(pieces, result.predicted[0].tolist(), strict=True))
    assert row[" hor"] == row["ses"]
    assert min(row[" dog"], row[" cat"], row["ses"]) > max(row[" window"], row[" by"], row[","], row[" The"])
