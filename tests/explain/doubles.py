"""Shown contexts in one line, and whole units with words of their own."""

from __future__ import annotations

import numpy as np

from autointerp.explain.interface import ExplainSettings, Shown, ShownContext
from autointerp.records import Effects
from autointerp.study_models import Llm

SETTINGS = ExplainSettings(Llm(model="m", temperature=0.5, max_tokens=40))
EFFECTS = Effects((" paint", "ish"), (" seven", "\n"))


def context(kind: str, *tokens: tuple[str, float]) -> ShownContext:
    """A context of (piece, activation) pairs."""
    return ShownContext(
        tokens=np.arange(len(tokens)),
        pieces=tuple(piece for piece, _ in tokens),
        activations=np.array([activation for _, activation in tokens], dtype=np.float32),
        kind=kind,
    )


def shown(*contexts: ShownContext, unit: str = "feature/1") -> Shown:
    return Shown(unit, max((c.peak for c in contexts), default=0.0), contexts)


def colours(unit: str = "feature/1") -> Shown:
    """Nine top contexts, two bands and a random context; active on colours, and on one animal."""
    names = ["red", "green", "blue", "yellow", "violet", "teal", "pink", "black", "white", "grey", "brown", "amber"]
    tops = [
        context(
            "top", (" The", 0), (f" {names[i]}", 9.0 - i), (" or", 0), (f" {names[i + 3]}", 4.0 - i / 4), (" cat", 1.0)
        )
        for i in range(9)
    ]
    bands = [context(f"quantile-{i}", (" a", 0), (" crimson", 2.0 - i), (" dog", 0)) for i in range(2)]
    return shown(*tops, *bands, context("random", (" nothing", 0), (" here", 0)), unit=unit)
