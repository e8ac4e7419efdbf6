"""What an explainer is shown of a planted unit: gathered and shared out as a run does it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from autointerp.collect.gather import Gatherer, Wanted
from autointerp.contexts.sharing import share_out
from autointerp.explain.interface import Shown, ShownContext, shown_of
from autointerp.explain.texts import top_words
from autointerp.planted.units import PlantedUnit
from autointerp.records import Effects, Kind, Unit
from autointerp.study import Study
from autointerp.subject.effects import TOKENS


@dataclass(frozen=True)
class Material:
    """The evidence of one unit."""

    shown: Shown
    """For the explainer."""
    ranking: tuple[ShownContext, ...]
    """What would rank its candidates."""


def material(unit: PlantedUnit, study: Study) -> Material:
    """As many contexts of each kind as the study says.

    A planted unit has no weights, so no output effects: in their place stand as many of its own strongest words.
    """
    contexts = {context.context: context for context, _ in unit.evidence}
    sizes = study.evidence
    wanted = Wanted(sizes.top, sizes.random, sizes.quantiles, sizes.per_quantile)
    ids = np.array(list(contexts), dtype=np.int64)
    gatherer = Gatherer([unit.unit], wanted, ids, study.seed)
    values = torch.from_numpy(np.stack([activations for _, activations in unit.evidence]))[:, :, None]
    tokens = torch.from_numpy(np.stack([context.tokens for context, _ in unit.evidence]))
    gatherer.add(values, torch.from_numpy(ids), tokens)
    share = share_out(unit.unit, gatherer.exemplars(0, unit.unit))
    row = Unit(
        unit.unit, 0, "planted", "", "", 0, 1, 0.0, unit.density, float(values.max()), float(gatherer.single_token()[0])
    )
    shown = shown_of(row, share.shown, contexts)
    words = tuple(top_words(shown.of_kind(Kind.TOP), TOKENS))
    ranking = shown_of(row, share.ranking, contexts).contexts
    return Material(shown_of(row, share.shown, contexts, Effects(words, words)), ranking)
