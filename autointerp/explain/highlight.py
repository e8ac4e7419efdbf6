"""`highlight`: the language model reads contexts with the active tokens marked, and explains.

After the default explainer of Delphi (Paulo et al. 2024); the prompt and the code are our own.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from math import floor
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from autointerp.explain.interface import ExplainSettings, Proposal, Shown, ShownContext, draws
from autointerp.explain.texts import explanation_in
from autointerp.quoting import quoted
from autointerp.records import Unscored

OPEN, CLOSE = "«", "»"
"""Around active tokens."""
STAND_INS = str.maketrans({OPEN: "‹", CLOSE: "›"})
"""What a mark becomes that stands in the text itself."""
_ACTIVE_SHARE = 0.3


class Highlight:
    """Shows top and quantile contexts, strongest first, and asks `n` times."""

    name = "highlight"
    needs_model = True

    def __init__(self, settings: ExplainSettings) -> None:
        """Raises BadInput when the prompt can't be loaded."""
        self._prompt = settings.load("highlight/v1")
        self._llm = settings.llm

    def propose(self, shown: Shown, n: int, rng: np.random.Generator) -> list[Proposal]:
        """`n` draws of one request; Unscored when the unit is silent in all contexts that may be shown."""
        contexts = shown.active()
        if not contexts:
            return [Unscored("no active context to show")]
        messages = self._prompt.render(examples=marked_examples(contexts, shown.max_activation))
        return draws(self.name, self._prompt, messages, self._llm, n, rng, explanation_in)


def marked_examples(contexts: Sequence[ShownContext], maximum: float) -> list[dict[str, Any]]:
    """What a prompt says of each context: its `strength` and its `text` with marks."""
    return [{"strength": strength(c.peak, maximum), "text": marked(c)} for c in contexts]


def strength(peak: float, maximum: float) -> int:
    """Peak of a context on a scale of 1 to 9, where 9 is the unit's maximum over the evidence."""
    return max(1, min(9, floor(10 * peak / maximum))) if maximum > 0 else 1


def marked(context: ShownContext) -> str:
    """The context as one quoted line, its strongly active tokens between « and »."""
    return with_marks(context.pieces, strongly_active(context.activations))


def strongly_active(activations: Float[np.ndarray, " token"]) -> Bool[np.ndarray, " token"]:
    """Tokens of one context at 30% or more of its peak; none where the unit is silent."""
    exact = activations.astype(np.float64)
    active: Bool[np.ndarray, " token"] = (exact > 0) & (exact >= _ACTIVE_SHARE * exact.max(initial=0.0))
    return active


def with_marks(pieces: Sequence[str], chosen: Bool[np.ndarray, " token"]) -> str:
    """A text as one quoted line, each run of chosen tokens between « and ».

    Marks in the text itself become ‹ and ›; quotes, line breaks, all that can't be seen and the marks of chat
    templates are escaped as in JSON: no text can forge a mark, or end its line.
    """
    parts = []
    for inside, run in groupby(zip(pieces, chosen.tolist(), strict=True), key=lambda token: token[1]):
        text = "".join(piece for piece, _ in run).translate(STAND_INS)
        if inside and text:  # the blank before the first word stays outside, unless there is nothing else
            word = text.lstrip(" ") or text
            text = f"{text[: len(text) - len(word)]}{OPEN}{word}{CLOSE}"
        parts.append(text)
    return quoted("".join(parts))
