from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest
import torch

from autointerp.collect.token_table import TokenTable
from autointerp.errors import BadInput
from autointerp.llm.ledger.ledger import open_ledger
from autointerp.llm.ledger.replaying import ReplayModel
from autointerp.models import load_model
from autointerp.progress import Bar
from autointerp.prompting import load_prompt
from autointerp.records import Context, Scale, Simulation, Split, Unscored
from autointerp.simulate.computed import DigitTokens
from autointerp.simulate.digits import Digits
from autointerp.simulate.interface import Task
from autointerp.simulate.lift import Lift, random_word_lists
from autointerp.simulate.lookup import Lookup
from autointerp.simulate.vocabulary import canonical_tokens, digit_tokens, prompt_line, same_vocabulary
from tests.simulate.contexts import predicted
from tests.tiny import tiny_folder

BANK = ["words such as rain, sea", "words such as list, two, return"]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return load_model(str(tiny_folder(tmp_path_factory.mktemp("tiny"))))


class OneByOne:
    """The slow twin of a local model: each text alone, no cache, no padding."""

    def __init__(self, loaded: Any) -> None:
        self.tokenizer, self._model = loaded.tokenizer, loaded.model
        self.identity = "one by one"
        self.seen: list[str] = []

    def _logits(self, ids: Sequence[int]) -> torch.Tensor:
        with torch.inference_mode():
            logits: torch.Tensor = self._model(torch.tensor([list(ids)]), use_cache=False).logits[0]
        return logits

    def next_token_logprobs(self, texts: Sequence[str]) -> Iterator[torch.Tensor]:
        for text in texts:
            self.seen.append(text)
            ids = self.tokenizer(text)["input_ids"]
            yield torch.log_softmax(self._logits(ids)[-1:], dim=1)

    def logprobs_at(self, prompt: Sequence[int], positions: Sequence[int], tokens: Sequence[int]) -> torch.Tensor:
        return torch.log_softmax(self._logits(prompt)[list(positions)], dim=1)[:, list(tokens)]


def _context(loaded: Any, text: str, number: int = 0) -> Context:
    encoded = loaded.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    pieces, end = [], 0
    for _, stop in encoded["offset_mapping"]:
        pieces.append(text[end:stop])
        end = max(end, stop)
    return Context(number, Split.HELD_OUT, 0, "s", 0, np.array(encoded["input_ids"]), tuple(pieces))


def _lift(model: Any, same: bool = True) -> Lift:
    return Lift(model, load_prompt("lift/v1"), BANK, 2, same)


def test_lift_is_the_gain_in_log_probability_of_the_word(loaded: Any) -> None:
    model = OneByOne(loaded)
    context = _context(loaded, "The rain fills the river.")
    ((_, result),) = _lift(model).simulate([Task("words such as rain", (context,))], Bar())
    assert isinstance(result, Simulation)
    assert result.scale is Scale.NATS
    assert model.seen[-1] == "Here is a list of examples of words such as rain:"
    canonical = canonical_tokens(loaded.tokenizer)

    def word(explanation: str, token: int) -> float:
        ids = loaded.tokenizer(f"Here is a list of examples of {explanation}:")["input_ids"]
        with torch.inference_mode():
            logits = loaded.model(torch.tensor([ids])).logits[0, -1]
        return float(torch.log_softmax(logits, 0)[canonical[token]])

    expected = [max(0.0, word("words such as rain", t) - fmean(word(b, t) for b in BANK)) for t in context.tokens]
    np.testing.assert_allclose(result.predicted[0], expected, atol=1e-4)
    assert max(expected) > 0


def test_lift_through_the_batched_model_equals_one_by_one(loaded: Any) -> None:
    from autointerp.llm.local.model import LocalModel

    whole = (_context(loaded, "def area(width, height)", 1), _context(loaded, "the sea gives rain; the", 2))
    width = min(len(c.tokens) for c in whole)
    contexts = tuple(Context(c.context, c.split, 0, "s", 0, c.tokens[:width], c.pieces[:width]) for c in whole)
    tasks = [Task(e, contexts) for e in ("words such as sea", "return values of a function", "words such as sea", "x")]
    fast = dict(_lift(LocalModel(loaded, 2)).simulate(tasks, Bar()))
    slow = dict(_lift(OneByOne(loaded)).simulate(tasks, Bar()))
    assert sorted(fast) == [0, 1, 2, 3]
    for place in fast:
        np.testing.assert_allclose(predicted(fast[place]), predicted(slow[place]), atol=1e-4)
    np.testing.assert_array_equal(predicted(fast[0]), predicted(fast[2]))


def test_each_explanation_is_asked_once_and_an_empty_one_is_unscored(loaded: Any) -> None:
    model = OneByOne(loaded)
    context = _context(loaded, "two words")
    results = dict(
        _lift(model).simulate([Task("a b", (context,)), Task(" \x00 . ", (context,)), Task("a  b", (context,))], Bar())
    )
    assert results[1] == Unscored("empty explanation")
    assert [t for t in model.seen if "a b" in t] == ["Here is a list of examples of a b:"]


def test_lift_lays_another_tokenizers_words_over_the_subjects_tokens(loaded: Any) -> None:
    """The same text cut differently by the subject: each piece gets the mean over its characters."""
    model = OneByOne(loaded)
    text = "The river runs to the sea"
    own = _context(loaded, text)
    halves = tuple(text[i : i + 5] for i in range(0, len(text), 5))
    foreign = Context(9, Split.HELD_OUT, 0, "s", 0, np.zeros(len(halves), dtype=np.int64), halves)
    ((_, native),) = _lift(model).simulate([Task("words such as sea", (own,))], Bar())
    ((_, carried),) = _lift(model, same=False).simulate([Task("words such as sea", (foreign,))], Bar())
    by_character = np.concatenate([np.full(len(p), v) for p, v in zip(own.pieces, predicted(native)[0], strict=True)])
    expected = [by_character[i : i + 5].mean() for i in range(0, len(text), 5)]
    np.testing.assert_allclose(predicted(carried)[0], expected, atol=1e-4)


def test_digits_reads_the_expected_digit_at_each_hidden_place(loaded: Any) -> None:
    model = OneByOne(loaded)
    simulator = Digits(model, load_prompt("digits/v1"))
    context = _context(loaded, "The sea\tgives")
    ((_, result),) = simulator.simulate([Task("words such as sea", (context,))], Bar())
    assert isinstance(result, Simulation)
    assert result.scale is Scale.ZERO_TO_NINE
    ids, positions = simulator.layout("words such as sea", context)
    assert len(positions) == len(context.tokens)
    variants = digit_tokens(loaded.tokenizer)
    assert isinstance(variants, list)
    for place, position in enumerate(positions):
        assert loaded.tokenizer.decode([ids[position]]) == "\t"
        with torch.inference_mode():
            probs = torch.softmax(loaded.model(torch.tensor([ids[: position + 1]])).logits[0, -1], 0)
        mass = [sum(float(probs[t]) for t in v) for v in variants]
        expected = sum(d * m for d, m in enumerate(mass)) / sum(mass)
        assert result.predicted[0, place] == pytest.approx(expected, abs=1e-3)
    assert "\t" not in "".join(loaded.tokenizer.decode([i]) for i in ids[positions[0] + 1 : positions[1]]).strip()


def test_digits_refuses_a_tokenizer_that_splits_digits(loaded: Any) -> None:
    class Splits:
        def __call__(self, texts: list[str], **_: object) -> dict[str, list[list[int]]]:
            return {"input_ids": [[ord(c) for c in text for _ in "ab"] for text in texts]}

    model = OneByOne(loaded)
    model.tokenizer = Splits()
    with pytest.raises(BadInput, match="a digit is not one token"):
        Digits(model, load_prompt("digits/v1"))


def test_no_probability_on_any_digit_is_unscored_not_zero(loaded: Any) -> None:
    digits = DigitTokens(loaded.tokenizer, "digits")
    row = torch.full((2, len(digits.tokens)), -torch.inf)
    row[0, 0] = 0.0
    assert digits.expected(row) == Unscored("no digit has any probability at some token")


def test_lookup_gives_the_mean_of_a_known_token_and_the_overall_mean_of_a_new_one() -> None:
    table = TokenTable(
        tokens=np.array([7, 3]), means=np.array([[1.0, 2.0], [3.0, 4.0]], dtype=np.float32),
        overall=np.array([0.5, 0.6], dtype=np.float32),
    )  # fmt: skip
    context = Context(0, Split.HELD_OUT, 0, "s", 0, np.array([3, 7, 99, 1]), ("a", "b", "c", "d"))
    result = Lookup(table).predict(1, [context])
    np.testing.assert_allclose(result.predicted, [[4.0, 2.0, 0.6, 0.6]])
    assert result.scale is Scale.OWN


def test_canonical_words_take_a_leading_space(loaded: Any) -> None:
    tokenizer = loaded.tokenizer
    canonical = canonical_tokens(tokenizer)
    for token in range(len(tokenizer)):
        word = tokenizer.decode([token]).strip()
        spaced = tokenizer(f" {word}", add_special_tokens=False)["input_ids"]
        if word and "\ufffd" not in word and len(spaced) == 1:
            assert canonical[token] == spaced[0]
        else:
            assert canonical[token] == token
    assert (canonical != np.arange(len(tokenizer))).any()


def test_the_bank_is_seeded_and_hostile_text_is_one_line(loaded: Any) -> None:
    contexts = [_context(loaded, "One, two, three words of the list\nrepeat")]
    first = random_word_lists(contexts, 6, np.random.default_rng(3))
    assert first == random_word_lists(contexts, 6, np.random.default_rng(3))
    assert [t.count(",") + 1 >= n for t, n in zip(first, (3, 6, 12, 3, 6, 12), strict=True)] == [True] * 6
    assert prompt_line("a\n\nHere: ignore\x07 this. ") == "a Here: ignore this"
    assert same_vocabulary(loaded.tokenizer, loaded.tokenizer)


def _tasks(loaded: Any) -> list[Task]:
    contexts = tuple(_context(loaded, text, n) for n, text in enumerate(("the sea and rain", "two rivers return")))
    return [Task("rain, sea", contexts), Task("numbers", contexts[:1]), Task("rain, sea", contexts[1:])]


def _predicted(simulator: Any, tasks: Sequence[Task]) -> list[bytes]:
    found = dict(simulator.simulate(tasks, Bar()))
    return [found[place].predicted.tobytes() for place in range(len(tasks))]


def test_what_lift_computed_is_in_the_ledger_of_the_tokens_used_alone(loaded: Any, tmp_path: Path) -> None:
    tasks, prompt = _tasks(loaded), load_prompt("lift/v1")
    plain = _predicted(Lift(OneByOne(loaded), prompt, BANK, 2, True), tasks)
    path = tmp_path / "ledger.sqlite"
    with open_ledger(path) as ledger:
        model = OneByOne(loaded)
        assert _predicted(Lift(model, prompt, BANK, 2, True, ledger), tasks) == plain
        replay: Any = ReplayModel(loaded.tokenizer, model.identity)
        assert _predicted(Lift(replay, prompt, BANK, 2, True, ledger), tasks) == plain
        with pytest.raises(BadInput, match="the ledger lacks log-probabilities of model one by one"):
            _predicted(Lift(replay, prompt, BANK[:1], 2, True, ledger), tasks)
    used = {1: len(np.unique(np.concatenate([c.tokens for c in tasks[0].contexts]))),
            2: len(np.unique(tasks[1].contexts[0].tokens))}  # fmt: skip
    with sqlite3.connect(path) as base:
        sizes = sorted(size // 4 for (size,) in base.execute("SELECT length(data) FROM numbers"))
    assert sizes == sorted(used.values())


def test_a_batch_that_the_ledger_holds_in_part_runs_whole(loaded: Any, tmp_path: Path) -> None:
    tasks, prompt = _tasks(loaded), load_prompt("lift/v1")
    with open_ledger(tmp_path / "ledger.sqlite") as ledger:
        _predicted(Lift(OneByOne(loaded), prompt, BANK, 2, True, ledger), tasks)
        with sqlite3.connect(tmp_path / "ledger.sqlite") as base:
            base.execute("DELETE FROM numbers WHERE rowid = 1")
        model = OneByOne(loaded)
        _predicted(Lift(model, prompt, BANK, 2, True, ledger), tasks)
    assert len(model.seen) == 2 + len(BANK)


def test_what_digits_computed_is_in_the_ledger(loaded: Any, tmp_path: Path) -> None:
    tasks, prompt = _tasks(loaded), load_prompt("digits/v1")
    plain = _predicted(Digits(OneByOne(loaded), prompt), tasks)
    with open_ledger(tmp_path / "ledger.sqlite") as ledger:
        assert _predicted(Digits(OneByOne(loaded), prompt, ledger), tasks) == plain
        replay: Any = ReplayModel(loaded.tokenizer, "one by one")
        assert _predicted(Digits(replay, prompt, ledger), tasks) == plain
        with pytest.raises(BadInput, match="the ledger lacks"):
            _predicted(Digits(replay, prompt, ledger), [Task("another", tasks[0].contexts)])
