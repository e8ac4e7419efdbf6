"""`variance.md`: where the variance of a score comes from, with every number."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from autointerp.between_runs.answer_by_factor import FACTOR_WORDS, PAPER, lines_of, of_the_paper, way_words
from autointerp.between_runs.by_factor import ALL_FACTORS, CONSISTENCY, PIPELINE, SAMPLING, SHARE, TOP
from autointerp.between_runs.factor_results import PICTURE, FactorResults
from autointerp.compare.replicates import ICC, MEAN, RANK, REPLICATE, RESIDUAL, UNCHANGED
from autointerp.compare.words import capital, deviation, share_text, with_interval
from autointerp.metrics.shares import TOTAL, UNIT
from autointerp.report.markdown import UNKNOWN, escape, prose, table
from autointerp.units.arms import plain
from autointerp.variance_rows import FactorRow


def page_by_factor(results: FactorResults) -> str:
    """The whole page; the same folder gives the same text."""
    return "\n\n".join(part for part in _parts(results) if part) + "\n"


def _parts(results: FactorResults) -> Iterator[str]:
    first, *rest = [prose(line) for line in lines_of(results)]
    yield "# Where the variance of a score comes from"
    yield f"**{first}**"
    yield "\n".join(f"- {line}" for line in rest)
    yield f"![Shares of the variance of a score, and how far the difference moves](figures/{PICTURE}.png)"
    yield "## Shares of the variance of one score"
    for arm in results.arms:
        yield f"{capital(escape(plain(arm)))}:\n\n{_shares(results, arm)}"
    for arm, baseline in results.pairs:
        yield f"## {capital(escape(plain(arm)))} minus {escape(plain(baseline))}"
        yield _difference(results, arm, baseline)
    yield "## Every factor by itself"
    for arm in results.arms:
        yield f"{capital(escape(plain(arm)))}:\n\n{_by_itself(results, arm)}"
    yield f"## What the papers say\n\n{PAPER}:"
    yield "\n".join(f"- {line}" for line in of_the_paper(results))
    yield _how_to_read(results)
    yield _runs(results)


def _shares(results: FactorResults, arm: str) -> str:
    rows = []
    for name in (UNIT, *results.in_sums):
        cells = [results.row(SHARE, way, arm, factor=name) for way in results.ways]
        rows.append([FACTOR_WORDS[name], *(_cell(row, share_text) for row in cells)])
    total = [results.row(TOTAL, way, arm) for way in results.ways]
    rows.append(["standard deviation of one score", *(_cell(row, deviation) for row in total)])
    return table(["due to", *(escape(way_words(way)) for way in results.ways)], rows)


def _difference(results: FactorResults, arm: str, baseline: str) -> str:
    rows = []
    for name in (*results.factors, PIPELINE, ALL_FACTORS):
        found = [results.row(REPLICATE, way, arm, baseline, name) for way in results.ways]
        rows.append([FACTOR_WORDS[name], *(_cell(row, deviation) for row in found)])
    sampling = [results.row(SAMPLING, way, arm, baseline) for way in results.ways]
    rows.append(["what the units of one draw give by chance", *(_cell(row, deviation) for row in sampling)])
    for name in results.factors:
        means = [results.row(MEAN, way, arm, baseline, name) for way in results.ways]
        rows.append(
            [f"the difference over draws of: {FACTOR_WORDS[name]}", *(_cell(row, with_interval) for row in means)]
        )
    words = "Standard deviation of the difference between draws, with intervals; below it the difference itself."
    return f"{words}\n\n{table(['drawn anew', *(escape(way_words(way)) for way in results.ways)], rows)}"


def _by_itself(results: FactorResults, arm: str) -> str:
    rows = []
    for name in results.factors:
        for way in results.ways:
            found = {part: results.row(part, way, arm, factor=name)
                     for part in (MEAN, UNIT, REPLICATE, RESIDUAL, ICC, CONSISTENCY, RANK, TOP)}  # fmt: skip
            mean = found[MEAN]
            if mean is None:
                continue
            unit = found[UNIT]
            rows.append([
                FACTOR_WORDS[name], escape(way_words(way)), str(mean.replicates),
                str(unit.units if unit is not None else mean.units), _cell(mean, with_interval),
                *(_cell(found[part], deviation) for part in (UNIT, REPLICATE, RESIDUAL)),
                *(_cell(found[part], with_interval) for part in (ICC, CONSISTENCY, RANK)),
                _cell(found[TOP], share_text), escape(_note(mean, found[REPLICATE])),
            ])  # fmt: skip
    head = ["drawn anew", "scored by", "draws", "units", "mean", "between units", "shift of all", "on a unit alone",
            "test-retest", "but for the shift", "of ranks", "best quarter", "note"]  # fmt: skip
    return table(head, rows, left=2)


def _note(mean: FactorRow, shift: FactorRow | None) -> str:
    if mean.note == UNCHANGED or shift is None:
        return mean.note or UNKNOWN
    return "; ".join(note for note in (mean.note, shift.note) if note) or UNKNOWN


def _cell(row: FactorRow | None, words: Callable[[float | None, float | None, float | None], str]) -> str:
    return UNKNOWN if row is None else words(row.value, row.low, row.high)


def _how_to_read(results: FactorResults) -> str:
    confidence = results.study.compare.confidence
    return (
        "## How to read it\n\n"
        f"Intervals are of {confidence:.0%}. *Shift of all*: standard deviation between draws of what moves all "
        "units of an arm alike, less what the units give by chance. *On a unit alone*: what a draw does to one "
        "unit beyond that shift; it is known where the units stay the same, and else it is in *between units*. "
        "The share of a factor is both of its parts over the variance of one score of one unit in one draw of "
        "everything; that of the unit itself is what is left. The draw of units is left out of shares and sums: "
        "it must move a mean by no more than chance, which its own line checks. Sums are cut at 0 after adding, "
        "so one may be below its parts. What comes first in the flow of the data holds what follows from it: "
        "another corpus is also another training text of the SAE, other contexts and other explanations, and "
        "other contexts are other explanations, so a factor upstream is too large by what is downstream, and "
        "the unit itself too small. An explainer or simulator of another kind, another model and another SAE "
        "recipe are not drawn. *Test-retest* is ICC(2,1), *but for the shift* ICC(3,1); *best quarter* is how "
        "much of it stays in another draw, 25% by chance. Formulas, and how often the intervals cover: "
        "docs/variance.md."
    )


def _runs(results: FactorResults) -> str:
    study = results.study
    rows = [[escape(one.run), FACTOR_WORDS[one.factor], str(one.replicates), f"`{one.scores}`"]
            for one in results.put_together.runs]  # fmt: skip
    units = study.units
    words = (
        f"Of one study (study.toml): subject `{escape(study.subject.model)}`, {study.corpus.tokens:,} tokens, "
        f"{units.features} features and {units.neurons} neurons. autointerp {escape(results.put_together.version)}."
    )
    return f"## The runs\n\n{words}\n\n{table(['run', 'drawn anew', 'draws', 'hash of its scores'], rows, left=2)}"
