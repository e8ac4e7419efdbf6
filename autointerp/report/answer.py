"""The answer to the question of the run, in a few plain lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from enum import Enum
from typing import TypeAlias

from autointerp.between_rows import BetweenRunsRow
from autointerp.compare.outcome import Outcome
from autointerp.compare.strata import KINDS
from autointerp.compare.words import capital, number, p_text, with_interval
from autointerp.contexts.slices import RANDOM_ONLY, UNLISTED, slice_words
from autointerp.metrics.intervals import FEW
from autointerp.records import Pairing
from autointerp.report import adjusted, measures, replicates, scrambled
from autointerp.rows import OUTSIDE, READ_LITERALLY, TOKEN_TABLE, Cell, ComparisonRow
from autointerp.simulate.literal import LITERAL
from autointerp.simulate.lookup import LOOKUP
from autointerp.study import Compare
from autointerp.units.arms import is_feature, plain
from autointerp.units.scrambled import subject_of


class Verdict(Enum):
    """What a difference of two arms allows to say."""

    MORE = "more"
    LESS = "less"
    EQUIVALENT = "no difference"
    """Shown to be within the study's margin."""
    NOT_SHOWN = "no difference shown"
    BORDERLINE = "borderline"
    """The interval and the test disagree."""
    UNKNOWN = "unknown"
    """There is no interval or no test."""


Tested: TypeAlias = ComparisonRow | BetweenRunsRow
"""A difference with its tests: of two arms, or of two runs."""


def verdict_of(row: Tested, confidence: float) -> Verdict:
    """Both the interval and the test, adjusted in its family, must speak: neither alone is called a difference.

    A test that is outside the families is taken as it is. No difference is said by an equivalence test alone.
    """
    low, high, p = row.difference_low, row.difference_high, adjusted_p(row)
    if low is None or high is None or p is None:
        return Verdict.UNKNOWN
    outside, significant = low > 0 or high < 0, p < 1 - confidence
    equivalent = row.p_equivalent if row.family == OUTSIDE else row.p_equivalent_holm
    if not significant and equivalent is not None and equivalent < 1 - confidence:
        return Verdict.EQUIVALENT
    if outside != significant:
        return Verdict.BORDERLINE
    if not outside:
        return Verdict.NOT_SHOWN
    return Verdict.MORE if low > 0 else Verdict.LESS


def adjusted_p(row: Tested) -> float | None:
    """The p that a verdict takes: adjusted in the row's family, the plain one outside the families."""
    return row.p if row.family == OUTSIDE else row.p_holm


def answer(outcome: Outcome) -> list[str]:
    """The answer and what it must be read beside: plain sentences, the first lines first."""
    lines = first_lines(outcome)
    lines += replicates.of_one(outcome)
    lines += scrambled.sentences(outcome)
    lines += measures.sentences(outcome)
    lines += _chance(outcome)
    lines += _unlisted(outcome)
    lines += _kinds(outcome)
    lines += _directions(outcome)
    if len(outcome.slices) > 1 and RANDOM_ONLY in outcome.slices[1:]:
        lines += _random_only(outcome)
    lines += _ceiling(outcome)
    return lines


def first_lines(outcome: Outcome) -> list[str]:
    """The difference and over how many replicates; what is left of it at equal token determinism; what the model adds
    to a literal reading. One line each; a run that holds nothing against anything has no second."""
    determinism = [*adjusted.sentences(outcome), *adjusted.missing(outcome)]
    found = [[*_comparisons(outcome), *replicates.sentences(outcome)], determinism, [*_beyond_words(outcome)]]
    return [" ".join(sentences) for sentences in found if sentences]


def mean_of(row: ComparisonRow | None) -> str:
    """The mean of an arm with its interval, or why there is none."""
    if row is None or row.mean is None:
        return "nothing (no unit could be scored)"
    return with_interval(row.mean, row.low, row.high)


def difference_of(row: Tested) -> str:
    """A difference with its interval and p."""
    shown = with_interval(row.difference, row.difference_low, row.difference_high)
    p = adjusted_p(row)
    return shown if p is None else f"{shown}, {'' if row.family == OUTSIDE else 'adjusted '}{p_text(p)}"


def concluded(row: Tested, study: Compare, more: str, less: str, finder: str) -> str:
    """The words of its verdict: `more` or `less`, or what else it is; `finder`: what could have found a difference."""
    found = "" if row.smallest is None else f"; {finder} could find {number(row.smallest)} (80% power)"
    few = f"; {row.note}" if row.note.startswith("only ") else ""
    return {
        Verdict.MORE: more,
        Verdict.LESS: less,
        Verdict.EQUIVALENT: f"no difference of more than {study.margin:g} either way (equivalence test)",
        Verdict.NOT_SHOWN: f"no difference shown{found}",
        Verdict.BORDERLINE: f"no clear difference (the interval and the adjusted test disagree){found}",
        Verdict.UNKNOWN: "too few scored units to say",
    }[verdict_of(row, study.confidence)] + few


def _scored(row: ComparisonRow | None) -> str:
    return "" if row is None else f" ({row.n} of {row.n + row.unscored} units)"


def _comparisons(outcome: Outcome) -> Iterator[str]:
    cell = outcome.headline
    if not outcome.feature_arms:
        yield "This run has no SAE features, so it compares none with neurons."
        for arm in outcome.arms:
            yield f"{capital(plain(arm))} score {mean_of(outcome.row(cell, arm))}{_scored(outcome.row(cell, arm))}."
        return
    for arm in outcome.feature_arms:
        baseline = outcome.baseline_of(arm)
        if arm == baseline:
            continue
        own = outcome.row(cell, arm)
        line = f"{capital(plain(arm))} score {mean_of(own)}{_scored(own)}"
        difference = outcome.against_baseline(cell, arm)
        if baseline is None or difference is None:
            wanted = plain(outcome.study.compare.baseline)
            yield f"{line}; this run has no {wanted} to hold them against."
            continue
        other = outcome.row(cell, baseline)
        yield f"{line}, {plain(baseline)} {mean_of(other)}{_scored(other)}; {_against(outcome, difference)}."


def _against(outcome: Outcome, row: ComparisonRow) -> str:
    if row.difference is None:
        return f"no difference can be given ({row.note})"
    minus = f"{plain(row.arm)} minus {plain(row.baseline)}"
    arm, other = plain(row.arm), plain(row.baseline)
    more, less = (f"{arm} are {word} interpretable than {other}, by this measure" for word in ("more", "less"))
    if is_feature(row.arm):
        more = scrambled.conditional(outcome, row, more)
    said = concluded(row, outcome.study.compare, more, less, "this run")
    if verdict_of(row, outcome.study.compare.confidence) in (Verdict.MORE, Verdict.LESS):
        said = replicates.conditional(outcome, row, said)
    return f"{minus} {difference_of(row)}: {said}"


def _listed(outcome: Outcome, cell: Cell, pairing: Pairing = Pairing.OWN) -> str:
    rows = [outcome.row(cell, arm, pairing=pairing) for arm in outcome.main_arms]
    return ", ".join(f"{plain(r.arm)} {mean_of(r)}" for r in rows if r is not None and r.mean is not None)


def _chance(outcome: Outcome) -> Iterator[str]:
    shuffled = _listed(outcome, outcome.headline, Pairing.SHUFFLED)
    if shuffled:
        chance = next(row.chance for row in outcome.rows if row.cell == outcome.headline)
        yield f"With another unit's explanation instead: {shuffled} (chance is {number(chance)})."


def _beyond_words(outcome: Outcome) -> Iterator[str]:
    """What the simulator's language model adds to the words that the explanations name."""
    if outcome.headline.scorer == LITERAL:
        yield "The explanations are read literally: there is no model that could add to that."
        return
    if not outcome.has_literal:
        yield "What the model adds to reading the explanations literally was not measured (`simulate.literal`)."
        return
    shown = _listed(outcome, replace(outcome.headline, scorer=LITERAL))
    added = [
        f"{_added(row, outcome.study.compare.confidence)} for {plain(row.arm)} ({difference_of(row)}, {row.n} units)"
        for arm in outcome.main_arms
        if (row := outcome.row(outcome.headline, arm, READ_LITERALLY)) is not None and row.difference is not None
    ]
    yield (
        "Read literally, with no model (1 on a token that is a word which the explanation names, else 0), the same "
        f"explanations score: {shown or 'nothing (no unit could be scored)'}."
        + (f" The simulator {'; '.join(added)}." if added else "")
    )


def _unlisted(outcome: Outcome) -> Iterator[str]:
    """What is scored on tokens that the explanations do not name."""
    if outcome.has_literal and UNLISTED in outcome.slices:
        cell = replace(outcome.headline, slice=UNLISTED)
        differences = [row for arm in outcome.feature_arms if (row := outcome.against_baseline(cell, arm)) is not None]
        apart = "".join(f"; {_against(outcome, row)}" for row in differences)
        yield f"On {slice_words(UNLISTED)} the simulator scores: {_listed(outcome, cell) or 'nothing'}{apart}."


def _kinds(outcome: Outcome) -> Iterator[str]:
    """How many explanations are lists of words, and whether descriptions beat what lists score without a model."""
    told = []
    for arm in outcome.main_arms if outcome.has_lists else ():
        lists, described = outcome.of_kinds(arm)
        if lists or described:
            apart = ", ".join(
                f"{kind}s {mean_of(row) if row.n >= FEW else f'{number(row.mean)}, only {row.n} units'}"
                for kind in KINDS
                if (row := outcome.row(replace(outcome.headline, stratum=kind), arm)) is not None and row.n
            )
            scored = f" (scores: {apart})" if apart else ""
            told.append(f"of {plain(arm)} {lists} are lists of words and {described} descriptions{scored}")
    if told:
        yield f"Of the explanations {'; '.join(told)}."
    beaten = []
    for arm in outcome.main_arms:
        row = outcome.row(outcome.headline, arm, READ_LITERALLY, Pairing.DESCRIPTION)
        if row is not None and row.difference is not None:
            verdict = {Verdict.MORE: "yes", Verdict.LESS: "no, they are worse"}
            said = verdict.get(verdict_of(row, outcome.study.compare.confidence), "that is not shown")
            better, n = outcome.descriptions_above_lists(arm)
            beaten.append(f"{plain(arm)}: {said} ({difference_of(row)}; above it in {better} of {n} units)")
    if beaten:
        yield (
            "Does the best description of a unit, simulated, beat a list of its top words, read literally? "
            f"{'; '.join(beaten)}."
        )


def _added(row: ComparisonRow, confidence: float) -> str:
    return {
        Verdict.MORE: "adds to that",
        Verdict.LESS: "is worse than that",
        Verdict.EQUIVALENT: "is within the margin of equivalence of that",
        Verdict.NOT_SHOWN: "is not shown to add anything",
        Verdict.BORDERLINE: "is not clearly apart from that",
        Verdict.UNKNOWN: "can't be held against that",
    }[verdict_of(row, confidence)]


def _directions(outcome: Outcome) -> Iterator[str]:
    controls = [
        arm
        for arm in outcome.arms
        if arm not in outcome.feature_arms and arm not in outcome.baselines and not subject_of(arm)
    ]
    rows = [outcome.row(outcome.headline, arm) for arm in controls]
    shown = [f"{plain(row.arm)} {mean_of(row)}" for row in rows if row is not None and row.mean is not None]
    if outcome.feature_arms and shown:
        yield f"Controls, each with its own explanation: {', '.join(shown)}."


def _random_only(outcome: Outcome) -> Iterator[str]:
    cell = replace(outcome.headline, slice=RANDOM_ONLY)
    for arm in outcome.feature_arms:
        row = outcome.against_baseline(cell, arm)
        if row is not None:
            yield f"On {slice_words(RANDOM_ONLY)}: {_against(outcome, row)}."


def _ceiling(outcome: Outcome) -> Iterator[str]:
    if outcome.has_lookup:
        shown = _listed(outcome, replace(outcome.headline, scorer=LOOKUP))
        gaps = [
            f"{plain(arm)} {with_interval(row.difference, row.difference_low, row.difference_high)}"
            for arm in outcome.main_arms
            if (row := outcome.row(outcome.headline, arm, TOKEN_TABLE)) is not None and row.difference is not None
        ]
        if shown:
            apart = f"; the explanations minus that, unit by unit: {', '.join(gaps)}" if gaps else ""
            yield f"A table of mean activation per token, which uses no explanation, reaches: {shown}{apart}."
