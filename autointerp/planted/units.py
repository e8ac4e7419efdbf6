"""Planted units: scalars over real text whose meaning is known, because a rule over the text made them.

A meaning comes in two forms: binary (1 on the tokens that it names) and graded (1 on those that the explanation calls
the strongest, less on the others). Which meanings there are is in `library/`, one file per kind; half of each kind is
the frozen test half.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from autointerp.artifacts import rng_of, seed_of
from autointerp.contexts.slices import Held
from autointerp.errors import BadInput, CheckFailed
from autointerp.judge.interface import HeldOut
from autointerp.planted.activations import SIZES, HeldOuts, Rows, coverage, draw_held_out, rows_over
from autointerp.planted.foils import Foil, FoilTraits, admissible, in_drawn_order
from autointerp.planted.meanings import (
    DESCRIPTION,
    NEAR_MISS,
    NOISE,
    OTHER,
    TOO_BROAD,
    TOO_NARROW,
    TRUE,
    WORD_LIST,
    WRONG,
    MeaningFamily,
    families,
)
from autointerp.planted.rules import Noise, Rule
from autointerp.planted.word_lists import word_list, word_lists
from autointerp.records import Context, Split
from autointerp.study import Evidence

__all__ = [
    "NEAR_MISS",
    "OTHER",
    "TOO_BROAD",
    "TOO_NARROW",
    "TRUE",
    "WRONG",
    "LeftOut",
    "Planted",
    "PlantedUnit",
    "plant",
]

FEWEST = 5
"""Contexts of each split on which a unit must be active: as many as its top held-out ones."""
TOO_FEW = {
    Split.EVIDENCE: "active in too few evidence contexts",
    Split.HELD_OUT: "active in too few held-out contexts",
}
NO_OTHER = "no unit of another kind is different enough"
_NOISE_DENSITIES = {
    "0.001": True, "0.002": True, "0.003": True, "0.004": True, "0.005": False, "0.01": True, "0.02": True,
    "0.03": True, "0.04": True, "0.05": False,
}  # fmt: skip
"""Density of each noise family, and whether it is in the test half."""


@dataclass(frozen=True)
class PlantedUnit:
    """A unit of known meaning, with its explanations and the contexts that it is measured on."""

    unit: str
    """Readable id: `planted/word-class/colours/graded`."""
    kind: str
    """One of `kinds.KINDS`."""
    test: bool
    """In the frozen half, on which no prompt was tuned."""
    graded: bool
    """Whether its activations have two levels above 0, as the true explanation says; else they are 0 and 1."""
    density: float
    """Share of the tokens of both splits on which it is active."""
    explanations: Mapping[str, str]
    """TRUE and the four of WRONG, as descriptions; OTHER is that of the first foil. A noise unit has OTHER alone,
    because nothing is true of it."""
    lists: Mapping[str, str]
    """The same but OTHER as lists of words: those that the evidence allows; empty without the true one."""
    rules: Mapping[str, Rule]
    """What a perfect reader of each explanation would predict."""
    foils: tuple[Foil, ...]
    """All that are fit for it, in a seeded order."""
    held_out: tuple[HeldOut, ...]
    """Held-out contexts, drawn as a run draws them: top ones, then those drawn blindly; each once. For judges."""
    held: Held
    """The slice top-and-random of them. For simulators."""
    evidence: tuple[tuple[Context, Float[np.ndarray, " token"]], ...]
    """All evidence contexts with the unit's activations. For its token table, and for nothing else."""

    def told(self, sort: str, form: str, foil: int = 0) -> str:
        """The explanation of one sort in one of FORMS; '' when there is none. `foil`: which one, for OTHER."""
        if sort == OTHER:
            return self.foils[foil].told(form)
        return (self.explanations if form == DESCRIPTION else self.lists).get(sort, "")

    @property
    def forms(self) -> tuple[str, ...]:
        """Those of FORMS in which the unit is explained."""
        listed = self.lists if self.explanations.keys() != {OTHER} else any(foil.word_list for foil in self.foils)
        return (DESCRIPTION, WORD_LIST) if listed else (DESCRIPTION,)


@dataclass(frozen=True)
class LeftOut:
    """A unit that a corpus is too poor for."""

    unit: str
    kind: str
    reason: str
    """In words that group well."""


@dataclass(frozen=True)
class Planted:
    """What could be planted on a corpus."""

    units: tuple[PlantedUnit, ...]
    """In the order of `kinds.KINDS`."""
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True)
class _Draft:
    """A unit before anything is drawn."""

    family: str
    kind: str
    test: bool
    graded: bool
    rule: Rule
    """What it is active on."""
    explanations: Mapping[str, str]
    rules: Mapping[str, Rule]

    @property
    def unit(self) -> str:
        return f"planted/{self.kind}/{self.family}/{'graded' if self.graded else 'binary'}"


Forms = tuple[_Draft, _Draft]
"""A binary unit and its graded twin, which is active on the same tokens."""


@dataclass(frozen=True)
class _Grown:
    """A unit with its activations."""

    draft: _Draft
    evidence: Rows
    held_out: Rows

    @property
    def failure(self) -> str:
        """Why it must be left out; '' when it need not."""
        if len(self.evidence) < FEWEST:
            return TOO_FEW[Split.EVIDENCE]
        return TOO_FEW[Split.HELD_OUT] if len(self.held_out) < FEWEST else ""

    @property
    def active_tokens(self) -> int:
        return sum(int(np.count_nonzero(row)) for rows in (self.evidence, self.held_out) for row in rows.values())


def plant(evidence: Sequence[Context], held_out: Sequence[Context], seed: int, sizes: Evidence = SIZES) -> Planted:
    """Plant every unit that the text allows. The same contexts and seed give the same units.

    `sizes` says how many held-out contexts of a unit simulators are scored on.

    Contexts must all have the same number of tokens. Raises CheckFailed when some are not of their split, BadInput when
    the text is too poor for any unit.
    """
    for contexts, split in ((evidence, Split.EVIDENCE), (held_out, Split.HELD_OUT)):
        if any(c.split != split for c in contexts):
            raise CheckFailed(f"planted units were given contexts as {split} that are of another split")
    tokens = len(evidence[0].pieces)
    grown = [g for forms in _drafts(seed) for g in _grow(forms, evidence, held_out)]
    told = _lists(grown, evidence, seed)

    foils = _foils(grown, evidence, told, seed)
    failures = {g.draft.unit: g.failure or ("" if foils[g.draft.unit] else NO_OTHER) for g in grown}
    kept = [g for g in grown if not failures[g.draft.unit]]
    if not kept:
        raise BadInput(
            f"no unit can be planted on {len(evidence)} evidence and {len(held_out)} held-out contexts",
            "raise corpus.tokens, or give other text",
        )
    drawn = draw_held_out(
        [f"{g.draft.kind}/{g.draft.family}" for g in kept], [g.held_out for g in kept], held_out, seed, sizes
    )
    all_tokens = tokens * (len(evidence) + len(held_out))
    units = [_planted(g, foils[g.draft.unit], d, evidence, told, all_tokens) for g, d in zip(kept, drawn, strict=True)]
    left_out = [LeftOut(g.draft.unit, g.draft.kind, failures[g.draft.unit]) for g in grown if failures[g.draft.unit]]
    return Planted(tuple(units), tuple(left_out))


def _lists(grown: Sequence[_Grown], evidence: Sequence[Context], seed: int) -> Callable[[Rule], str]:
    """What a rule is as a list of words, each made once. The contexts come in a seeded order: the first of a corpus
    are of few documents."""
    order = rng_of(seed, "planted-lists").permutation(len(evidence)).tolist()
    active = {g.draft.rule: g.evidence for g in grown}
    lists: dict[Rule, str] = {}

    def told(rule: Rule) -> str:
        if rule not in lists:
            known = active.get(rule)
            among = order if known is None else [place for place in order if place in known]
            lists[rule] = word_list(rule, evidence, among)
        return lists[rule]

    return told


def _grow(forms: Forms, evidence: Sequence[Context], held_out: Sequence[Context]) -> Iterator[_Grown]:
    """Both forms of a unit. The graded one is active where the binary one is, so it is read there alone."""
    binary, graded = forms
    first = _Grown(binary, rows_over(binary.rule, evidence), rows_over(binary.rule, held_out))
    yield first
    yield _Grown(
        graded,
        rows_over(graded.rule, evidence, first.evidence),
        rows_over(graded.rule, held_out, first.held_out),
    )


def _planted(
    grown: _Grown,
    foils: tuple[Foil, ...],
    drawn: HeldOuts,
    evidence: Sequence[Context],
    told: Callable[[Rule], str],
    all_tokens: int,
) -> PlantedUnit:
    draft = grown.draft
    silent = np.zeros(len(evidence[0].pieces), dtype=np.float32)  # shared: most contexts of most units are silent
    return PlantedUnit(
        unit=draft.unit,
        kind=draft.kind,
        test=draft.test,
        graded=draft.graded,
        density=grown.active_tokens / all_tokens,
        explanations={**draft.explanations, OTHER: foils[0].text},
        lists=word_lists(draft.rules, told),
        rules={**draft.rules, OTHER: foils[0].rule},
        foils=foils,
        held_out=drawn[0],
        held=drawn[1],
        evidence=tuple((c, grown.evidence.get(position, silent)) for position, c in enumerate(evidence)),
    )


def _drafts(seed: int) -> Iterator[Forms]:
    """The binary and the graded form of every unit."""
    for family in families():
        yield _of_family(family, False), _of_family(family, True)
    for density, test in _NOISE_DENSITIES.items():
        binary, graded = (Noise(float(density), form, seed_of(seed, density)) for form in (False, True))
        yield _Draft(density, NOISE, test, False, binary, {}, {}), _Draft(density, NOISE, test, True, graded, {}, {})


def _of_family(family: MeaningFamily, graded: bool) -> _Draft:
    texts = {name: meaning.explanation(graded) for name, meaning in family.meanings.items()}
    rules = {name: meaning.predicts(graded) for name, meaning in family.meanings.items()}
    return _Draft(family.name, family.kind, family.test, graded, rules[TRUE], texts, rules)


def _foils(
    grown: Sequence[_Grown], evidence: Sequence[Context], told: Callable[[Rule], str], seed: int
) -> dict[str, tuple[Foil, ...]]:
    """The foils of each unit, chosen on evidence alone: among the units that are active in enough evidence contexts,
    whatever they do on held-out ones. A unit without any has an empty tuple."""
    able = [g for g in grown if len(g.evidence) >= FEWEST]
    found: dict[str, tuple[Foil, ...]] = {g.draft.unit: () for g in grown}
    if not able:
        return found
    covered = coverage([g.evidence for g in able], len(evidence), len(evidence[0].pieces))
    traits = [FoilTraits(g.draft.unit, g.draft.kind, g.draft.test, g.draft.graded) for g in able]
    as_foils = [_as_foil(g.draft, told) for g in able]
    for unit, row in zip(traits, admissible(traits, covered), strict=True):
        places = in_drawn_order(unit.unit, np.flatnonzero(row).tolist(), seed)
        found[unit.unit] = tuple(foil for place in places if (foil := as_foils[place]) is not None)
    return found


def _as_foil(draft: _Draft, told: Callable[[Rule], str]) -> Foil | None:
    """None of noise, which has no explanation."""
    if draft.kind == NOISE:
        return None
    return Foil(draft.unit, draft.kind, draft.explanations[TRUE], told(draft.rule), draft.rule)
