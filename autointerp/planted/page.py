"""`benchmark.md`: what was planted, what each method can tell, and what it can't."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from autointerp.artifacts import write_text
from autointerp.compare.words import number, with_interval
from autointerp.metrics.metrics import CONSTANT_PREDICTION
from autointerp.planted.findings import NOTHING, TOO_FEW, Standing, amount, findings, interval_of, verdict
from autointerp.planted.meanings import KINDS, NOISE
from autointerp.planted.pairings import EXPLANATIONS, NONE
from autointerp.planted.results import PAGE, PICTURE, Results, read_results
from autointerp.planted.statistics import (
    AGAINST_NOISE,
    ALL,
    BOTH,
    DEVELOPMENT,
    HALVES,
    TEST,
    WORD_LIKE,
    Scores,
    with_unscored_at_chance,
)
from autointerp.planted.units import NEAR_MISS, OTHER, TRUE, WRONG
from autointerp.report.markdown import escape, prose, table
from autointerp.rows import BenchmarkRow

_MARKS = {Standing.ABOVE: "**{}**", Standing.BELOW: "{} below chance", Standing.CHANCE: "{} chance"}


def page(results: Results) -> str:
    """The whole page; the same tables give the same text."""
    return "\n\n".join(part for part in _parts(results) if part) + "\n"


def _parts(results: Results) -> Iterator[str]:
    yield "# Do the methods measure something?"
    yield _about(results)
    yield "## What came out\n\n" + "\n".join(f"- {prose(line)}" for line in findings(results))
    yield f"![Every method against every sort of wrong explanation](figures/{PICTURE}.svg)"
    yield _headline(results, TEST, "## On the frozen half, all kinds together")
    yield _alone(results)
    yield _pooled(results)
    yield _headline(results, DEVELOPMENT, "## On the half that prompts may be tuned on")
    yield _by_kind(results, NEAR_MISS, "## By kind: against a near miss")
    yield _by_kind(results, OTHER, "## By kind: against another unit's explanation")
    yield _unseen(results)
    yield _calibration(results)
    yield _coverage(results)
    yield _units(results)
    yield _not_run(results)


def _about(results: Results) -> str:
    about = results.about
    contexts = ", ".join(f"{count:,} {split}" for split, count in about.contexts.items())
    return (
        "Planted units: scalars over real text whose meaning is known, because a rule over the text made them. Each "
        "has a true explanation and four wrong ones: a near miss, one too broad, one too narrow, another unit's. A "
        "method scores the unit with each of them, and what counts is how often the true one scores higher: 0.50 is "
        "chance, a tie counts half. A meaning that is planted twice (graded and binary) counts once in means and "
        "intervals; *n* counts units.\n\n"
        f"Corpus {escape(about.corpus)} ({contexts} contexts), tokens of {escape(about.tokenizer)}, seed "
        f"{about.seed}, autointerp {escape(about.version)}. Intervals: {about.confidence:.0%}, over meanings, "
        f"{about.resamples:,} resamples. Simulators are scored by the pooled Pearson correlation on held-out contexts "
        "(5 top, 5 random), judges by the AUROC of their answers."
    )


def _headline(results: Results, half: str, heading: str) -> str:
    rows = []
    for scores in results.scores:
        found = [results.row(scores.method, ALL, wrong, half) for wrong in WRONG]
        first = next((row for row in found if row is not None), None)
        if first is None:
            continue
        rows.append((
            escape(scores.method), f"{first.n}", *(_cell(row) for row in found), _null(first),
            f"{first.coverage:.0%}", amount(first.tokens_per_unit), amount(first.seconds_per_unit),
        ))  # fmt: skip
    if not rows:
        return ""
    head = ("method", "n", *WRONG, "score with another's", "coverage", "tokens", "seconds")
    legend = (
        "**Bold**: the whole interval is above chance. *score with another's*: the mean of the null, which is 0 for a "
        "simulator and 0.50 for a judge that measure the explanation and not the text. *tokens* and *seconds*: for one "
        "unit with one explanation; `?` where part of the answers came from the ledger, so that it can't be told."
    )
    return f"{heading}\n\n{table(head, rows)}\n\n{legend}"


def _alone(results: Results) -> str:
    """Methods that read no explanation."""
    rows = []
    for scores in results.scores:
        for half in HALVES:
            row = results.row(scores.method, ALL, AGAINST_NOISE, half)
            if row is not None:
                noise = sum(1 for _ in scores.values(half, NOISE, NONE))
                rows.append((
                    escape(scores.method), half, f"{row.n}", f"{noise}", _cell(row), _null(row),
                    f"{row.coverage:.0%}", amount(row.tokens_per_unit), amount(row.seconds_per_unit),
                ))  # fmt: skip
    if not rows:
        return ""
    head = ("method", "half", "n", "n noise", "P(above noise)", "score of noise", "coverage", "tokens", "seconds")
    text = (
        "These read no explanation, so that there is no wrong one: how often does a unit that means something score "
        "above a unit that means nothing?"
    )
    return f"## Methods that read no explanation\n\n{text}\n\n{table(head, rows, left=2)}"


def _pooled(results: Results) -> str:
    rows = [
        (escape(scores.method), f"{found[0].n}", *(_cell(row) for row in found))
        for scores in results.scores
        if (found := [row for w in WRONG if (row := results.row(scores.method, WORD_LIKE, w, TEST)) is not None])
    ]
    if not rows:
        return ""
    kinds = ", ".join(f"`{kind}`" for kind, about in KINDS.items() if about.word_like)
    return (
        "## Word-like kinds alone, frozen half\n\nKinds that the token (with the rest of its word) decides: "
        f"{kinds}.\n\n{table(('method', 'n', *WRONG), rows)}"
    )


def _by_kind(results: Results, wrong: str, heading: str) -> str:
    methods = [scores for scores in results.scores if scores.explained]
    kinds = [kind for kind in KINDS if kind != NOISE and any(kind in scores.kinds for scores in methods)]
    if not kinds:
        return ""
    rows = []
    for kind in kinds:
        found = [results.row(scores.method, kind, wrong, BOTH) for scores in methods]
        rows.append((f"`{kind}`", *(_seen(row, kind) for row in found)))
    head = ("kind", *(escape(scores.method) for scores in methods))
    legend = (
        "Both halves together, since half of a kind is a handful of meanings; intervals over fewer than ten are too "
        "narrow. *can't see*: by construction (below). *chance*: the interval holds 0.50. "
        f"*{TOO_FEW}*: no interval, since so few units are all alike."
    )
    return f"{heading}\n\n{legend}\n\n{table(head, rows)}"


def _seen(row: BenchmarkRow | None, kind: str) -> str:
    if row is None:
        return NOTHING
    blind = "can't see: " if row.method in KINDS[kind].unseen else ""
    return f"{blind}{_cell(row)}, n {row.n}"


def _cell(row: BenchmarkRow | None) -> str:
    """An AUROC with its interval, marked by what it says."""
    if row is None or row.auroc is None:
        return NOTHING
    said = verdict(row)
    return f"{interval_of(row)} {TOO_FEW}" if said is Standing.TOO_FEW else _MARKS[said].format(interval_of(row))


def _null(row: BenchmarkRow) -> str:
    return with_interval(row.null_mean, row.null_low, row.null_high)


def _unseen(results: Results) -> str:
    methods = {scores.method for scores in results.scores}
    lines = [
        f"- {escape(method)} can't see `{kind}` ({about.about}): it {why}."
        for kind, about in KINDS.items()
        for method, why in about.unseen.items()
        if method in methods and kind != NOISE
    ]
    return "## What a method can't see\n\n" + "\n".join(lines) if lines else ""


def _calibration(results: Results) -> str:
    rows = [
        (escape(method), f"{found.n}", *(number(found.means[sort].value) for sort in EXPLANATIONS),
         with_interval(found.order.value, found.order.low, found.order.high))
        for method, found in results.calibrations().items()
    ]  # fmt: skip
    if not rows:
        return ""
    text = (
        "Mean score with each sort of explanation, and how well the scores keep to the order "
        f"*{TRUE}* > *too-broad*, *too-narrow* > *near-miss*, *other* (Somers' d: 1 when every pair of different rank "
        "is in order, 0 for chance). The ranks say how much of the unit an explanation predicts: all of it; a part, or "
        "all among more; nothing. A near miss is in the last rank: however near its words are, it names none of the "
        "unit's tokens. Frozen half, all kinds."
    )
    return f"## Does the score fall as the explanation gets worse?\n\n{text}\n\n" + table(
        ("method", "n", *EXPLANATIONS, "order"), rows
    )


def _coverage(results: Results) -> str:
    rows = []
    for scores in results.scores:
        for reason, count in sorted(scores.reasons.items(), key=lambda found: (-found[1], found[0])):
            rows.append((escape(scores.method), escape(reason), f"{count}", _filled(results, scores)))
    if not rows:
        return "## Unscored\n\nEvery unit was scored with every explanation, by every method."
    text = (
        "A failure is a value: such a pair is left out of the means above, and the last column is what P(true above "
        f"near miss) would be with 0.50 in its place. *{CONSTANT_PREDICTION.reason}* is no failure here: the method "
        "found nothing that fits the explanation in these contexts, and is compared as what knowing nothing scores, 0."
    )
    return f"## Unscored\n\n{text}\n\n{table(('method', 'reason', 'scores', 'with 0.50 in place'), rows, left=2)}"


def _filled(results: Results, scores: Scores) -> str:
    if not scores.explained:
        return NOTHING
    row = results.row(scores.method, ALL, NEAR_MISS, TEST)
    filled = with_unscored_at_chance(scores, TEST, ALL, NEAR_MISS)
    return f"{number(filled)} for {number(None if row is None else row.auroc)}"


def _units(results: Results) -> str:
    if not results.scores:
        return ""
    largest = max(results.scores, key=lambda s: sum(_count(s, half, kind) for half in HALVES for kind in s.kinds))
    rows = [
        (f"`{kind}`", KINDS[kind].about, *(f"{_count(largest, half, kind)}" for half in HALVES))
        for kind in largest.kinds
    ]
    total = [f"{sum(_count(largest, half, kind) for kind in largest.kinds)}" for half in HALVES]
    text = table(("kind", "active on", *HALVES), [*rows, ("all", "", *total)], left=2)
    left = ", ".join(f"{count} ({escape(reason)})" for reason, count in results.about.left_out.items())
    models = Counter(model for model in results.about.models.values() if model)
    asked = "; ".join(escape(model) for model in models)
    return (
        f"## The units\n\n{text}\n\nLeft out, because this corpus is too poor for them: {left or 'none'}.\n\n"
        f"Models: {asked or 'none'}."
    )


def _count(scores: Scores, half: str, kind: str) -> int:
    return sum(1 for _ in scores.units(half, kind))


def _not_run(results: Results) -> str:
    if not results.about.not_run:
        return ""
    lines = "\n".join(
        f"- {', '.join(escape(method) for method in names)}: {escape(why)}"
        for why, names in results.about.left_by_reason.items()
    )
    return f"## Not run\n\n{lines}"


def write_page(folder: Path) -> Path:
    """The page again, from the tables: `benchmark.md`."""
    path = folder / PAGE
    write_text(path, page(read_results(folder)))
    return path
