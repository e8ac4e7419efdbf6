"""How well the arm of a unit can be guessed from its rating page, without reading it.

    python benchmarks/blindness.py RUN [RUN ...]

Features of the runs against each other arm, all units that can be shown. For every kind of evidence a ridge
classifier guesses each unit from all the others; AUROC of its guesses, 0.5 being blind, with an interval over units
and the 95% range of the same with permuted arms (the null). "form": what the page shows besides words (how much text
stands before and after the marked token, how long explanation and tokens are). "words": how many different tokens are
marked, and how many are letters: what the unit does, which a rater has to see. "activations": shares of the highest
activation, which the page does not show; it did once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from autointerp.artifacts import rng_of
from autointerp.contexts.sharing import read_exemplars
from autointerp.metrics.formulas import auroc
from autointerp.rate.drawing import PageChoice, RatedUnit, draw
from autointerp.records import Kind
from autointerp.study_file import study_of

ALL = 1_000_000
RIDGE, PERMUTED, BOOTSTRAP = 3.0, 200, 2000
LEAST = 5
"""Units of an arm: fewer say nothing."""


def form(unit: RatedUnit) -> list[float]:
    """What can be counted on the page without reading a word."""
    marked = [(w.pieces, w.strongest) for w in unit.windows if w.strongest is not None]
    before = np.array([place for _, place in marked])
    after = np.array([len(pieces) - place for pieces, place in marked])
    columns = np.array([len(pieces[place]) for pieces, place in marked])
    silent = [len(w.pieces) for w in unit.windows if w.strongest is None]
    spread = [float(f(each)) for each in (before, after, columns) for f in (np.mean, np.std, np.min)]
    return [
        *spread,
        float(np.mean(silent)),
        float(len(unit.text)),
        float(np.mean([len(t) for t in unit.promoted] or 0)),
    ]


def words(unit: RatedUnit) -> list[float]:
    """How alike the marked tokens are, and of what kind."""
    tokens = [w.pieces[w.strongest].strip().lower() for w in unit.windows if w.strongest is not None]
    return [float(len(set(tokens))), float(np.mean([token.isalpha() for token in tokens]))]


def activations(peaks: np.ndarray) -> list[float]:
    """Peaks of a unit's random contexts as shares of the highest: eight quantiles of the active ones, and how many."""
    shares = peaks / max(float(peaks.max(initial=0.0)), 1e-12)
    active = shares[shares > 0.05]
    return [*np.quantile(active if active.size else np.zeros(1), np.linspace(0, 1, 8)), float(np.mean(shares > 0.05))]


def guesses(table: np.ndarray, ours: np.ndarray) -> np.ndarray:
    """(unit,) how much each looks like ours, by a ridge on all the others, both sides weighing the same."""
    spread = table.std(0)
    scaled = (table - table.mean(0)) / np.where(spread > 0, spread, 1.0)
    scaled = np.column_stack([np.ones(len(scaled)), scaled])
    penalty = np.diag([1e-9, *[RIDGE] * table.shape[1]])
    weights = np.where(ours, 1 / ours.sum(), 1 / (~ours).sum()) * len(ours) / 2
    found = np.empty(len(ours))
    for unit in range(len(ours)):
        others = np.arange(len(ours)) != unit
        left = scaled[others].T * weights[others]
        found[unit] = scaled[unit] @ np.linalg.solve(left @ scaled[others] + penalty, left @ (2.0 * ours[others] - 1))
    return found


def told(table: np.ndarray, ours: np.ndarray) -> str:
    """AUROC [interval], and the range of the same with permuted arms."""
    rng = rng_of("blindness", len(ours))
    scores = guesses(table, ours)
    sides = np.flatnonzero(ours), np.flatnonzero(~ours)
    again = np.concatenate([rng.choice(side, (BOOTSTRAP, side.size)) for side in sides], axis=1)
    low, high = np.quantile(auroc(np.sort(ours)[::-1].astype(float), scores[again]), [0.025, 0.975])
    chance = [area(guesses(table, mixed), mixed) for mixed in (rng.permutation(ours) for _ in range(PERMUTED))]
    null = np.quantile(chance, [0.025, 0.975])
    return f"{area(scores, ours):.2f} [{low:.2f}, {high:.2f}] ({null[0]:.2f} to {null[1]:.2f})"


def area(scores: np.ndarray, ours: np.ndarray) -> float:
    """Probability that one of ours scores higher than another."""
    return float(auroc(ours.astype(float), scores[None])[0])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--without-logits", action="store_true", help="as on a page without promoted tokens")
    given = parser.parse_args(arguments)
    units: list[RatedUnit] = []
    peaks: list[np.ndarray] = []
    for run in given.runs:
        logits = False if given.without_logits else None
        found = [item.unit for item in draw(study_of(run), run, PageChoice(ALL, 0.0, logits)).items]
        exemplars = read_exemplars(run / "evidence.parquet")
        units += found
        peaks += [
            np.array([e.activations.max(initial=0.0) for e in exemplars[u.unit] if e.kind == Kind.RANDOM])
            for u in found
        ]
    tables = {
        "form": np.array([form(unit) for unit in units]),
        "words": np.array([words(unit) for unit in units]),
        "activations": np.array([activations(each) for each in peaks]),
    }
    arms = np.array([unit.arm for unit in units])
    print("features against | n | " + " | ".join(f"{name} (null)" for name in tables))
    for arm in sorted(set(arms) - {"feature"}):
        chosen = np.isin(arms, ("feature", arm))
        ours = arms[chosen] == "feature"
        if min(ours.sum(), (~ours).sum()) >= LEAST:
            shown = " | ".join(told(table[chosen], ours) for table in tables.values())
            print(f"{arm} | {ours.sum()}, {(~ours).sum()} | {shown}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
