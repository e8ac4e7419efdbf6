"""Units of known meaning on the built-in text: those that the project's own benchmark plants, a few of each kind."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from autointerp.planted.pairings import PlantedPairing, limited
from autointerp.planted.stage import benchmark_study, ground
from autointerp.planted.units import OTHER, TRUE, PlantedUnit
from autointerp.study import Study

ROLES = ("explainer", "simulator")
"""Sections of a study that name a language model."""


def asking(url: str) -> Study:
    """The default benchmark study, all of its language models behind one OpenAI-compatible address."""
    settings = {"provider": "openai", "model": "builtin", "base_url": url, "timeout": 600.0, "concurrency": 2}
    overrides = [f"llm.{name}.{key}={value}" for name in ROLES for key, value in settings.items()]
    return benchmark_study(None, overrides)


def meaningful(study: Study, folder: Path, count: int) -> list[PlantedUnit]:
    """At most `count` units that mean something, of every kind in turn; their text is made in `folder`."""
    planted, _ = ground(study, folder)
    return limited([unit for unit in planted.units if TRUE in unit.explanations], count)


def right_and_wrong(units: Sequence[PlantedUnit], seed: int) -> list[PlantedPairing]:
    """Every unit with its true explanation and with another unit's, in an order drawn by `seed`."""
    pairings = [PlantedPairing(unit, sort) for unit in units for sort in (TRUE, OTHER)]
    random.Random(seed).shuffle(pairings)
    return pairings
