"""What is left of a difference at equal token determinism: its sentence, its section, and what a folder lacks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from autointerp.adjusted_rows import AdjustedRow
from autointerp.compare.adjusted import ADJUSTED, CORRECTED, MATCHED, RAW, held_against
from autointerp.compare.outcome import Outcome
from autointerp.compare.words import covariate_words, listed, number, with_interval
from autointerp.contexts.slices import slice_words
from autointerp.metrics.adjustment import CALIPER, NO_SUPPORT, SUPPORT
from autointerp.report.markdown import UNKNOWN, escape, table
from autointerp.units.arms import plain

_BALANCED = 0.1
_DECOMPOSITION = "decomposition, not the truth: it may be a mediator"


def sentences(outcome: Outcome) -> Iterator[str]:
    """Per feature arm against its baseline: what is left with all covariates held equal, by each estimate."""
    for arm in outcome.feature_arms:
        rows = [row for row in _of(outcome, outcome.headline.slice) if (row.arm, row.baseline) == _asked(outcome, arm)]
        together = _last_set(rows)
        raw = next((row for row in rows if row.estimate == RAW), None)
        if raw is None:
            continue
        minus = f"{plain(arm)} minus {plain(raw.baseline)}"
        if raw.difference is None:
            why = raw.note if raw.n and raw.n_baseline else "no scored unit of one of them has every covariate"
            yield f"At equal token determinism nothing can be said of {minus}: {why}."
            continue
        tried = [row for row in rows if row.estimate != RAW and row.covariates == (together or row.covariates)]
        if together is None or all(row.difference is None for row in tried):
            reasons = listed(list(dict.fromkeys(row.note for row in tried if row.note)))
            yield f"At equal token determinism nothing can be said of {minus}: {reasons}."
            continue
        found = {row.estimate: row for row in rows if row.covariates == together}
        if found[CORRECTED].difference is None:  # all together may be too noisy where one alone is not
            alone = [row for row in rows if row.estimate == CORRECTED and row.covariates == together[-1:]]
            found[CORRECTED] = next(iter(alone), found[CORRECTED])
        yield (
            f"At equal token determinism ({_DECOMPOSITION}) {minus} ({number(raw.difference)} as it is) is "
            f"{_shown(found[ADJUSTED])} adjusted for {_words(together)}; {_shown(found[MATCHED])} in "
            f"{found[MATCHED].pairs} matched pairs ({found[MATCHED].share_matched:.0%} of the units); "
            f"{_corrected(found[CORRECTED])}{_left_out(found[ADJUSTED])}."
        )


def missing(outcome: Outcome) -> Iterator[str]:
    """What a folder of an earlier version can't tell."""
    if not outcome.adjusted and any(True for _ in held_against(outcome.study, outcome.arms)):
        yield (
            "How much of a difference between arms is token determinism is not told: this folder has no table "
            "`adjusted`, which the stage compare writes."
        )


def section(outcome: Outcome) -> str:
    """The table of all estimates, or '' in a folder without them."""
    rows = []
    for slice_name in outcome.slices:
        of_slice = _of(outcome, slice_name)
        for pair in dict.fromkeys((row.arm, row.baseline) for row in of_slice):
            own = [row for row in of_slice if (row.arm, row.baseline) == pair]
            sets = [names for names in dict.fromkeys(row.covariates for row in own) if names]
            for names in sets if slice_name == outcome.headline.slice else sets[-1:]:
                rows.append(_line(slice_name, own, names))
    if not rows:
        return ""
    words = (
        "A unit that one token decides is easily explained by naming it, and arms differ in how many such units they "
        "have. Held equal here, by what evidence alone says of each unit: the logarithm of its density; the entropy of "
        "the tokens under its top peaks; the mean logarithm of their frequency; and what a table of mean activation "
        "per token scores on evidence that it is not of. *Adjusted*: analysis of covariance with arm x covariate, at "
        "the mean of all units (HC3). *Matched*: as many 1:1 pairs as there are within "
        f"{CALIPER} standard deviations, paired differences; where less than {SUPPORT:.0%} find a partner there is no "
        "common support, and no estimate. *Corrected*: adjusted, without the noise of the covariates at their "
        "reliability by halves, for the table is measured on few contexts: what is adjusted for it alone is an upper "
        f"bound. The imbalance is the largest standardised difference of a covariate; up to {_BALANCED} is balanced. "
        f"All of this is a {_DECOMPOSITION}: token determinism may be how features come to be interpretable. No test "
        "is made of these numbers."
    )
    head = [
        "contexts", "difference of", "held equal", "raw", "adjusted", "matched", "pairs", "imbalance, matched",
        "corrected", "reliability",
    ]  # fmt: skip
    return f"### At equal token determinism\n\n{words}\n\n{table(head, rows, left=3)}"


def _line(slice_name: str, rows: Sequence[AdjustedRow], names: tuple[str, ...]) -> list[str]:
    raw = next(row for row in rows if row.estimate == RAW)
    found = {row.estimate: row for row in rows if row.covariates == names}
    matching = found[MATCHED]
    imbalance = f"{_largest(matching.before)} to {_largest(matching.after)}" if matching.after else UNKNOWN
    share = "" if matching.share_matched is None else f" ({matching.share_matched:.0%})"
    return [
        slice_words(slice_name), f"{escape(plain(raw.arm))} minus {escape(plain(raw.baseline))}", _words(names),
        number(raw.difference), _cell(found[ADJUSTED]), _cell(matching), f"{matching.pairs}{share}", imbalance,
        _cell(found[CORRECTED]), ", ".join(number(one) for one in found[CORRECTED].reliability) or UNKNOWN,
    ]  # fmt: skip


def _largest(differences: Sequence[float]) -> str:
    return number(max(map(abs, differences)))


def _cell(row: AdjustedRow) -> str:
    return escape(row.note) if row.difference is None else _shown(row)


def _shown(row: AdjustedRow) -> str:
    if row.difference is None:
        return f"unknown ({row.note})"
    return with_interval(row.difference, row.low, row.high)


def _corrected(row: AdjustedRow) -> str:
    if row.difference is None:
        return f"what the noise of the covariates hides is not known ({row.note})"
    reliability = " and ".join(number(one) for one in row.reliability)
    return f"{_shown(row)} adjusted for {_words(row.covariates)} at a reliability of {reliability}"


def _left_out(row: AdjustedRow) -> str:
    return f". Not held equal, for {NO_SUPPORT}: {_words(row.left_out)}" if row.left_out else ""


def _words(names: Sequence[str]) -> str:
    return listed([covariate_words(name) for name in names])


def _asked(outcome: Outcome, arm: str) -> tuple[str, str | None]:
    return arm, outcome.baseline_of(arm)


def _of(outcome: Outcome, slice_name: str) -> list[AdjustedRow]:
    cell = outcome.headline
    return [
        row for row in outcome.adjusted if (row.scorer, row.metric, row.slice) == (cell.scorer, cell.metric, slice_name)
    ]


def _last_set(rows: Sequence[AdjustedRow]) -> tuple[str, ...] | None:
    """All covariates that can be held equal together."""
    return next((row.covariates for row in reversed(rows) if len(row.covariates) > 1), None)
