"""Where the variance of a score comes from, in plain sentences, and what a paper says of it."""

from __future__ import annotations

from collections.abc import Iterator

from autointerp.between_runs.by_factor import ALL_FACTORS, CONSISTENCY, PIPELINE, SAE, SAMPLING, SHARE, TOP, UNITS
from autointerp.between_runs.factor_results import FactorResults
from autointerp.between_runs.redrawn import ReadAs
from autointerp.compare.replicates import ICC, MEAN, RANK, REPLICATE, RESIDUAL
from autointerp.compare.words import (
    capital,
    deviation,
    listed,
    metric_words,
    number,
    share_text,
    with_interval,
)
from autointerp.contexts.slices import slice_words
from autointerp.metrics.shares import TOTAL, UNIT
from autointerp.records import Pairing
from autointerp.simulate.literal import LITERAL
from autointerp.simulate.lookup import LOOKUP
from autointerp.units.arms import plain
from autointerp.units.features import Features
from autointerp.variance_rows import FactorRow

FACTOR_WORDS = {
    "corpus": "corpus", SAE: "SAE seed", UNITS: "choice of units", "evidence": "draw of contexts",
    "explain": "explainer", "simulate": "simulator", UNIT: "the unit itself",
    PIPELINE: "all but SAE seed and units", ALL_FACTORS: "all but the units",
}  # fmt: skip
PAPER = (
    "[Building Fast, Evaluating Slow: Pipeline Choices Dominate Autointerpretability Score Variance]"
    "(https://openreview.net/forum?id=HMUSKNJO6R) (Mechanistic Interpretability Workshop, ICML 2026; of its abstract)"
)
GOOD = 0.75
"""Agreement from which on it is called good (Koo and Li 2016)."""


def way_words(way: ReadAs) -> str:
    """How to call a way of scoring."""
    if way.pairing == Pairing.SHUFFLED:
        return "another unit's explanation"
    return {LITERAL: "read literally", LOOKUP: "token table"}.get(way.scorer, way.scorer)


def lines_of(results: FactorResults) -> list[str]:
    """The answer, most important first; then what must be known of it."""
    first, *plain_ways = results.ways
    found = [_of_a_unit(results, arm, first) for arm in results.arms]
    for arm, baseline in results.pairs:
        found.append(_of_difference(results, arm, baseline, first))
    for way in plain_ways:
        found += [_beside(results, arm, baseline, way) for arm, baseline in results.pairs]
    found += [line for arm in results.arms if arm.partition(":")[0] == Features.name for line in _ranks(results, arm)]
    found += [_not_alike(results, arm, baseline, first) for arm, baseline in results.pairs]
    found += results.put_together.caveats
    found.append(
        "One factor was drawn anew at a time, around one run: what two of them do together (interactions) is not seen, "
        "and is in no sum."
    )
    if absent := [
        FACTOR_WORDS[name] for name in ("corpus", SAE, "evidence", "explain", "simulate") if name not in results.factors
    ]:
        found.append(f"Not drawn anew, and so held as if they did nothing: {listed(absent)}.")
    return [line for line in found if line]


def _shares(results: FactorResults, arm: str, way: ReadAs) -> list[FactorRow]:
    """Of the unit itself and of every factor, the largest first."""
    found = [results.row(SHARE, way, arm, factor=name) for name in (UNIT, *results.in_sums)]
    return sorted((row for row in found if row is not None), key=lambda row: -(row.value or 0.0))


def _of_a_unit(results: FactorResults, arm: str, way: ReadAs) -> str:
    rows, total = _shares(results, arm, way), results.row(TOTAL, way, arm)
    if not rows or total is None:
        return f"The scores of {plain(arm)} can't be put together: not every run has scores in every draw."
    told = [f"{FACTOR_WORDS[row.factor]} {share_text(row.value, row.low, row.high)}" for row in rows]
    return (
        f"The variance of one score of {plain(arm)} ({way_words(way)}, {metric_words(total.metric)}, "
        f"{slice_words(total.slice)}; standard deviation {deviation(total.value, None, None)}) is due to: "
        f"{listed(told)}."
    )


def _of_difference(results: FactorResults, arm: str, baseline: str, way: ReadAs) -> str:
    found = [(name, results.row(REPLICATE, way, arm, baseline, name)) for name in results.factors]
    told = [f"{FACTOR_WORDS[name]} {_root(row)}" for name, row in found if row is not None]
    whole, sampling = results.row(REPLICATE, way, arm, baseline), results.row(SAMPLING, way, arm, baseline)
    if not told or whole is None or sampling is None:
        return f"{capital(plain(arm))} minus {plain(baseline)} can't be put together: an arm has no score in some draw."
    return (
        f"{capital(plain(arm))} minus {plain(baseline)} varies between draws with a standard deviation of: "
        f"{', '.join(told)}; of {FACTOR_WORDS[ALL_FACTORS]} together {_root(whole)}. The choice of units gives "
        f"{_root(sampling)} in one draw by itself: {_against(whole, sampling.value or 0.0)}."
    )


def _against(row: FactorRow, variance: float) -> str:
    if row.low is None or row.high is None:
        return "which of both is larger can't be told"
    if row.low > variance:
        return "what is drawn anew moves the difference more than the choice of units does"
    if row.high < variance:
        return "what is drawn anew moves the difference less than the choice of units does"
    return "which of both is larger can't be told from so few draws"


def _beside(results: FactorResults, arm: str, baseline: str, way: ReadAs) -> str:
    whole = results.row(REPLICATE, way, arm, baseline)
    means = [results.row(MEAN, way, arm, baseline, name) for name in results.factors]
    known = [row.value for row in means if row is not None and row.value is not None]
    if whole is None or not known:
        return ""
    units = [
        f"{share_text(row.value)} of {plain(name)}"
        for name in (arm, baseline)
        if (row := results.row(SHARE, way, name, factor=UNIT)) is not None
    ]
    own = f"; the unit itself is {listed(units)}" if units else ""
    ends = dict.fromkeys((number(min(known)), number(max(known))))
    return f"Beside it, {way_words(way)}: the difference is {' to '.join(ends)} and varies by {_root(whole)}{own}."


def _not_alike(results: FactorResults, arm: str, baseline: str, way: ReadAs) -> str:
    """Of which factors the units of one arm stay and those of the other do not."""
    known = {
        name: [one for one in (arm, baseline) if results.row(RESIDUAL, way, one, factor=name) is not None]
        for name in results.in_sums
    }
    apart = [FACTOR_WORDS[name] for name, arms in known.items() if arms == [baseline]]
    if not apart:
        return ""
    return (
        f"What {listed(apart)} does to a unit alone is known of {plain(baseline)} and not of {plain(arm)}, which are "
        "other ones in each draw: there it is in the unit itself, so the unit's own shares of both are not alike."
    )


def _ranks(results: FactorResults, arm: str) -> Iterator[str]:
    told = []
    for name in results.factors:
        again, rank, top = (results.row(part, results.ways[0], arm, factor=name) for part in (ICC, RANK, TOP))
        if again is not None and rank is not None and top is not None:
            told.append(
                f"{FACTOR_WORDS[name]} {with_interval(again.value, again.low, again.high)} "
                f"(ranks {number(rank.value)}, best quarter {share_text(top.value)})"
            )
    if told:
        yield (
            f"The same {plain(arm)} in another draw agree (ICC(2,1), Spearman's correlation, and how much of the best "
            f"quarter stays; 25% by chance): {', '.join(told)}."
        )


def of_the_paper(results: FactorResults) -> Iterator[str]:
    """What the paper on this question found, and whether these runs agree: a line for each of its results."""
    for arm in results.arms:
        if arm.partition(":")[0] == Features.name:
            yield _first_result(results, arm)
    yield (
        "**Each metric has its own instability; detection is the most stable, fuzzing is unreliable** (R2). Not looked "
        "at: these runs score simulations alone."
    )
    for arm in results.arms:
        if arm.partition(":")[0] == Features.name:
            yield _third_result(results, arm)


def _first_result(results: FactorResults, arm: str) -> str:
    said = "**Corpus, sampling and explainer together move scores more than the SAE's architecture does** (R1). "
    way = results.ways[0]
    ours, theirs = results.row(REPLICATE, way, arm, factor=PIPELINE), results.row(REPLICATE, way, arm, factor=SAE)
    if (
        ours is None
        or theirs is None
        or ours.low is None
        or ours.high is None
        or theirs.low is None
        or theirs.high is None
    ):
        return f"{said}Can't be told: it takes a run that redraws the SAE, and others."
    pipeline = listed([FACTOR_WORDS[name] for name in results.in_sums if name != SAE])
    shown = (
        f"Here {pipeline}, drawn anew, move the mean of {plain(arm)} by a standard deviation of {_root(ours)} "
        f"together, another seed of the SAE by {_root(theirs)}: "
    )
    if ours.low > theirs.high:
        verdict = "the same order"
    elif ours.high < theirs.low:
        verdict = "the other order"
    else:
        verdict = "which is larger can't be told from so few draws"
    rest = (
        "A seed is not an architecture, and our choices are other draws of one kind, where the paper changes the kind."
    )
    return f"{said}{shown}{verdict}. {rest}"


def _third_result(results: FactorResults, arm: str) -> str:
    said = "**Rankings of features do not stay the same over corpora and draws, behind means that do** (R3). "
    way = results.ways[0]
    again, top = (results.row(part, way, arm, factor="evidence") for part in (CONSISTENCY, TOP))
    shift = results.row(REPLICATE, way, arm, factor="evidence")
    if again is None or top is None or shift is None or again.low is None or again.high is None:
        return f"{said}Can't be told: it takes a run that redraws the contexts (evidence) of the same features."
    if again.high < GOOD:
        verdict = "it agrees"
    elif again.low >= GOOD:
        verdict = "it does not agree: single features keep their scores"
    else:
        verdict = f"can't be told ({GOOD:g} is where agreement is called good, Koo and Li 2016)"
    trained = any(sae.train for sae in results.study.sae)
    rest = " With another corpus features are other ones here, for the SAE is trained on it." if trained else ""
    return (
        f"{said}Here, with other contexts of the same text, the mean moves by {_root(shift)}; but for that a feature's "
        f"scores agree by {with_interval(again.value, again.low, again.high)}, and {share_text(top.value)} of the best "
        f"quarter stay there (25% by chance): {verdict}.{rest}"
    )


def _root(row: FactorRow) -> str:
    return deviation(row.value, row.low, row.high)
