from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from jaxtyping import Float

from autointerp.judge.embedding import EmbeddingJudge
from autointerp.judge.interface import Case, ComputedJudge, Judgement, Tools
from autointerp.metrics.classification import classify
from autointerp.models.sentences import load_sentence_model
from autointerp.records import Unscored
from autointerp.simulate.interface import Vectors
from tests.judge.doubles import SETTINGS, held_out, mixed


class Letters:
    """A text's vector: how often it holds each letter."""

    identity = "letters"

    def vectors(self, texts: Sequence[str]) -> Float[np.ndarray, "text dimension"]:
        rows = np.array([[text.count(chr(97 + n)) for n in range(26)] for text in texts], dtype=np.float32)
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def judged(model: Vectors, case: Case) -> list[Judgement]:
    found = EmbeddingJudge(replace(SETTINGS, tools=Tools(sentences=model))).judge(case, np.random.default_rng(0))
    assert isinstance(found, list)
    return found


def auroc(judgements: Sequence[Judgement]) -> float | Unscored:
    values = [j.probability for j in judgements]
    assert all(isinstance(v, float) and 0 <= v <= 1 for v in values)
    return classify("auroc", np.array([j.item.truth for j in judgements]), np.array(values, dtype=np.float64))


def test_it_is_a_judge_without_a_prompt_that_is_not_calibrated() -> None:
    judge = EmbeddingJudge(SETTINGS)
    assert isinstance(judge, ComputedJudge)
    assert judge.prompt == ""
    assert EmbeddingJudge.traits.metrics == ("auroc",)
    assert EmbeddingJudge.traits.needs.sentences


def test_it_is_the_cosine_brought_to_between_0_and_1() -> None:
    contexts = tuple(held_out(n, float(n % 2), True, "abba" if n % 2 else "xyz") for n in range(8))
    found = judged(Letters(), Case("ab", contexts))
    by_id = {c.context.context: c for c in contexts}
    for judgement in found:
        text = by_id[judgement.item.context].context.text
        a, b = ([t.count(letter) for letter in "abcdefghijklmnopqrstuvwxyz"] for t in ("ab", text))
        cosine = np.dot(a, b) / np.sqrt(np.dot(a, a) * np.dot(b, b))
        assert judgement.probability == pytest.approx((1 + cosine) / 2, abs=1e-6)
        assert judgement.item.truth == (by_id[judgement.item.context].peak > 0)
    assert [j.item.shown for j in found] == list(range(8))
    assert auroc(found) == 1.0


class Warmth:
    """A text's vector points to the right when it is hot, to the left when it is cold, and up otherwise."""

    identity = "warmth"

    def vectors(self, texts: Sequence[str]) -> Float[np.ndarray, "text dimension"]:
        rows = [[float("hot" in t) - float("cold" in t), float("hot" not in t and "cold" not in t)] for t in texts]
        return np.array(rows, dtype=np.float32)


def test_what_says_the_opposite_is_farther_than_what_says_something_else() -> None:
    texts = ("hot", "hot", "cold", "cold", "dull", "dull")
    contexts = tuple(held_out(n, float(n % 2), True, text) for n, text in enumerate(texts))
    judge = EmbeddingJudge(replace(SETTINGS, examples=6, tools=Tools(sentences=Warmth())))
    found = judge.judge(Case("hot days", contexts), np.random.default_rng(0))
    assert isinstance(found, list)
    told = {j.item.context: j.probability for j in found}
    assert told == {0: 1.0, 1: 1.0, 2: 0.0, 3: 0.0, 4: 0.5, 5: 0.5}
    other = judge.judge(Case("cold days", contexts), np.random.default_rng(0))
    assert isinstance(other, list)
    assert {j.item.context: j.probability for j in other} == {0: 0.0, 1: 0.0, 2: 1.0, 3: 1.0, 4: 0.5, 5: 0.5}


def test_what_can_not_be_judged_has_a_reason() -> None:
    judge = EmbeddingJudge(replace(SETTINGS, tools=Tools(sentences=Letters())))
    rng = np.random.default_rng(0)
    assert judge.judge(Case(" .\n", mixed(8, 8)), rng) == Unscored("empty explanation")
    assert judge.judge(Case("e", mixed(8, 1)), rng) == Unscored("too few inactive held-out contexts")


@pytest.mark.offline_model
def test_the_sentence_model_tells_weather_from_code() -> None:
    active = ("heavy rain all night", "a storm felled the trees", "it was cloudy and cold", "snow fell on the hills")
    silent = ("return sorted(names)", "the committee voted", "she plays the violin", "import numpy as np")
    contexts = tuple(held_out(n, float(n < 4), True, text) for n, text in enumerate((*active, *silent)))
    model = load_sentence_model("builtin")
    assert auroc(judged(model, Case("words for weather, such as rain or storm", contexts))) == 1.0
    assert auroc(judged(model, Case("source code of computer programs", contexts))) != 1.0
