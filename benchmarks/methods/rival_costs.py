"""What the field's scorers send about one unit, at their default sizes, and what is published of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from common.environments import Unavailable, python_of
from common.workers import Worker

from autointerp.llm.local.encode import common_prefix, encode
from autointerp.llm.request import COMPLETION, Request
from autointerp.models import load_tokenizer
from autointerp.planted.pairings import PlantedPairing
from autointerp.planted.units import TRUE, PlantedUnit
from methods.rivals import DETECTOR, SIMULATOR, Rival, prompts_of

_EXAMPLES, _LENGTH = 100, 32
"""Of Delphi's detection by default: 50 active and 50 silent ones, of so many tokens."""


@dataclass(frozen=True)
class RivalRow:
    """What one unit with one explanation costs; means over the units."""

    method: str
    requests: float | None
    """None: not told."""
    tokens: float
    """Of its prompts; of what is published, all."""
    shared: float | None
    """Share of the prompt tokens in the beginning that all requests of a unit have in common; None: not known."""


PUBLISHED = (
    RivalRow("Delphi, detection", None, 14_000, None),
    RivalRow("Delphi, simulation by JSON", None, 425_000, None),
    RivalRow("Delphi, simulation by log-probabilities", None, 146_000, None),
)
"""Tokens per unit as measured in our design notes."""


def measured(units: Sequence[PlantedUnit], cache: Path) -> tuple[list[RivalRow], dict[str, str]]:
    """The rows of those that can be installed, and why the others can't."""
    texts = [pieces[start : start + _LENGTH] for pieces in _evidence(units[0]) for start in (0, _LENGTH)]
    sizes: Sequence[tuple[Rival, str, Callable[[PlantedUnit], Sequence[Sequence[str]]]]] = (
        (SIMULATOR, "neuron-explainer, all at once, our contexts", _held),
        (DETECTOR, "Delphi, detection, 100 examples of 32 tokens", lambda unit: texts[:_EXAMPLES]),
    )
    rows: list[RivalRow] = []
    absent: dict[str, str] = {}
    for rival, name, contexts in sizes:
        try:
            with closing(Worker(python_of(rival.environment, cache), f"methods.clients.{rival.module}")) as worker:
                rows.append(_row(name, [_prompts(worker, unit, contexts(unit)) for unit in units]))
        except Unavailable as reason:
            absent[name] = str(reason)
    return rows, absent


def _evidence(unit: PlantedUnit) -> list[tuple[str, ...]]:
    return [context.pieces for context, _ in islice(unit.evidence, _EXAMPLES // 2)]


def _held(unit: PlantedUnit) -> list[tuple[str, ...]]:
    return [context.pieces for context in PlantedPairing(unit, TRUE).contexts]


def _prompts(worker: Worker, unit: PlantedUnit, contexts: Sequence[Sequence[str]]) -> list[list[int]]:
    prompts, _ = prompts_of(worker, unit.explanations[TRUE], contexts)
    tokenizer = load_tokenizer("builtin")
    return [encode(Request(_messages(prompt), "", 1, 0.0, 0), tokenizer) for prompt in prompts]


def _messages(prompt: Any) -> tuple[tuple[str, str], ...]:
    if isinstance(prompt, str):
        return ((COMPLETION, prompt),)
    return tuple((message["role"], message["content"]) for message in prompt)


def _row(name: str, units: Sequence[Sequence[Sequence[int]]]) -> RivalRow:
    total = sum(len(prompt) for prompts in units for prompt in prompts)
    shared = sum(common_prefix(prompts) * len(prompts) for prompts in units)
    return RivalRow(name, sum(map(len, units)) / len(units), total / len(units), shared / total)
