"""A synthetic run folder with planted effects: consistent tables, as the stages before `score` would write them.

Every unit stands for a set of word types. Its truth fires on them; its prediction knows a share of them, the arm's
`quality`. So an arm of quality 1 scores high, one of quality 0 scores what chance gives, and another unit's
prediction is about other words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from autointerp.artifacts import rng_of, write_text
from autointerp.compare.stage import compare
from autointerp.contexts.pairing import derangements
from autointerp.contexts.slices import slices_of
from autointerp.metrics.metrics import score_rows
from autointerp.records import Kind, Scale, Split, Status, Unscored
from autointerp.score.stage import score
from autointerp.study import Study
from autointerp.study_file import dump_study, parse_study
from autointerp.tables import read_table, to_table, write_table

HOSTILE = ("$x_1$", "\n", "漢字", "<b>", "|", "`", "](http://e.vil)", "\x1b[31m", "é", "\u202e", "**", "-->", "\t", "")
WORDS = re.findall(
    r"\w+",
    """the of and river city war king music number code return class import data file error value team league born
    French song church water school album game party year north museum function table index string list array test
    license software copy permission module python numpy axis shape dtype float int bool none true false self raise""",
)
QUALITY: Mapping[str, float] = {
    "feature": 0.9, "neuron": 0.5, "neuron-sparse": 0.45, "direction": 0.15, "direction-sparse": 0.1,
}  # fmt: skip


@dataclass
class Plan:
    """What to plant."""

    quality: Mapping[str, float] = field(default_factory=lambda: dict(QUALITY))
    units: int = 12
    tokens: int = 24
    contexts: int = 80
    evidence_top: int = 4
    """Top evidence contexts of a unit."""
    evidence_random: int = 0
    """Random evidence contexts of a unit."""
    excluded: Mapping[str, int] = field(default_factory=lambda: {"neuron": 2})
    unexplained: Sequence[str] = ()
    """Units without an explanation."""
    constant: Sequence[str] = ()
    """Units whose prediction is the same on every token."""
    silent: Sequence[str] = ()
    """Units that are 0 on every held-out random context."""
    unsimulated: Sequence[str] = ()
    """Units whose simulation failed on one context."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Further sections of the study."""
    seed: int = 0


def study_of(plan: Plan) -> Study:
    names = [arm.partition(":")[2] for arm in plan.quality if arm.startswith("feature:")]
    several = [{"name": n, "train": {"width": 64}} for n in names] or [{"name": "sae", "train": {"width": 64}}]
    sections = {
        "seed": plan.seed,
        "sae": several,
        "evidence": {"held_out_top": 3, "held_out_random": 3, "random_only": 8},
        "compare": {"resamples": 1000},
        "simulate": {"method": "lift", "literal": False, "both_kinds": False},
        "score": {"slices": ["top-and-random", "random-only"]},
        **plan.settings,
    }
    return parse_study(sections)


class FakeRun:
    """Writes the tables that `score` reads."""

    def __init__(self, folder: Path, plan: Plan | None = None) -> None:
        self.folder, self.plan = folder, plan or Plan()
        self.study = study_of(self.plan)
        self._rng = rng_of("fake run", self.plan.seed)
        self._vocabulary = [f" {w}" for w in WORDS] + list(HOSTILE)
        self._types = self._rng.integers(0, len(self._vocabulary), size=(self.plan.contexts, self.plan.tokens))
        self._known: dict[str, np.ndarray] = {}
        self._truths: dict[str, np.ndarray] = {}

    def write(self) -> Study:
        folder = self.folder
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / "study.toml", dump_study(self.study))
        write_table("contexts", folder / "contexts.parquet", self._contexts())
        units, evidence, explanations, simulations = [], [], [], []
        for arm, quality in self.plan.quality.items():
            for index in range(self.plan.units):
                unit = self._name(arm, index)
                self._plant(unit, quality)
                rows = self._evidence(unit)
                units.append(self._unit(unit, arm, index))
                evidence += rows
                explanations.append(self._explanation(unit, arm))
                simulations += self._simulations(unit, rows)
            for index in range(self.plan.excluded.get(arm, 0)):
                units.append(self._unit(self._name(arm, 900 + index), arm, 900 + index, excluded=True))
        write_table("units", folder / "units.parquet", units)
        write_table("evidence", folder / "evidence.parquet", evidence)
        write_table("explanations", folder / "explanations.parquet", explanations)
        write_table("simulations", folder / "simulations.parquet", simulations)
        write_table("shuffled", folder / "shuffled.parquet", self._shuffled(evidence))
        write_table("usage", folder / "usage.parquet", self._usage())
        return self.study

    def _contexts(self) -> list[dict[str, Any]]:
        half = self.plan.contexts // 2
        return [
            {
                "context": i, "split": (Split.EVIDENCE if i < half else Split.HELD_OUT).value, "document": i,
                "source": f"source{i}.txt", "start": 0, "tokens": types.tolist(),
                "pieces": [self._vocabulary[t] for t in types],
            }
            for i, types in enumerate(self._types)
        ]  # fmt: skip

    def _name(self, arm: str, index: int) -> str:
        sign = "-" if index % 3 == 0 else "+"
        return f"{arm}/{index}{sign}" if arm.startswith("neuron") else f"{arm}/{index}"

    def _plant(self, unit: str, quality: float) -> None:
        words = self._rng.choice(len(self._vocabulary), size=6, replace=False)
        strength = np.zeros(len(self._vocabulary))
        strength[words] = self._rng.uniform(1, 5, size=6)
        noise = np.maximum(self._rng.normal(-1.0, 0.8, size=self._types.shape), 0)
        truth = strength[self._types] * self._rng.uniform(0.3, 1, size=self._types.shape) + noise
        if unit in self.plan.silent:
            truth[:] = 0
        knows = self._rng.random(len(self._vocabulary)) < quality
        known = np.where(knows, strength, 0) + self._rng.uniform(0, 1.5 * (1 - quality) + 0.2, size=len(strength))
        self._truths[unit], self._known[unit] = truth.astype(np.float32), known

    def _predict(self, unit: str, contexts: np.ndarray) -> np.ndarray:
        if unit in self.plan.constant:
            return np.zeros((len(contexts), self.plan.tokens))
        predicted: np.ndarray = self._known[unit][self._types[contexts]]
        return predicted

    def _evidence(self, unit: str) -> list[dict[str, Any]]:
        half, truth = self.plan.contexts // 2, self._truths[unit]
        held_out = np.arange(half, self.plan.contexts)
        best = held_out[np.argsort(-truth[held_out].max(axis=1), kind="stable")]
        drawn = self._rng.choice(held_out, size=self.study.evidence.random_only, replace=False)
        shown = np.argsort(-truth[:half].max(axis=1), kind="stable")[: self.plan.evidence_top]
        sizes = self.study.evidence
        kinds: list[tuple[str, float, np.ndarray]] = [
            (Kind.TOP, 1.0, shown), (Kind.RANDOM, 1.0, np.arange(self.plan.evidence_random)),
            (Kind.TOP, 1.0, best[: sizes.held_out_top]),
            (Kind.RANDOM, len(held_out) / len(drawn), drawn),
        ]  # fmt: skip
        if sizes.held_out_per_quantile:
            others = best[sizes.held_out_top :][::-1]
            for band, members in enumerate(np.array_split(others, sizes.quantiles)):
                chosen = members[: sizes.held_out_per_quantile]
                kinds.append((f"{Kind.QUANTILE}-{band}", len(members) / len(chosen), chosen))
        return [
            {"unit": unit, "replicate": 0, "context": int(c), "kind": str(kind), "weight": weight,
             "activations": truth[c].tolist()}
            for kind, weight, contexts in kinds for c in contexts
        ]  # fmt: skip

    def _unit(self, unit: str, arm: str, index: int, excluded: bool = False) -> dict[str, Any]:
        alive = None if excluded else self._truths[unit]
        return {
            "unit": unit, "replicate": 0, "arm": arm, "hook": "layers.5.mlp.neurons",
            "sae": "sae" if "feature" in arm else "", "index": index,
            "sign": -1 if unit.endswith("-") else 1, "threshold": 0.0,
            "density": 0.0 if alive is None else float((alive > 0).mean()),
            "max_activation": 0.0 if alive is None else float(alive.max()),
            "single_token": None if alive is None else float(index % 4 == 0),
            "status": (Status.EXCLUDED if excluded else Status.OK).value, "reason": "dead" if excluded else "",
        }  # fmt: skip

    def _explanation(self, unit: str, arm: str) -> dict[str, Any]:
        best = np.argsort(-self._known[unit], kind="stable")[:3]
        text = "words such as " + ", ".join(self._vocabulary[b].strip() for b in best)
        failed = unit in self.plan.unexplained
        return {
            "unit": unit, "arm": arm, "explainer": "exemplars", "replicate": 0, "text": "" if failed else text,
            "candidates": 12, "evidence_score": None if failed else 0.5, "prompt": "", "request": "",
            "status": (Status.UNSCORED if failed else Status.OK).value,
            "reason": "no word among its top tokens" if failed else "",
        }  # fmt: skip

    def _simulations(self, unit: str, evidence: list[dict[str, Any]]) -> list[dict[str, Any]]:
        contexts = sorted({r["context"] for r in evidence if r["context"] >= self.plan.contexts // 2})
        rows = []
        for simulator in ("lift", "lookup"):
            if simulator == "lift" and unit in self.plan.unexplained:
                continue
            if simulator == "lift":
                predicted = self._predict(unit, np.array(contexts))
            else:
                predicted = self._truths[unit][contexts] + 0.2
            for place, (context, values) in enumerate(zip(contexts, predicted, strict=True)):
                failed = unit in self.plan.unsimulated and simulator == "lift" and place == 0
                rows.append({
                    "unit": unit, "simulator": simulator, "replicate": 0, "context": context,
                    "predicted": None if failed else values.tolist(), "scale": Scale.NATS.value,
                    "status": (Status.UNSCORED if failed else Status.OK).value,
                    "reason": "the request timed out" if failed else "",
                })  # fmt: skip
        return rows

    def _shuffled(self, evidence: list[dict[str, Any]]) -> list[dict[str, Any]]:
        frame = to_table("evidence", [r for r in evidence if r["context"] >= self.plan.contexts // 2]).to_pandas()
        by_unit = dict(tuple(frame.groupby("unit", sort=False)))
        rows: list[dict[str, Any]] = []
        for arm in self.plan.quality:
            names = [self._name(arm, i) for i in range(self.plan.units)]
            pool = [n for n in names if n not in self.plan.unexplained]
            if len(pool) < 2:
                continue
            drawn = derangements(len(pool), 16, rng_of(self.plan.seed, "derangements", arm))
            for place, unit in enumerate(pool):
                for slice_name, held in slices_of(by_unit[unit], self.study.evidence).items():
                    others = [pool[d] for d in drawn[:, place]]
                    predicted = np.stack([self._predict(o, held.contexts).ravel() for o in others])
                    for metric in self.study.score.metrics:
                        values = score_rows(metric, held.truth.ravel(), predicted, held.token_weights)
                        rows += [
                            self._pairing(unit, other, d, metric, slice_name, value)
                            for d, (other, value) in enumerate(zip(others, values, strict=True))
                        ]
        return rows

    def _pairing(
        self, unit: str, other: str, derangement: int, metric: str, slice_name: str, value: float | Unscored
    ) -> dict[str, Any]:
        failed = isinstance(value, Unscored)
        return {
            "unit": unit, "explanation_of": other, "simulator": "lift", "replicate": 0, "derangement": derangement,
            "metric": metric, "slice": slice_name, "value": None if isinstance(value, Unscored) else value,
            "status": (Status.UNSCORED if failed else Status.OK).value,
            "reason": value.reason if isinstance(value, Unscored) else "",
        }  # fmt: skip

    def _usage(self) -> list[dict[str, Any]]:
        counts = {"requests": 120, "cached": 20, "attempts": 103, "uncertain": 1}
        spent = {"input_tokens": 36_000, "cached_input_tokens": 9_000, "output_tokens": 1_500, "cost_usd": None}
        saved = {"saved_input_tokens": 6_000, "saved_output_tokens": 300, "saved_usd": None}
        return [{"stage": "explain", "model": "builtin", **counts, **spent, **saved}]


def scores_by(folder: Path, **equal: str) -> dict[str, float]:
    """Scored values by unit, of the rows where every named column equals its value."""
    frame = read_table(folder / "scores.parquet")
    for column, value in equal.items():
        frame = frame[frame[column] == value]
    return dict(zip(frame["unit"], frame["value"], strict=True))


def finished(folder: Path, plan: Plan | None = None) -> Path:
    """A run folder that has been scored and compared."""
    study = FakeRun(folder, plan).write()
    score(study, folder)
    compare(study, folder)
    return folder
