"""Scores of what a reader typed, by the run's metrics on the run's slices, and what stands beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from autointerp.compare.outcome import headline_of, values_answered
from autointerp.contexts.naming import Named
from autointerp.contexts.pairing import Pair, Sampled
from autointerp.contexts.slices import CALIBRATION, JUDGED, TOP_AND_RANDOM, Held, held_of
from autointerp.judge.interface import NO_CONTEXT, Judgement
from autointerp.judge.registry import traits_of
from autointerp.metrics.calibration import NO_CONTEXTS, Predict, score_on
from autointerp.metrics.classification import JUDGED_SCORES, classify
from autointerp.metrics.metrics import chance_of
from autointerp.records import Context, Pairing, Simulation, Status, Unscored
from autointerp.simulate.literal import LITERAL
from autointerp.study import Study
from autointerp.tables import read_arrow, read_table

Scored = dict[str, Any]
"""One cell, fit for JSON."""


class Cells:
    """Scores simulations as the score stage does: the same slices, lines and metrics."""

    def __init__(self, study: Study, contexts: Mapping[int, Context]) -> None:
        """`contexts`: those of all units, by id."""
        self._study, self._contexts, self._named = study, contexts, Named()

    def scored(self, pair: Pair, result: Simulation | Unscored, literal: Simulation | Unscored) -> Iterator[Scored]:
        """A cell per slice and metric: the value of the simulation, and of the same words read literally."""
        calibration = pair.unit.slices.get(CALIBRATION)
        predict, read = _predict(pair, result), _predict(pair, literal)
        for slice_name in self._study.score.slices:
            held = held_of(pair.unit.slices, slice_name, pair.texts, self._contexts, self._named)
            for metric in self._study.score.metrics:
                value, literally = (score_on(metric, held, calibration, each) for each in (predict, read))
                nothing = held is None or not len(held)
                yield {
                    "metric": metric,
                    "slice": slice_name,
                    **_told("value", NO_CONTEXTS if nothing else value),
                    **_told("literal", NO_CONTEXTS if nothing else literally),
                    "chance": 0.0 if held is None else chance_of(metric, held.pooled(held.truth), held.token_weights),
                    "n_contexts": 0 if held is None else len(held),
                }


def _told(name: str, value: float | Unscored) -> Scored:
    failed = isinstance(value, Unscored)
    return {name: None if failed else value, f"{name}_reason": value.reason if isinstance(value, Unscored) else None}


def _predict(pair: Pair, result: Simulation | Unscored) -> Predict:
    """Predictions on some of the unit's contexts, in the precision in which a run keeps them."""
    places = {context: place for place, context in enumerate(pair.unit.contexts)}

    def predict(held: Held) -> Any:
        if isinstance(result, Unscored):
            return result
        return result.predicted[[places[int(c)] for c in held.contexts]].astype(np.float32)

    return predict


class RunScores:
    """What the run's own tables say of its units. Only read, never written."""

    def __init__(self, study: Study, run: Path) -> None:
        """BadInput when the run has no scores."""
        self._study, self._run = study, run
        frame = read_table(run / "scores.parquet")
        self._frame = frame
        columns = ["unit", "scorer", "pairing", "metric", "slice", "value", "reason"]
        self._found: dict[tuple[str, ...], tuple[float | None, str]] = {
            (unit, scorer, pairing, metric, where): (None if value is None or np.isnan(value) else float(value), reason)
            for unit, scorer, pairing, metric, where, value, reason in frame[columns].itertuples(index=False)
        }

    @property
    def headline(self) -> Scored:
        """The cell of the run's question."""
        cell = headline_of(self._study)
        return {"scorer": cell.scorer, "metric": cell.metric, "slice": cell.slice}

    def by(self, pairing: Pairing, unit: str, scorer: str, metric: str, where: str) -> float | None:
        """The run's score of the unit in a cell, with its own explanation or others'; None where it has none."""
        return self._found.get((unit, scorer, pairing, metric, where), (None, ""))[0]

    def beside(self, unit: str, metric: str, where: str, scorer: str | None = None) -> Scored:
        """The run's own score of the unit in a cell, and what says how much that is: other units' explanations, and
        the own one's words read literally."""
        scorer = scorer or self._study.simulate.method
        wanted = {
            "run": (scorer, Pairing.OWN),
            "shuffled": (scorer, Pairing.SHUFFLED),
            "run_literal": (LITERAL, Pairing.OWN),
        }
        told: Scored = {}
        for name, (by, pairing) in wanted.items():
            value, reason = self._found.get((unit, by, pairing, metric, where), (None, "not in the run"))
            told |= {name: value, f"{name}_reason": reason or None}
        return told

    def of_arm(self, arm: str) -> Scored:
        """The arm's mean in the headline's cell, with own and with others' explanations, and of how many units."""
        cell, frame = headline_of(self._study), self._frame
        rows = frame[(frame["arm"] == arm) & (frame["scorer"] == cell.scorer) & (frame["metric"] == cell.metric)]
        rows = rows[rows["slice"] == cell.slice]
        told: Scored = {"arm": arm}
        for name, pairing in (("own", Pairing.OWN), ("shuffled", Pairing.SHUFFLED)):
            values = values_answered(rows[rows["pairing"] == pairing]).dropna()
            told |= {name: float(values.mean()) if len(values) else None, f"n_{name}": len(values)}
        return told

    def predictions(self, unit: str) -> Mapping[int, list[float]]:
        """What the run's simulator predicted from the unit's own explanation, by context."""
        method = self._study.simulate.method
        wanted = [("unit", "==", unit), ("simulator", "==", method), ("status", "==", str(Status.OK))]
        rows = read_arrow(self._run / "simulations.parquet", ["context", "predicted"], filters=wanted).to_pylist()
        return {row["context"]: row["predicted"] for row in rows}


def shown_contexts(
    unit: Sampled, contexts: Mapping[int, Context], result: Simulation | Unscored, own: Mapping[int, list[float]]
) -> list[Scored]:
    """The contexts of the headline's kind, top ones first: tokens, truth, what was predicted now and by the run."""
    held = unit.slices.get(TOP_AND_RANDOM)
    if held is None:
        return []
    places = {context: place for place, context in enumerate(unit.contexts)}
    shown = []
    for number, truth in zip(held.contexts.tolist(), held.truth, strict=True):
        predicted = None if isinstance(result, Unscored) else result.predicted[places[number]].tolist()
        shown.append(
            {
                "context": number, "pieces": list(contexts[number].pieces), "truth": truth.tolist(),
                "predicted": predicted, "run_predicted": own.get(number),
            }
        )  # fmt: skip
    return shown


def judged_cells(judge: str, result: list[Judgement] | Unscored) -> Iterator[Scored]:
    """A cell per score of the judge, as the score stage reckons it."""
    judged = [] if isinstance(result, Unscored) else result
    failed = result if isinstance(result, Unscored) else _first_failure(judged)
    truth = np.array([each.item.truth for each in judged], dtype=bool)
    share = float(truth.mean()) if len(truth) else traits_of(judge).share
    contexts = {each.item.context for each in judged} - {NO_CONTEXT}
    for metric in traits_of(judge).metrics:
        value: float | Unscored = failed or NO_CONTEXTS
        if failed is None:
            probability = np.array([each.probability for each in judged], dtype=np.float64)
            value = classify(metric, truth, probability)
        yield {
            "metric": metric, "slice": JUDGED, **_told("value", value), "chance": JUDGED_SCORES[metric].chance(share),
            "n_contexts": len(contexts),
        }  # fmt: skip


def _first_failure(judged: list[Judgement]) -> Unscored | None:
    return next((each.probability for each in judged if isinstance(each.probability, Unscored)), None)


def judged_items(result: list[Judgement] | Unscored, contexts: Mapping[int, Context]) -> list[Scored]:
    """Every item in the order shown: its text, the right answer, and P(yes)."""
    items = []
    for each in [] if isinstance(result, Unscored) else result:
        known = contexts.get(each.item.context)
        items.append(
            {
                "context": each.item.context, "token": each.item.token, "truth": each.item.truth,
                "pieces": list(known.pieces) if known is not None else [], **_told("probability", each.probability),
            }
        )  # fmt: skip
    return items
