"""What people, and models, gave the units when they rated them blindly: the report's section."""

from __future__ import annotations

from collections.abc import Iterator

from autointerp.compare.outcome import Outcome
from autointerp.compare.ratings import (
    TOTAL,
    Rated,
    agreement,
    contrasts,
    models,
    of_arms,
    of_decoys,
    people,
    plan_of,
    ranks_agree,
    scores_of,
)
from autointerp.compare.words import listed, number, with_interval
from autointerp.metrics.intervals import Interval
from autointerp.report.markdown import UNKNOWN, code, escape, table
from autointerp.units.arms import plain

_FEW_RATERS = 5
"""Below it the measured coverage of medians is under what the interval says (`metrics/crossed.py`)."""
_RUBRIC = (
    "Raters saw units of all arms in a seeded order, without arm, index, sign or scale: their explanation, windows of "
    "text over the whole range of activations, and gave points by the rubric of Towards Monosemanticity for "
    "confidence (0 to 3), consistency of activations (0 to 5){logits} and specificity (0 to 3): {points} at most. "
    "There raters wrote the explanation themselves; here they judge the run's. Among the items are *decoys*, which "
    "show the explanation of another unit of the arm: what those get is the rubric's own chance level, and it is not 0."
)


def section(outcome: Outcome) -> str:
    """Ratings by people, then by each model; '' in a run that was not rated."""
    by_people, by_models = people(outcome), models(outcome)
    first = by_people or next(iter(by_models), None)
    if first is None:
        return ""
    logits = ", consistency of promoted tokens (0 to 3)" if len(first.parts) > 3 else ""
    parts = ["## Rated blindly", _RUBRIC.format(logits=logits, points=first.points)]
    if by_people is not None:
        parts += ["### By people", *_of_raters(by_people), *_agreement(by_people)]
    for model in by_models:
        parts += [f"### By {code(model.raters[0], cell=False)}, a model", *_of_raters(model)]
    return "\n\n".join([*parts, *_against(outcome, by_people, by_models)])


def _of_raters(rated: Rated) -> Iterator[str]:
    yield " ".join(_words(rated))
    decoys = of_decoys(rated)
    rows = [
        [
            escape(plain(each.arm)), _cell(each.median), f"{number(each.quartiles[0])} to {number(each.quartiles[1])}",
            *(number(value) for value in each.parts.values()), _cell(each.above_decoys), str(each.units),
        ]
        for each in of_arms(rated)
    ]  # fmt: skip
    count = len(rated.matrix(None, decoys=True))
    if count:
        rows.append(["*decoys*", _cell(decoys), UNKNOWN, *(UNKNOWN for _ in rated.parts), UNKNOWN, str(count)])
    head = ["arm", f"median of {rated.points}", "middle half", *rated.parts, "above a decoy", "units"]
    yield table(head, rows)
    apart = [
        [f"{escape(plain(each.arm))} minus {escape(plain(each.baseline))}", _cell(each.difference),
         _cell(each.superiority), f"{each.units[0]} v {each.units[1]}"]
        for each in contrasts(rated)
    ]  # fmt: skip
    if apart:
        yield table(["difference of", "medians", "superiority", "units"], apart)


def _words(rated: Rated) -> Iterator[str]:
    own, decoys = (len(rated.matrix(None, decoys=decoy)) for decoy in (False, True))
    raters = len(rated.raters)
    who = "One rater" if raters == 1 else f"{raters} raters"
    yield f"{who} answered {own} units with their own explanation and {decoys} decoys"
    if rated.seconds is not None:
        yield f"(median {rated.seconds:.0f} seconds each)."
    else:
        yield "(one answer each)."
    over = "units alone, for this rater" if raters == 1 else "units and raters, both drawn again"
    confidence = f"{plan_of(rated.outcome).confidence:.0%}"
    yield (
        f"A unit's rating is the mean over its raters. Intervals ({confidence}) are over {over}. *Above "
        "a decoy*: the probability that a unit gets more than a decoy of any arm (0.5: no better than chance). "
        "The parts are means."
    )
    if 1 < raters < _FEW_RATERS:
        yield "With so few raters the interval of a median may be too narrow; a difference's is not."
    missing = [escape(plain(arm)) for arm in rated.outcome.arms if arm not in rated.arms]
    if missing:
        yield f"Without a rated unit: {listed(missing)}."
    left = rated.left_out
    counted = [
        f"{count} {what}"
        for count, what in (
            (left.skipped, "passed over or unreadable"),
            (left.stale, "of explanations that the run no longer has"),
            (left.other_points, f"that were not out of {rated.points} points"),
        )
        if count
    ]
    if counted:
        yield f"Not counted: {listed(counted)}."


def _agreement(rated: Rated) -> Iterator[str]:
    if len(rated.raters) == 1:
        yield "With one rater nothing can be said of agreement."
        return
    rows = [
        [part, _cell(alpha) if alpha.value is not None else UNKNOWN, escape(alpha.note)]
        for part, alpha in agreement(rated).items()
    ]
    yield (
        "Agreement is Krippendorff's alpha for ordinal data, over all items that two raters or more answered, decoys "
        "included: 1 is perfect, 0 what chance gives; the interval is over items."
    )
    yield table(["rated", "alpha", "note"], rows)


def _against(outcome: Outcome, by_people: Rated | None, by_models: list[Rated]) -> Iterator[str]:
    """Ranks of people, models and the headline score."""
    scores, rows = scores_of(outcome), []
    scorer = f"the score by {code(outcome.headline.scorer)}"
    pairs = [(f"{code(model.raters[0])} and {scorer}", model.of_unit(), scores) for model in by_models]
    if by_people is not None:
        given = by_people.of_unit()
        pairs = [
            (f"people and {scorer}", given, scores),
            *((f"people and {code(model.raters[0])}", given, model.of_unit()) for model in by_models),
            *pairs,
        ]
    for name, first, second in pairs:
        found, units = ranks_agree(first, second, outcome, [name])
        rows.append([name, _cell(found) if found.value is not None else escape(found.note), str(units)])
    if rows:
        yield "### Ratings beside scores"
        yield (
            "Spearman's correlation over units with their own explanation, all arms together, with an interval over "
            f"units. Decoys are left out: they would raise it. {TOTAL.capitalize()}s of people are means over raters."
        )
        yield table(["between", "rank correlation", "units"], rows)


def _cell(found: Interval) -> str:
    return UNKNOWN if found.value is None else with_interval(found.value, found.low, found.high)
