"""`embedding`: are the unit's active contexts nearer to the explanation in meaning? (after Paulo et al. 2024.)

The cosine of the sentence model's vectors of explanation and context, brought to [0, 1] as (1 + cos) / 2. How near two
texts must be to be near is not known, so that no threshold means anything: only the order of the contexts counts.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from autointerp.judge.interface import Case, Item, Judgement, JudgeSettings, Traits
from autointerp.judge.items import draw_contexts
from autointerp.llm.capabilities import Needs
from autointerp.records import Unscored
from autointerp.simulate.interface import Vectors
from autointerp.simulate.vocabulary import prompt_line

EMPTY = Unscored("empty explanation")


class EmbeddingJudge:
    """Asks no language model; the sentence model reads explanation and contexts."""

    name = "embedding"
    traits = Traits(asks=False, needs=Needs(sentences=True), metrics=("auroc",))

    def __init__(self, settings: JudgeSettings) -> None:
        self.prompt = ""
        """There is none."""
        self._sentences = settings.tools.sentences
        self._each, self._negatives = settings.examples // 2, settings.negatives
        self._known: dict[str, Float[np.ndarray, " dimension"]] = {}

    def judge(self, case: Case, rng: np.random.Generator) -> list[Judgement] | Unscored:
        """At most `examples` contexts, active ones first; Unscored with fewer than two of a kind."""
        if self._sentences is None:
            raise ValueError("judge 'embedding' was made without a sentence model")
        found = draw_contexts(case, self._each, self._negatives, rng)
        if isinstance(found, Unscored):
            return found
        if not prompt_line(case.explanation):
            return EMPTY
        contexts = [*found[0], *found[1]]
        explanation, *shown = self._vectors(self._sentences, [case.explanation, *(c.context.text for c in contexts)])
        cosines = np.clip(np.stack(shown) @ explanation, -1.0, 1.0)  # rounding may leave the range
        return [
            Judgement(Item(c.context.context, position, c.peak > 0), (1 + float(cosine)) / 2)
            for position, (c, cosine) in enumerate(zip(contexts, cosines, strict=True))
        ]

    def _vectors(self, sentences: Vectors, texts: list[str]) -> list[Float[np.ndarray, " dimension"]]:
        """One vector per text; each text is read once, since a unit's contexts come again with every explanation."""
        unknown = [text for text in dict.fromkeys(texts) if text not in self._known]
        if unknown:
            self._known.update(zip(unknown, sentences.vectors(unknown).astype(np.float64), strict=True))
        return [self._known[text] for text in texts]
