"""The fit of `reader`: the mean correlation over trials, as high as a small network makes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from autointerp.records import Context
from autointerp.simulate.reader import SIGNALS, ReaderWeights, Signals, Unrelated

LIST, PHRASE, PLANTED = "list", "phrase", "planted"
"""Sorts of explanation: a list of words, what a model wrote, what a planted unit is about."""


@dataclass(frozen=True)
class Trial:
    """One explanation of one unit, on contexts that it was not written from."""

    unit: str
    arm: str
    sort: str
    explanation: str
    contexts: tuple[Context, ...]
    truth: Float[np.ndarray, "context token"]
    lift: Float[np.ndarray, "context token"]
    """Nats, with the reader's prompt."""


@dataclass(frozen=True)
class Development:
    """All trials of one text, and what unrelated explanations give on it."""

    trials: Sequence[Trial]
    unrelated: Unrelated


@dataclass(frozen=True)
class Plan:
    """How to fit."""

    hidden: int = 8
    steps: int = 100
    rate: float = 0.05
    decay: float = 1e-3
    """Penalty on the squares of all weights."""
    seed: int = 0
    bank: int = 6
    """Unrelated explanations whose mean is subtracted while training."""
    sorts: Mapping[str, float] = field(default_factory=lambda: {LIST: 1.0, PHRASE: 0.2, PLANTED: 0.5})
    """What a trial of each sort counts."""
    arms: Mapping[str, float] = field(default_factory=lambda: {"feature": 2.0, "direction": 0.4})
    """What a trial of an arm counts besides; 1 for those that are not here."""


@dataclass(frozen=True)
class Material:
    """All trials, laid end to end."""

    distinct: Float[Tensor, "row signal"]
    """All that is read anywhere, each once."""
    read: Int[Tensor, " token"]
    """Which of them is read of each token."""
    places: Int[Tensor, " token"]
    """Of each token among those of all contexts."""
    trial: Int[Tensor, " token"]
    counts: Float[Tensor, " trial"]
    """Tokens."""
    truth: Float[Tensor, " token"]
    """Of mean 0 and length 1 in each trial."""
    weight: Float[Tensor, " trial"]
    """They sum to 1."""
    unrelated: Int[Tensor, "bank place"]
    """Which of them is read of each token of all contexts in unrelated explanations."""


def fit(texts: Sequence[Development], plan: Plan, say: Callable[[str], object] = print) -> ReaderWeights:
    """Weights that make the weighted mean of the trials' Pearson correlations high; the same for the same input."""
    torch.manual_seed(plan.seed)
    material = laid_out(texts, plan)
    first, second = torch.nn.Linear(len(SIGNALS), plan.hidden), torch.nn.Linear(plan.hidden, 1)
    network = torch.nn.Sequential(first, torch.nn.Tanh(), second, torch.nn.Softplus())
    with torch.no_grad():
        second.bias.fill_(-3.0)  # silent, but for what is found
    optimiser = torch.optim.Adam(network.parameters(), lr=plan.rate)
    for step in range(plan.steps):
        optimiser.zero_grad()
        mean = (correlations(predicted(network, material), material) * material.weight).sum()
        size = torch.stack([weights.square().sum() for weights in network.parameters()]).sum()
        (plan.decay * size - mean).backward()
        optimiser.step()
        if step % 100 == 99:
            say(f"  step {step + 1}: mean correlation {float(mean.detach()):.4f}")
    return ReaderWeights(
        _array(first.weight.T), _array(first.bias), _array(second.weight[0]), float(second.bias.detach())
    )


def predicted(network: torch.nn.Module, material: Material) -> Float[Tensor, " token"]:
    """As `TrainedReader` predicts, on all tokens of all trials."""
    values = network(material.distinct).squeeze(1)
    return torch.relu(values[material.read] - values[material.unrelated].mean(dim=0)[material.places])


def correlations(values: Float[Tensor, " token"], material: Material) -> Float[Tensor, " trial"]:
    """The Pearson correlation of each trial; about 0 where nothing is predicted."""
    zeros = torch.zeros_like(material.counts)
    means = zeros.index_add(0, material.trial, values) / material.counts
    centred = values - means[material.trial]
    squares = zeros.index_add(0, material.trial, centred.square())
    products = zeros.index_add(0, material.trial, centred * material.truth)
    return products / torch.sqrt(squares + 1e-6)


def _array(weights: Tensor) -> np.ndarray:
    return np.array(weights.detach().numpy(), dtype=np.float32)


def laid_out(texts: Sequence[Development], plan: Plan) -> Material:
    """All that the fit reads, each distinct row once: most tokens are alike."""
    signals, read, place, truth, weight = Signals(), [], [], [], []
    unrelated, start = [], 0
    for text in texts:
        shown, width = text.unrelated.contexts, text.unrelated.noise.shape[1]
        lifts = list(text.unrelated.lifts.items())[: plan.bank]
        noise = text.unrelated.noise
        unrelated.append(np.stack([signals.of(e, shown, lift, noise).reshape(-1, len(SIGNALS)) for e, lift in lifts]))
        for trial in text.trials:
            rows = text.unrelated.rows(trial.contexts)
            of_trial = signals.of(trial.explanation, trial.contexts, trial.lift, noise[rows])
            read.append(of_trial.reshape(-1, len(SIGNALS)))
            place.append((start + np.array(rows)[:, None] * width + np.arange(width)).ravel())
            truth.append(_standardised(trial.truth.ravel()))
            weight.append(plan.sorts[trial.sort] * plan.arms.get(trial.arm, 1.0))
        start += len(shown) * width
    counts = [len(values) for values in truth]
    beside = np.concatenate(unrelated, axis=1)
    every = np.concatenate([*read, beside.reshape(-1, len(SIGNALS))])
    distinct, numbers = np.unique(every, axis=0, return_inverse=True)
    numbers = numbers.ravel()
    own = sum(counts)
    return Material(
        torch.from_numpy(distinct),
        torch.from_numpy(numbers[:own]),
        torch.from_numpy(np.concatenate(place)),
        torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts)),
        torch.tensor(counts, dtype=torch.float32),
        torch.from_numpy(np.concatenate(truth)),
        torch.tensor(weight, dtype=torch.float32) / sum(weight),
        torch.from_numpy(numbers[own:].reshape(beside.shape[:2])),
    )


def _standardised(values: Float[np.ndarray, " token"]) -> Float[np.ndarray, " token"]:
    centred = values - values.mean()
    return np.asarray(centred / max(float(np.linalg.norm(centred)), 1e-9), dtype=np.float32)


def tried(text: Development, weights: ReaderWeights) -> Iterator[tuple[Trial, Float[np.ndarray, "context token"]]]:
    """What a reader with these weights predicts on each trial."""
    signals = Signals()
    nothing = text.unrelated.mean(weights, signals)
    assert isinstance(nothing, np.ndarray)
    for trial in text.trials:
        rows = text.unrelated.rows(trial.contexts)
        read = weights.read(signals.of(trial.explanation, trial.contexts, trial.lift, text.unrelated.noise[rows]))
        yield trial, np.maximum(read - nothing[rows], 0)
