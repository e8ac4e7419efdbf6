"""What must be said beside the answer: each caveat is chosen by what the run's numbers are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from autointerp.compare.outcome import Outcome
from autointerp.compare.strata import SINGLE_TOKEN, SINGLE_TOKEN_SHARE, STRATA
from autointerp.compare.words import capital, number, with_interval
from autointerp.contexts.slices import RANDOM_ONLY
from autointerp.records import Pairing, Status
from autointerp.report import imported
from autointerp.report.answer import Verdict, mean_of, verdict_of
from autointerp.report.provenance import builtin_text_of
from autointerp.rows import READ_LITERALLY, TOKEN_TABLE, ComparisonRow
from autointerp.simulate.lookup import LOOKUP
from autointerp.tables import PROPOSALS, read_table
from autointerp.units.arms import plain

_COVERAGE = 0.95
_DERANGEMENTS = 16
"""Fewer are said to be few."""
_NULL = 0.03
_FAILED = 0.05
"""Share of the units for which an explainer may fail unsaid."""
_FEW = 48
_OUT_OF_CONTEXT = ("lift", "reader", LOOKUP)


def caveats(outcome: Outcome) -> list[str]:
    """Sentences, in the order in which they matter."""
    return [line for caveat in _CAVEATS for line in caveat(outcome)]


def _differences(outcome: Outcome, slice_name: str) -> Iterator[ComparisonRow]:
    cell = replace(outcome.headline, slice=slice_name)
    for arm in outcome.feature_arms:
        row = outcome.against_baseline(cell, arm)
        if row is not None:
            yield row


def _published(outcome: Outcome) -> Iterator[str]:
    yield from imported.sentences(outcome.run_dir)


def _null_holds(outcome: Outcome) -> Iterator[str]:
    for arm in outcome.arms:
        row = outcome.row(outcome.headline, arm, pairing=Pairing.SHUFFLED)
        if row is not None and row.mean is not None and abs(row.mean - row.chance) > _NULL:
            yield (
                f"The null of {plain(arm)} is not at chance: with another unit's explanation they score "
                f"{mean_of(row)}. "
                "Part of their score is text statistics, not the explanation; read it as the difference from that."
            )


def _few_derangements(outcome: Outcome) -> Iterator[str]:
    drawn = outcome.study.compare.derangements
    if drawn < _DERANGEMENTS:
        plural = "pairings" if drawn > 1 else "pairing"
        yield (
            f"The null rests on {drawn} {plural} of every unit with another unit's explanation, and not on "
            f"{_DERANGEMENTS}: its intervals are wider."
        )


def _coverage(outcome: Outcome) -> Iterator[str]:
    for arm in outcome.arms:
        row = outcome.row(outcome.headline, arm)
        if row is not None and row.coverage is not None and row.coverage < _COVERAGE:
            yield (
                f"Only {row.coverage:.0%} of the sampled {plain(arm)} could be scored. Were the others at chance, "
                "the mean "
                f"would be {number(row.mean_unscored_at_chance)} instead of {number(row.mean)}."
            )


def _where_the_effect_is(outcome: Outcome) -> Iterator[str]:
    if RANDOM_ONLY not in outcome.slices[1:]:
        return
    confidence = outcome.study.compare.confidence
    alone = {row.arm: row for row in _differences(outcome, RANDOM_ONLY)}
    for row in _differences(outcome, outcome.headline.slice):
        found, other = verdict_of(row, confidence), alone.get(row.arm)
        if other is None or found not in (Verdict.MORE, Verdict.LESS):
            continue
        beside = verdict_of(other, confidence)
        if beside is found:
            yield f"The difference of {plain(row.arm)} and {plain(row.baseline)} is there on random contexts alone too."
        elif beside in (Verdict.MORE, Verdict.LESS):
            yield (
                f"On random contexts alone the difference between {plain(row.arm)} and {plain(row.baseline)} has the "
                "opposite sign: the answer depends on which text one looks at."
            )
        else:
            yield (
                f"The difference between {plain(row.arm)} and {plain(row.baseline)} is in the top contexts: on random "
                "contexts alone, the text that a unit mostly meets, it is not shown."
            )


def _explainers_that_fail(outcome: Outcome) -> Iterator[str]:
    path = outcome.run_dir / PROPOSALS
    if not path.is_file():
        return
    found = read_table(path, ["unit", "explainer", "spare", "status"])
    for name, rows in found[~found["spare"]].groupby("explainer", sort=False):
        lost = (rows["status"] != Status.OK.value).groupby(rows["unit"]).all()
        if lost.mean() > _FAILED:
            yield (
                f"Explainer '{name}' failed for {int(lost.sum())} of {len(lost)} units ({lost.mean():.0%}): what "
                'explains them was written by others. The reasons are under "What was proposed".'
            )


def _words_do_as_well(outcome: Outcome) -> Iterator[str]:
    if not outcome.has_literal:
        return
    for arm in outcome.arms:
        row = outcome.row(outcome.headline, arm, READ_LITERALLY)
        if row is not None and verdict_of(row, outcome.study.compare.confidence) is Verdict.LESS:
            yield (
                f"Matching the words of the explanations beats the simulator for {plain(arm)}: their score says how "
                "far their peaks fall on few strings, and not that a reader understands them."
            )


def _tokens_only(outcome: Outcome) -> Iterator[str]:
    if outcome.headline.scorer not in _OUT_OF_CONTEXT:
        return
    yield (
        "The simulator sees each token by itself, not its context: part of a gap between arms is how far a token "
        "alone determines a unit."
    )


def _ceiling(outcome: Outcome) -> Iterator[str]:
    if not outcome.has_lookup:
        return
    beaten = []
    for arm in outcome.arms:
        own = outcome.row(outcome.headline, arm)
        table = outcome.row(replace(outcome.headline, scorer=LOOKUP), arm)
        if own is None or table is None or own.high is None or table.low is None:
            continue
        apart = outcome.row(outcome.headline, arm, TOKEN_TABLE)
        below = apart.difference_high if apart is not None else own.high - table.low  # a run of before has no gap
        if below is not None and below < 0:
            beaten.append(f"{number(table.mean)} against {number(own.mean)} for {plain(arm)}")
    if beaten:
        yield (
            f"A table of tokens beats the explanations ({'; '.join(beaten)}): "
            "the explanations say less than a list of words could."
        )


def _directions(outcome: Outcome) -> Iterator[str]:
    arms = [arm for arm in outcome.arms if arm.startswith("direction")]
    rows = [row for arm in arms if (row := outcome.row(outcome.headline, arm)) is not None and row.low is not None]
    above = [row for row in rows if row.low is not None and row.low > row.chance]
    if above:
        yield (
            f"{capital(_named(above))} score above chance: they read what the layer carries, and that is in good part "
            "which token it stands on. They, not zero, are what an arm scores that nobody trained."
        )
    if len(above) < len(rows):
        yield f"{capital(_named([r for r in rows if r not in above]))} are not told apart from chance."


def _noise(outcome: Outcome) -> Iterator[str]:
    rows = [row for arm in outcome.arms if arm.startswith("noise") and (row := outcome.row(outcome.headline, arm))]
    for row in rows:
        if row.low is not None and row.high is not None:
            if row.low > row.chance:
                yield (
                    f"{capital(plain(row.arm))}, whose values have nothing to do with the text, score {mean_of(row)}: "
                    "choosing the best of several explanations scores by itself, and so does part of every arm."
                )
            else:
                yield (
                    f"Choosing the best of several explanations scores nothing by itself: {plain(row.arm)}, whose "
                    f"values have nothing to do with the text, get {mean_of(row)} ({row.n} units)."
                )


def _named(rows: list[ComparisonRow]) -> str:
    return " and ".join(f"{plain(row.arm)} ({mean_of(row)})" for row in rows)


def _single_tokens(outcome: Outcome) -> Iterator[str]:
    for arm in outcome.feature_arms:
        rows = [outcome.row(replace(outcome.headline, stratum=s), arm) for s in STRATA]
        total, single = ((r.n + r.unscored if r else 0) for r in rows[:2])
        if single:
            yield (
                f"{single} of {total} {plain(arm)} are {SINGLE_TOKEN} units (at least {SINGLE_TOKEN_SHARE:.0%} of "
                "their top "
                "contexts peak on one token). Randomised models have many of those too; see the table by stratum."
            )


def _few_units(outcome: Outcome) -> Iterator[str]:
    for row in _differences(outcome, outcome.headline.slice):
        fewest = min(row.n, row.n_baseline or 0)
        if 0 < fewest < _FEW:
            shown = with_interval(row.difference, row.difference_low, row.difference_high)
            yield f"{fewest} units are few: the interval of the difference is {shown}. Sample {_FEW} or more."


def _one_draw(outcome: Outcome) -> Iterator[str]:
    trained = any(sae.train is not None for sae in outcome.study.sae) and bool(outcome.feature_arms)
    if outcome.study.compare.replicates > 1:
        redrawn = ", ".join(outcome.study.compare.redraw)
        yield f"Replicates draw {redrawn} anew and nothing else: the rest is one draw, and no interval covers it."
        return
    what = "One training of the SAE, one" if trained else "One"
    yield (
        f"{what} draw of text and one draw of units: the intervals cover the choice of units only, not what another "
        "corpus, seed or explainer would give."
    )


def _other_text(outcome: Outcome) -> Iterator[str]:
    text = builtin_text_of(outcome)
    if text is not None and text.differences:
        yield (
            f"This run is about another text than the published one: {text.line}. Part of what differs from the "
            "published numbers is the text."
        )


_CAVEATS: tuple[Callable[[Outcome], Iterator[str]], ...] = (
    _published,
    _null_holds,
    _explainers_that_fail,
    _few_derangements,
    _coverage,
    _where_the_effect_is,
    _words_do_as_well,
    _tokens_only,
    _ceiling,
    _directions,
    _noise,
    _single_tokens,
    _few_units,
    _one_draw,
    _other_text,
)
