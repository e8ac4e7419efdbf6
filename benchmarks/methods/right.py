"""The shortest right answers: what a good model writes, beside the most that it may write."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int

from autointerp.contexts.naming import whole_words
from autointerp.explain.registry import EXPLAINERS
from autointerp.llm.answers.json import HIGHEST
from autointerp.planted.units import TRUE, PlantedUnit
from autointerp.simulate.anthropic_batch import LINE

Answers = Callable[[PlantedUnit, int], Sequence[str]]
"""From a unit and the number of its requests to the answers."""


def _digits(unit: PlantedUnit) -> Int[np.ndarray, "context token"]:
    truth: Float[np.ndarray, "context token"] = unit.held.truth
    digits: Int[np.ndarray, "context token"] = np.minimum(HIGHEST, np.floor(10 * truth / truth.max())).astype(np.int64)
    return digits


def _sparse(unit: PlantedUnit, requests: int) -> list[str]:
    return [json.dumps({str(i): int(v) for i, v in enumerate(row) if v}) for row in _digits(unit)]


def _words(unit: PlantedUnit, requests: int) -> list[str]:
    known = {held.context.context: whole_words(held.context.pieces) for held in unit.held_out}
    rows = zip((known[int(context)] for context in unit.held.contexts), _digits(unit), strict=True)
    return [json.dumps({word: int(value) for word, value in zip(*row, strict=True) if word and value}) for row in rows]


def _lines(unit: PlantedUnit, requests: int) -> list[str]:
    return ["".join(f"{index}={value}\n" for index, value in enumerate(row)) for row in _digits(unit)]


def _batch(unit: PlantedUnit, requests: int) -> list[str]:
    parts = [row[start : start + LINE].tolist() for row in _digits(unit) for start in range(0, len(row), LINE)]
    calls = np.array_split(np.arange(len(parts)), requests)
    return [json.dumps({str(n): parts[int(place)] for n, place in enumerate(call, 1)}) for call in calls]


def _decisions(unit: PlantedUnit, requests: int) -> list[str]:
    return ['{"answers": [1, 0, 1, 0, 1]}'] * requests


def _described(unit: PlantedUnit, requests: int) -> list[str]:
    return [json.dumps({"description": unit.explanations[TRUE], "words": []})] * requests


_ANSWERS: Mapping[str, Answers] = {
    "sparse-json": _sparse,
    "sparse-words": _words,
    "digits-output": _lines,
    "anthropic-batch": _batch,
    "one-by-one": lambda unit, requests: ["0"] * requests,
    "detection": _decisions,
    "fuzzing": _decisions,
    "intruder": lambda unit, requests: ['{"intruder": 3}'] * requests,
    "saebench": lambda unit, requests: ["1, 3, 8, 12"] * requests,
    **dict.fromkeys(EXPLAINERS.built_in, lambda unit, requests: [unit.explanations[TRUE]] * requests),
    **dict.fromkeys(("snippets", "short-snippets"), _described),
}


def right_answers(method: str, unit: PlantedUnit, requests: int) -> Sequence[str]:
    """What a unit's requests would be answered, by a model that knows; nothing where no answer is read."""
    return _ANSWERS[method](unit, requests) if method in _ANSWERS else ()
