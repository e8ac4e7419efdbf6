"""Which tokens are judged: those that a unit's output direction promotes, and as many that other units' do.

A foil is promoted by other units of the arm, and by about as many as the token that it stands against. So over an arm
a token is a foil as often as it is promoted: how common it is, how it is spelled and what the arm promotes anyway tell
nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import inf, log
from pathlib import Path

import numpy as np

from autointerp.contexts.pairing import Pair, Sampled
from autointerp.explain.registry import sees_effects
from autointerp.judge.interface import Case, Promoted
from autointerp.judge.items import FEWEST
from autointerp.records import Unscored
from autointerp.study import Study
from autointerp.tables import EFFECTS, read_table

MOST_APART = 1.5
"""A token may be promoted by this many times as many units of the arm as its foil, or the other way round."""
NO_FOILS = Unscored("too few tokens that are promoted as commonly by other units of the arm")
NOT_READ = Unscored("the unit's output effects were not read")


class PromotedTokensOf:
    """What a run's units promote, by pairing."""

    def __init__(self, study: Study, run: Path, units: Sequence[Sampled]) -> None:
        """Raises BadInput when the table of output effects is missing."""
        from autointerp.collect.effects_table import read_effects

        effects = read_effects(run / EFFECTS)
        found = {u.unit: effects.get(u.unit, NOT_READ) for u in units}
        arms: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
        for unit in units:
            told = found[unit.unit]
            if not isinstance(told, Unscored):
                arms.setdefault(unit.arm, []).append((unit.unit, told.promoted))
        self._promoted: Mapping[str, Promoted | Unscored] = {
            u.unit: told
            if isinstance(told := found[u.unit], Unscored)
            else Promoted(told.promoted, tuple(tokens for name, tokens in arms[u.arm] if name != u.unit))
            for u in units
        }
        table = read_table(run / "explanations.parquet", ["unit", "explainer"])
        self._explainers: Mapping[str, str] = dict(zip(table["unit"], table["explainer"], strict=True))
        self._study = study

    def of(self, pair: Pair) -> Promoted | Unscored:
        """Those of the unit; Unscored where it has none, or the explanation's author was shown promoted tokens."""
        explainer = self._explainers.get(pair.explained.unit, "")
        if explainer and sees_effects(self._study, explainer):
            return Unscored(f"circular: explainer '{explainer}' is shown the tokens that the unit promotes")
        return self._promoted[pair.unit.unit]


def draw_tokens(case: Case, rng: np.random.Generator) -> list[tuple[str, bool]] | Unscored:
    """(token, whether the unit promotes it): as many promoted ones as foils, the promoted ones first.

    A foil is a token that other units promote, about as many units of the arm in all as promote the token that it
    stands against; a promoted token for which there is none is left out. No foil is promoted by the unit in another
    spelling (case, blanks around it), and none comes twice. Control characters are left out on both sides: some
    tokenizers can't spell them. Unscored with fewer than two of a kind. The draw depends on the tokens and `rng` alone.
    """
    promoted = case.promoted
    if isinstance(promoted, Unscored):
        return promoted
    units = [[t for t in dict.fromkeys(tokens) if _is_text(t)] for tokens in (promoted.own, *promoted.others)]
    commonness = Counter(token for tokens in units for token in tokens)
    own = {_spelled(token) for token in promoted.own}
    left = [token for token in commonness if _spelled(token) not in own]
    kept, foils = [], []
    for token in units[0]:
        apart = [abs(log(commonness[foil] / commonness[token])) for foil in left]
        nearest = min(apart, default=inf)
        if nearest <= log(MOST_APART):
            like = [foil for foil, distance in zip(left, apart, strict=True) if distance == nearest]
            foil = like[int(rng.integers(len(like)))]
            left.remove(foil)
            kept.append(token)
            foils.append(foil)
    if len(foils) < FEWEST:
        return NO_FOILS
    return [*((token, True) for token in kept), *((token, False) for token in foils)]


def _is_text(token: str) -> bool:
    return all(character.isprintable() or character in "\n\r\t" for character in token)


def _spelled(token: str) -> str:
    return token.strip().casefold()
