from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from autointerp.llm.local.model import LocalModel
from autointerp.progress import Bar
from autointerp.prompting import load_prompt
from autointerp.records import Scale, Simulation, Unscored
from autointerp.simulate.interface import Simulator, Task
from autointerp.simulate.lift import Lift, LiftNext
from tests.llm.doubles import Counter
from tests.simulate.contexts import context
from tests.tiny import tiny_loaded

WORDS = context(0, "The", " sea", " rain", " list")


class Naming:
    """Predicts 1 at the words that an explanation names, and fails on an explanation that names none."""

    name = "naming"
    scale = Scale.NATS

    def simulate(self, tasks: Sequence[Task], progress: Bar) -> Iterator[tuple[int, Simulation | Unscored]]:
        for place, task in reversed(list(enumerate(tasks))):
            progress.advance()
            named = set(task.explanation.split())
            rows = [[float(piece.strip() in named) for piece in c.pieces] for c in task.contexts]
            yield place, Simulation(np.array(rows, dtype=np.float32), self.scale) if named else Unscored("no words")


def test_a_token_is_predicted_from_the_one_after_it() -> None:
    simulator = LiftNext(Naming())
    assert isinstance(simulator, Simulator)
    assert (simulator.name, simulator.scale) == ("lift-next", Scale.NATS)
    tasks = [Task("sea list", (WORDS, context(1, " list", " sea", " sea", " x"))), Task("", (WORDS,))]
    results = dict(simulator.simulate(tasks, bar := Counter()))
    assert bar.done == 2
    assert results[1] == Unscored("no words")
    told = results[0]
    assert isinstance(told, Simulation)
    assert told.scale is Scale.NATS
    third = 2 / 3
    np.testing.assert_allclose(told.predicted, [[1, 0, 1, third], [1, 1, 0, third]], atol=1e-6)


def test_a_unit_of_the_token_before_a_word_is_seen_by_this_and_not_by_lift() -> None:
    """Truth: active on the token before `sea`."""
    rng = np.random.default_rng(0)
    contexts = [context(i, *(f" {w}" for w in rng.choice(["sea", "rain", "list", "two"], 64))) for i in range(20)]
    truth = np.array([[*(following == " sea" for following in c.pieces[1:]), False] for c in contexts], dtype=float)
    correlations = []
    for simulator in (LiftNext(Naming()), Naming()):
        ((_, told),) = simulator.simulate([Task("sea", tuple(contexts))], Bar())
        assert isinstance(told, Simulation)
        correlations.append(np.corrcoef(truth.ravel(), told.predicted.ravel())[0, 1])
    assert correlations[0] > 0.95
    assert abs(correlations[1]) < 0.1


def test_a_context_of_one_token_has_no_prediction() -> None:
    ((_, told),) = LiftNext(Naming()).simulate([Task("sea", (context(0, " sea"),))], Bar())
    assert told == Unscored("a context of one token has no next token")


def test_over_a_model_in_the_process() -> None:
    model = LocalModel(tiny_loaded(), 2)
    ids = model.tokenizer("The rain fills the river", add_special_tokens=False)["input_ids"]
    one = context(0, *(str(model.tokenizer.decode([i])) for i in ids))
    one = replace(one, tokens=np.array(ids))

    def lift() -> Lift:
        return Lift(model, load_prompt("lift/v1"), ["words such as sea", "words such as two"], 2, True)

    ((_, current),) = lift().simulate([Task("words such as rain", (one,))], Bar())
    ((_, moved),) = LiftNext(lift()).simulate([Task("words such as rain", (one,))], Bar())
    assert isinstance(current, Simulation)
    assert isinstance(moved, Simulation)
    np.testing.assert_array_equal(moved.predicted[:, :-1], current.predicted[:, 1:])
    assert moved.predicted[0, -1] == np.float32(current.predicted[0, 1:].mean())
    assert current.predicted[0, 1:].max() > 0
