"""The training of `reader`: on tiny data it learns, and comes out alike."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from autointerp.progress import Bar
from autointerp.records import Context, Scale, Simulation, Split
from autointerp.simulate.interface import Task
from autointerp.simulate.reader import SIGNALS, Unrelated, frozen
from tests.simulate.contexts import WORDS, random_context
from tests.small import small_study

if TYPE_CHECKING:
    from readers.fitting import Development, Plan


def _plan() -> Plan:
    from readers.fitting import Plan

    return Plan(hidden=4, steps=60, bank=2, seed=3)


class Noisy:
    """Gives nats at random, a few more where a word is named."""

    name = "noisy"
    scale = Scale.NATS

    def simulate(self, tasks: Sequence[Task], progress: Bar) -> Iterator[tuple[int, Simulation]]:
        for place, task in enumerate(tasks):
            yield place, Simulation(nats(task.explanation, task.contexts), self.scale)


def nats(explanation: str, contexts: Sequence[Context]) -> np.ndarray:
    rng = np.random.default_rng(len(explanation))
    named = np.array([[piece.strip() in explanation for piece in c.pieces] for c in contexts])
    return np.asarray(rng.exponential(2.0, size=named.shape) + 1.0 * named, dtype=np.float32)


def _development(seed: int) -> Development:
    """Units that are active on the words that are named, and on nothing else."""
    from readers.fitting import LIST, Development, Trial

    rng = np.random.default_rng(seed)
    contexts = [random_context(number, 16, rng) for number in range(12)]
    trials = []
    for number in range(6):
        words = rng.choice(WORDS, size=3, replace=False)
        text = f"words such as {', '.join(words)}"
        truth = np.array([[2.0 * (p.strip() in words) for p in c.pieces] for c in contexts], dtype=np.float32)
        if truth.any():
            trials.append(Trial(f"u{number}", "feature", LIST, text, tuple(contexts), truth, nats(text, contexts)))
    bank = ["words such as " + ", ".join(rng.choice(WORDS, size=3)) for _ in range(3)]
    return Development(trials, Unrelated(Noisy(), bank, contexts))


def test_it_learns_to_read_what_is_named() -> None:
    from readers.fitting import fit, tried

    text, other = _development(0), _development(1)
    heard = float(np.mean([np.corrcoef(t.truth.ravel(), t.lift.ravel())[0, 1] for t in other.trials]))
    weights = fit([text], _plan())
    scores = [np.corrcoef(t.truth.ravel(), values.ravel())[0, 1] for t, values in tried(other, weights)]
    assert heard < 0.6
    assert float(np.mean(scores)) > 0.9


def test_the_same_data_give_the_same_weights() -> None:
    from readers.fitting import fit

    first, second = (fit([_development(0)], _plan()).content for _ in range(2))
    assert first == second
    assert first != fit([_development(0)], replace(_plan(), seed=4)).content


def test_what_is_fitted_is_what_the_reader_predicts() -> None:
    """The batched correlation of the fit, against each trial read by itself; all of the bank is used."""
    from readers.fitting import Plan, correlations, fit, laid_out, predicted, tried

    text, plan = _development(2), Plan(hidden=3, steps=1, bank=3)
    weights = fit([text], plan)
    first, second = torch.nn.Linear(len(SIGNALS), 3), torch.nn.Linear(3, 1)
    with torch.no_grad():
        first.weight.copy_(torch.tensor(weights.first.T))
        first.bias.copy_(torch.tensor(weights.bias))
        second.weight.copy_(torch.tensor(weights.second[None]))
        second.bias.fill_(weights.last)
    network = torch.nn.Sequential(first, torch.nn.Tanh(), second, torch.nn.Softplus())
    material = laid_out([text], plan)
    with torch.no_grad():
        fast = correlations(predicted(network, material), material).numpy()
    slow = [np.corrcoef(trial.truth.ravel(), values.ravel())[0, 1] for trial, values in tried(text, weights)]
    np.testing.assert_allclose(fast, np.nan_to_num(slow), atol=2e-3)


def test_a_reported_layer_is_refused() -> None:
    import train_reader

    with pytest.raises(argparse.ArgumentTypeError, match="never trained on it"):
        train_reader.layer_and_seed("5:1")
    assert train_reader.layer_and_seed("8:104") == (8, 104)
    study = train_reader.study_of(8, 104)
    hook = "layers.8.mlp.neurons"
    assert (study.subject.hooks, study.sae[0].hook, study.seed) == ((hook,), hook, 104)


def test_what_is_written_is_what_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import train_reader
    from readers.fitting import fit

    monkeypatch.setattr(train_reader, "developed", lambda study, folder: _development(study.seed))
    monkeypatch.setattr(train_reader, "Plan", _plan)
    file = tmp_path / "weights.json"
    assert train_reader.main(["--text", "8:0", "--work", str(tmp_path), "--out", str(file)]) == 0
    weights = fit([_development(0)], _plan())
    np.testing.assert_array_equal(frozen(file).first, weights.first)
    np.testing.assert_array_equal(frozen(file).second, weights.second)
    assert json.loads(file.read_text("utf8"))["trained_on"]["texts"] == ["layer 8, seed 0"]


@pytest.mark.pipeline
def test_trials_are_gathered_from_a_run_on_held_out_text(tmp_path: Path) -> None:
    from readers.fitting import LIST, PHRASE, fit, tried
    from readers.gathering import developed

    text = developed(small_study(tmp_path, "simulate.method='reader'"), tmp_path / "run", planted_too=False)
    assert {trial.sort for trial in text.trials} <= {LIST, PHRASE}
    assert {trial.arm.removesuffix("-sparse") for trial in text.trials} == {"feature", "neuron", "direction"}
    assert len({trial.unit for trial in text.trials if trial.sort == LIST}) >= 12
    for trial in text.trials:
        assert all(context.split == Split.HELD_OUT for context in trial.contexts)
        assert trial.truth.shape == trial.lift.shape == (len(trial.contexts), 16)
    assert len(text.unrelated.lifts) == 8
    for trial, values in tried(text, fit([text], _plan())):
        assert values.shape == trial.truth.shape
