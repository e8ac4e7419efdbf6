"""`reader`: its signals against a plain loop, its null, and its frozen weights."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autointerp.artifacts import hash_value
from autointerp.contexts.naming import is_list, named_words, word_of
from autointerp.errors import CheckFailed
from autointerp.llm.local.model import LocalModel
from autointerp.progress import Bar
from autointerp.prompting import load_prompt
from autointerp.records import Context, Scale, Simulation, Unscored
from autointerp.simulate.interface import Simulator, Task
from autointerp.simulate.lift import Lift
from autointerp.simulate.lift_served import LiftServed
from autointerp.simulate.reader import NO_BANK, SIGNALS, WEIGHTS, ReaderWeights, Signals, TrainedReader, frozen
from tests.llm.doubles import Counter, EchoAsker
from tests.simulate.contexts import context, predicted
from tests.tiny import tiny_loaded

SHOWN = (context(0, "The", " sea", " Rain", " list"), context(1, "sea", " rain", "s", ","))
BANK = ("words such as two, list", "words such as sea")


class Spelling:
    """Gives as many nats as a token shares letters with the explanation, of a text of consonants alone nothing."""

    name = "spelling"
    scale = Scale.NATS

    def simulate(self, tasks: Sequence[Task], progress: Bar) -> Iterator[tuple[int, Simulation | Unscored]]:
        for place, task in reversed(list(enumerate(tasks))):
            progress.advance()
            rows = [_shared(task.explanation, c) for c in task.contexts]
            readable = set(task.explanation) & set("aeiou") and rows
            yield place, Simulation(np.array(rows, dtype=np.float32), self.scale) if readable else Unscored("no vowel")


def _shared(explanation: str, shown: Context) -> list[float]:
    return [float(len(set(piece.strip()) & set(explanation))) for piece in shown.pieces]


def _weights(seed: int = 0, hidden: int = 3) -> ReaderWeights:
    rng = np.random.default_rng(seed)
    first = rng.normal(size=(len(SIGNALS), hidden)).astype(np.float32)
    bias, second = (rng.normal(size=hidden).astype(np.float32) for _ in range(2))
    return ReaderWeights(first, bias, second, 0.25)


def _slow_signals(explanation: str, shown: Context, place: int, nats: float, noise: float) -> list[float]:
    """The signals of one token, one by one."""
    listed = is_list(explanation)
    words = explanation.removeprefix("words such as ").split(", ") if listed else sorted(named_words(explanation))
    word = word_of(shown.pieces[place])
    named = float(bool(word) and word in words)
    before = float(place > 0 and word_of(shown.pieces[place - 1]) in words)
    folded = [w.casefold() for w in words]
    size = nats / 4
    return [
        size, size**2, min(nats / (noise + 0.2) / 8, 2.5), 0.0 if listed else size, named,
        float(word.casefold() in folded), float(word.casefold() in folded),  # each token here is a word of its own
        1 / (words.index(word) + 1) if listed and named else 0.0, named * float(np.log(len(words) + 1)) / 2.5, before,
        named * float(shown.pieces[place].startswith(" ")),
    ]  # fmt: skip


@pytest.mark.parametrize("explanation", ["words such as sea, Rain, ,", "rain and the sea", "something else"])
def test_the_signals_are_those_of_a_plain_loop(explanation: str) -> None:
    shown = (SHOWN[0], context(1, "sea", " rain", " two", ","))
    rng = np.random.default_rng(1)
    lift, noise = (rng.exponential(4, size=(2, 4)).astype(np.float32) for _ in range(2))
    found = Signals().of(explanation, shown, lift, noise)
    assert found.shape == (2, 4, len(SIGNALS))
    for row, one in enumerate(shown):
        for place in range(4):
            slow = _slow_signals(explanation, one, place, float(lift[row, place]), float(noise[row, place]))
            np.testing.assert_allclose(found[row, place], slow, rtol=1e-5, err_msg=one.pieces[place])


def _slow(weights: ReaderWeights, signals: np.ndarray) -> float:
    hidden = [np.tanh(sum(s * weights.first[i, h] for i, s in enumerate(signals)) + weights.bias[h]) for h in range(3)]
    return float(np.log1p(np.exp(sum(v * w for v, w in zip(hidden, weights.second, strict=True)) + weights.last)))


def test_a_prediction_is_what_is_read_less_what_unrelated_explanations_give() -> None:
    weights, task = _weights(), Task("words such as sea, rain", SHOWN)
    reader = TrainedReader(Spelling(), BANK, weights)
    assert isinstance(reader, Simulator)
    ((_, told),) = reader.simulate([task], bar := Counter())
    assert bar.done == 1
    values = predicted(told)
    signals = Signals()
    lifts = {e: np.array([_shared(e, c) for c in SHOWN], dtype=np.float32) for e in (task.explanation, *BANK)}
    noise = np.mean([lifts[e] for e in BANK], axis=0)
    rows = {e: signals.of(e, SHOWN, lifts[e], noise) for e in lifts}
    for row in range(2):
        for place in range(4):
            nothing = np.mean([_slow(weights, rows[e][row, place]) for e in BANK])
            expected = max(0.0, _slow(weights, rows[task.explanation][row, place]) - nothing)
            assert values[row, place] == pytest.approx(expected, abs=1e-5)
    assert values.max() > 0


def test_what_is_unrelated_alone_predicts_nothing() -> None:
    ((_, told),) = TrainedReader(Spelling(), [BANK[0]], _weights()).simulate([Task(BANK[0], SHOWN)], Bar())
    assert not predicted(told).any()


def test_a_task_fails_as_lift_fails_and_other_tasks_don_t() -> None:
    tasks = [Task("xyz", SHOWN), Task("words such as sea", SHOWN), Task("sea", ())]
    results = dict(TrainedReader(Spelling(), ["pst", *BANK], _weights()).simulate(tasks, Bar()))
    assert results[0] == results[2] == Unscored("no vowel")
    without = dict(TrainedReader(Spelling(), BANK, _weights()).simulate(tasks, Bar()))
    assert np.array_equal(predicted(results[1]), predicted(without[1])), "what can't be read of the bank is left out"
    assert dict(TrainedReader(Spelling(), ["pst"], _weights()).simulate(tasks, Bar()))[1] == NO_BANK
    assert dict(TrainedReader(Spelling(), BANK, _weights()).simulate([], Bar())) == {}


def test_the_frozen_weights_are_whole(tmp_path: Path) -> None:
    kept = json.loads(WEIGHTS.read_text("utf8"))
    assert kept["hash"] == hash_value(kept["weights"])
    assert len(kept["trained_on"]["texts"]) >= 3
    assert not any("layer 5," in text or "layer 18," in text for text in kept["trained_on"]["texts"])
    weights = frozen()
    assert weights.first.size + weights.bias.size + weights.second.size + 1 < 4000
    kept["weights"]["last"] += 1e-3
    changed = tmp_path / "changed.json"
    changed.write_text(json.dumps(kept), "utf8")
    with pytest.raises(CheckFailed, match="were changed"):
        frozen(changed)


def test_the_frozen_reader_puts_what_is_named_first() -> None:
    shown = (context(0, " sea", " rain", " xyzzy", " the"),)
    ((_, told),) = TrainedReader(Spelling(), BANK, None).simulate([Task("words such as rain", shown)], Bar())
    values = predicted(told)[0]
    assert values.argmax() == 1
    assert values[1] > 0


def test_over_a_model_in_the_process_and_another_tokenizer() -> None:
    model = LocalModel(tiny_loaded(), 2)
    shown = context(0, "The", " ri", "ver", " fills")

    def told() -> np.ndarray:
        lift = Lift(model, load_prompt("reader/v1"), BANK, 2, False)
        ((_, result),) = TrainedReader(lift, BANK).simulate([Task("words such as ri", (shown,))], Bar())
        return predicted(result)

    assert told().shape == (1, 4)
    assert told().argmax() == 1
    assert np.array_equal(told(), told()), "the same numbers again"


def test_it_reads_through_a_server_as_in_the_process() -> None:
    """On words that are one token each: there `lift` is the same both ways."""
    loaded, prompt = tiny_loaded(), load_prompt("reader/v1")
    model = LocalModel(loaded, 1)
    ids = np.array(loaded.tokenizer(" the list the", add_special_tokens=False)["input_ids"])
    shown = replace(context(0, *(str(loaded.tokenizer.decode([i])) for i in ids)), tokens=ids)
    asker = EchoAsker(lambda request: model.generate([request])[0])
    inside, outside = Lift(model, prompt, BANK, 2, True), LiftServed(asker, prompt, BANK, "m", 0)
    told = [
        predicted(dict(TrainedReader(lift, BANK).simulate([Task("words such as list", (shown,))], Bar()))[0])
        for lift in (inside, outside)
    ]
    np.testing.assert_allclose(told[0], told[1], atol=1e-4)
    assert np.ptp(told[0]) > 0
