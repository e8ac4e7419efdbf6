"""What a judge is, what it is given, and what it hands back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from autointerp.llm.capabilities import Capabilities
from autointerp.llm.request import Question
from autointerp.records import Context, Unscored
from autointerp.study import Llm


@dataclass(frozen=True)
class HeldOut:
    """One held-out context of a unit, with the unit's true activations on it."""

    context: Context
    activations: Float[np.ndarray, " token"]
    """In the unit's own scale, never below 0."""
    random: bool
    """Drawn blindly: only such a context may stand for the text on which the unit is silent."""

    @property
    def peak(self) -> float:
        """Its highest activation."""
        return float(self.activations.max(initial=0.0))


@dataclass(frozen=True)
class Case:
    """An explanation, and the unit that it is held against."""

    explanation: str
    """The unit's own, or another unit's: nothing here tells which."""
    contexts: tuple[HeldOut, ...]
    """The unit's held-out contexts, each once."""


@dataclass(frozen=True)
class Item:
    """One thing to be judged."""

    context: int
    """Id of the context."""
    shown: int
    """Its place among all items of the case, from 0, over the batches in their order."""
    truth: bool
    """What the right answer is; for detection, whether the unit is active anywhere in the context."""


@dataclass(frozen=True)
class Batch:
    """Items that one request asks about."""

    items: tuple[Item, ...]
    question: Question[tuple[float, ...]]
    """Read to the probability of "yes" for every item, in order, each in [0, 1]."""


@dataclass(frozen=True)
class Settings:
    """What a judge is made with."""

    llm: Llm
    """The model that it asks."""
    examples: int
    """Items per unit at most."""
    seed: int
    """Seed of its requests."""
    prompt: str | None = None
    """Name of the prompt; None: the judge's own."""
    prompts_folder: Path | None = None
    """The user's folder, whose prompts take the place of the built-in ones."""
    capabilities: Capabilities | None = None
    """What the endpoint can do; None when that is not known, and then nothing special is asked of it."""


@runtime_checkable
class Judge(Protocol):
    """Asks which items an explanation fits. One file and one registration each; made by calling it with Settings."""

    name: str
    prompt: str
    """`name@hash` of its prompt."""

    def batches(self, case: Case, rng: np.random.Generator) -> list[Batch] | Unscored:
        """Draw the items and make the requests; Unscored when the contexts don't suffice.

        The draw depends on the contexts and `rng` alone, so that a unit's own explanation and another unit's are
        judged on the same items. Every case of a judge has the same share of true items, so that chance is the same
        for every unit. It asks nobody: the run asks for all units together.
        """
        ...
