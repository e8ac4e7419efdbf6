"""Influence of training text, held against retraining: is what ranks first what the model owes its prediction to?

A world is a small subject, trained from scratch on passages of the built-in text, and held-out passages of other
documents, whose second half, given the first, is asked about. In every world each method scores every training
sequence, and:

- copies: asked about the second half of a training sequence itself, is that sequence ranked first?
- removal: trained again without the k sequences that rank first, by how much does the query's loss rise, compared
  with training without k drawn ones?
- subsets: trained again on random halves, does the sum of a half's scores rank the losses (the linear datamodelling
  score of Park et al. 2023)?

Worlds are the sample: intervals are Student's t over them. `random` scores at random. `ceiling`: how one training on a
half ranks the losses of another training on the same halves with another seed.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from common.arguments import benchmark_parser
from common.machine import machine, sentence
from scipy import stats

from autointerp.artifacts import rng_of
from autointerp.corpus.contexts import tokenise
from autointerp.corpus.stage import open_documents
from autointerp.influence.bm25 import bm25
from autointerp.influence.ekfac import DAMPING, fit_curvature, solve
from autointerp.influence.linear_layers import linear_layers, token_losses
from autointerp.influence.tracin import train_again
from autointerp.influence.training_scores import query_gradients, score_all
from autointerp.study_inputs import Corpus, SubjectTraining
from autointerp.subject.making import START, Making, blank_model, learn_tokenizer

RECIPE = SubjectTraining(layers=1, width=32, neurons=64, heads=2, vocabulary=512, passes=12, batch=16, lr=5e-3)
CONTEXT, SEQUENCES, QUERIES, REMOVED = 24, 384, 16, 20
_DOCUMENTS = 600
METHODS = ("ekfac", "dot", "cosine", "tracin", "bm25", "random")


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    removal_worlds: int
    removal_trainings: int
    """Of each removal, with seeds of their own."""
    subset_worlds: int
    subsets: int


WHOLE, QUICK = Scale(24, 2, 8, 32), Scale(2, 1, 2, 6)


class Passages:
    """The text, tokenised once; worlds draw from it."""

    def __init__(self) -> None:
        corpus = Corpus()
        texts = []
        for document in open_documents(corpus, seed=0):
            texts.append(document.text[:4000])
            if len(texts) == _DOCUMENTS:
                break
        tokenizer = learn_tokenizer(texts, RECIPE.vocabulary)
        self.vocabulary = len(tokenizer)
        self._documents = [found.tokens for found in tokenise(tokenizer, texts) if len(found.tokens) >= CONTEXT]

    def draw(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Training sequences and queries, of different documents."""
        rng = rng_of(seed, "world")
        order = rng.permutation(len(self._documents))
        apart = len(order) // 5

        def some(documents: np.ndarray, wanted: int) -> np.ndarray:
            rows = []
            for number in rng.choice(documents, size=wanted):
                tokens = self._documents[number]
                begin = rng.integers(len(tokens) - CONTEXT + 1)
                rows.append(tokens[begin : begin + CONTEXT])
            return np.stack(rows).astype(np.int64)

        return some(order[apart:], SEQUENCES), some(order[:apart], QUERIES)


def losses(model: Any, contexts: np.ndarray) -> np.ndarray:
    """The loss of each context's second half."""
    with torch.no_grad():
        found = token_losses(model, START, torch.as_tensor(contexts), None)
    return found[:, CONTEXT // 2 :].sum(dim=1).double().numpy()


class World:
    """A trained subject and what each method says of it."""

    def __init__(self, passages: Passages, seed: int, damping: float) -> None:
        self._passages, self.seed = passages, seed
        self.train, self.queries = passages.draw(seed)
        asked = np.concatenate([self.queries, self.train[:QUERIES]])
        with TemporaryDirectory() as folder:
            making = self._making(self.train, seed)
            points = train_again(making, RECIPE, Path(folder) / "checkpoints", "world")
            model = making.model.eval().requires_grad_(False)
            layers = linear_layers(model)
            lengths = np.ones(SEQUENCES)
            self.scores: dict[str, np.ndarray] = {}
            tracin: Any = 0.0
            for point in points:
                making.restore(point.path, "world")
                plain = query_gradients(model, layers, [self._cost(model, row) for row in asked])
                found = score_all(model, START, layers, self.train, plain, Path(folder) / str(point.step))
                tracin, lengths = tracin + point.lr * found.scores, found.lengths
            own = np.sqrt(sum(m.flatten(1).square().sum(dim=1).numpy() for m in plain.values()))
            self.scores["dot"], self.scores["tracin"] = found.scores, tracin
            self.scores["cosine"] = found.scores / np.outer(own, lengths)
            curvature = fit_curvature(model, START, layers, self.train, seed)
            solved = solve(curvature, plain, damping)
            self.scores["ekfac"] = score_all(model, START, layers, self.train, solved, Path(folder) / "ekfac").scores
        self.scores["bm25"] = np.stack([bm25(row, self.train) for row in asked])
        self.scores["random"] = rng_of(seed, "random").standard_normal((len(asked), SEQUENCES))

    def _cost(self, model: Any, row: np.ndarray) -> Any:
        return lambda: token_losses(model, START, torch.as_tensor(row[None]), None)[0, CONTEXT // 2 :].sum()

    def _making(self, contexts: np.ndarray, seed: int) -> Making:
        return Making(blank_model(RECIPE, self._passages.vocabulary, CONTEXT, seed), RECIPE, contexts, seed)

    def trained_on(self, kept: np.ndarray, seed: int) -> np.ndarray:
        """The queries' losses after training on these sequences alone."""
        making = self._making(self.train[np.sort(kept)], seed)
        while len(making.losses) < making.steps:
            making.step()
        return losses(making.model.eval(), self.queries)

    def copies(self) -> dict[str, float]:
        """Share of the training sequences that rank first for their own second half."""
        own = np.arange(QUERIES)
        return {name: float(np.mean(rows[QUERIES:].argmax(axis=1) == own)) for name, rows in self.scores.items()}

    def removal(self, trainings: int) -> dict[str, float]:
        """Rise of the first query's loss (nats over its half) without the k first, above that without k drawn ones."""
        everyone = np.arange(SEQUENCES)
        removed = {name: np.argsort(-rows[0], kind="stable")[:REMOVED] for name, rows in self.scores.items()}
        removed["against"] = rng_of(self.seed, "drawn").permutation(SEQUENCES)[:REMOVED]
        rise = {
            name: np.mean([
                self.trained_on(np.setdiff1d(everyone, gone), self.seed + 7_000 + number)[0]
                for number in range(trainings)
            ])
            for name, gone in removed.items()
        }  # fmt: skip
        return {name: float(value - rise["against"]) for name, value in rise.items() if name != "against"}

    def subsets(self, number: int) -> dict[str, float]:
        """Mean over queries of the rank correlation of predicted with actual losses over random halves."""
        rng = rng_of(self.seed, "halves")
        halves = [rng.permutation(SEQUENCES)[: SEQUENCES // 2] for _ in range(number)]
        actual = np.stack([
            [self.trained_on(half, self.seed + 9_000 + again) for half in halves] for again in range(2)
        ])  # fmt: skip
        found = {}
        for name, rows in self.scores.items():
            predicted = np.stack([-rows[:QUERIES, half].sum(axis=1) for half in halves])
            found[name] = _correlation(predicted, actual.mean(axis=0))
        return {**found, "ceiling": _correlation(actual[0], actual[1])}


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.mean([stats.spearmanr(x, y).statistic for x, y in zip(a.T, b.T, strict=True)]))


def _row(name: str, values: list[float]) -> dict[str, Any]:
    array = np.array(values)
    half = float(stats.t.ppf(0.975, len(array) - 1) * array.std(ddof=1) / np.sqrt(len(array)))
    mean = float(array.mean())
    return {"method": name, "mean": mean, "low": mean - half, "high": mean + half, "worlds": len(array)}


def measure(scale: Scale, first_seed: int, damping: float) -> dict[str, list[dict[str, Any]]]:
    """All three, by method."""
    passages = Passages()
    kept: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in ("copies", "removal", "subsets")}

    def note(measurement: str, found: dict[str, float]) -> None:
        for name, value in found.items():
            kept[measurement][name].append(value)

    for number in range(max(scale.removal_worlds, scale.subset_worlds)):
        world = World(passages, first_seed + number, damping)
        note("copies", world.copies())
        if number < scale.removal_worlds:
            note("removal", world.removal(scale.removal_trainings))
        if number < scale.subset_worlds:
            note("subsets", world.subsets(scale.subsets))
    return {what: [_row(name, values) for name, values in found.items()] for what, found in kept.items()}


def main() -> None:
    """Measure and print."""
    parser = benchmark_parser(__doc__, quick="two worlds, six halves")
    parser.add_argument("--seed", type=int, default=0, help="of the first world (default %(default)s)")
    parser.add_argument("--damping", type=float, default=DAMPING, help="of EK-FAC (default %(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    began = time.monotonic()
    scale = QUICK if options.quick else WHOLE
    found = measure(scale, options.seed, options.damping)
    computer = machine("torch", "transformers")
    seconds = time.monotonic() - began
    print(f"{sentence(computer)}, one thread; {seconds:.0f} s; damping {options.damping:g}")
    for what, rows in found.items():
        print(f"\n{what}")
        for row in sorted(rows, key=lambda each: -each["mean"]):
            interval = f"[{row['low']:.3f}, {row['high']:.3f}]"
            print(f"  {row['method']:<8} {row['mean']:.3f} {interval} ({row['worlds']} worlds)")
    if options.json:
        settings = {"scale": vars(scale), "seed": options.seed, "damping": options.damping, "seconds": seconds}
        Path(options.json).write_text(json.dumps({"machine": computer, **settings, **found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
