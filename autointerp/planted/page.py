"""`benchmark.md`: what was planted, what each method can tell of what it can see, and the control that it must not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from autointerp.artifacts import write_text
from autointerp.compare.words import number
from autointerp.metrics.metrics import CONSTANT_PREDICTION
from autointerp.planted.findings import NOTHING, findings
from autointerp.planted.meanings import DESCRIPTION, FORMS, KINDS, WORD_LIST
from autointerp.planted.page_tables import alone, by_kind, calibration, control, explainers_end, headline, sanity
from autointerp.planted.results import PAGE, PICTURE, Results, read_results
from autointerp.planted.statistics import DEVELOPMENT, HALVES, SEEN, TEST, Scores, with_unscored_at_chance
from autointerp.planted.units import NEAR_MISS, OTHER
from autointerp.report.markdown import escape, prose, table


def page(results: Results) -> str:
    """The whole page; the same tables give the same text."""
    return "\n\n".join(part for part in _parts(results) if part) + "\n"


def _parts(results: Results) -> Iterator[str]:
    yield "# Do the methods measure something?"
    yield _about(results)
    yield "## What came out\n\n" + "\n".join(f"- {prose(line)}" for line in findings(results))
    yield f"![Every method against every sort of wrong explanation](figures/{PICTURE}.svg)"
    yield headline(results, TEST, DESCRIPTION, "## What a method can see: frozen half, told in descriptions")
    yield headline(results, TEST, WORD_LIST, "## What a method can see: frozen half, told in lists of words")
    yield control(results)
    yield alone(results)
    for form in FORMS:
        yield headline(results, DEVELOPMENT, form, f"## On the half that prompts may be tuned on: as a {form}")
    for form in FORMS:
        yield by_kind(results, OTHER, form, f"## By kind, as a {form}: against another unit's explanation")
        yield by_kind(results, NEAR_MISS, form, f"## By kind, as a {form}: against a near miss")
    yield calibration(results)
    yield sanity(results)
    yield explainers_end(results)
    yield _coverage(results)
    yield _units(results)
    yield _not_run(results)


def _about(results: Results) -> str:
    about = results.about
    contexts = ", ".join(f"{count:,} {split}" for split, count in about.contexts.items())
    return (
        "Planted units: scalars over real text whose meaning is known, because a rule over the text made them. Each "
        "has a true explanation and wrong ones: a near miss, one too broad, one too narrow, and other units' (foils: "
        "all whose meaning hardly touches the unit's). A method scores the unit with each of them, and what counts is "
        "how often the true one scores higher: 0.50 is chance, a tie counts half. Every explanation is told twice, as "
        "a description and as a list of words that its rule finds in the evidence. *n* counts meanings: one that is "
        "planted twice (graded and binary) counts once.\n\n"
        "What a method can see by construction is declared, and the kinds that it sees are never pooled with those "
        "that it is blind to: these are a negative control. *At chance* is said where the whole interval lies within "
        "0.40 and 0.60; an interval that merely holds 0.50 is *too few to tell*. Where all meanings are alike the "
        "bound is the exact binomial one.\n\n"
        f"Corpus {escape(about.corpus)} ({contexts} contexts of {about.tokens} tokens), tokens of "
        f"{escape(about.tokenizer)}, seed {about.seed}, autointerp {escape(about.version)}. "
        f"Intervals: {about.confidence:.0%}, over meanings, {about.resamples:,} resamples. Simulators are scored by "
        "the pooled Pearson correlation on held-out contexts "
        f"({about.held_out[0]} top, {about.held_out[1]} random), judges by the AUROC of their answers."
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
        "near miss), of descriptions that the method sees, would be with 0.50 in its place. "
        f"*{CONSTANT_PREDICTION.reason}* is no failure here: the method found nothing that fits the explanation in "
        "these contexts, and is compared as what knowing nothing scores, 0."
    )
    return f"## Unscored\n\n{text}\n\n{table(('method', 'reason', 'scores', 'with 0.50 in place'), rows, left=2)}"


def _filled(results: Results, scores: Scores) -> str:
    if not scores.explained:
        return NOTHING
    row = results.row(scores.method, SEEN, DESCRIPTION, NEAR_MISS, TEST)
    filled = with_unscored_at_chance(scores, TEST, SEEN, DESCRIPTION, NEAR_MISS)
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
    form = scores.forms[0]
    return len({told[sort][0].meaning for told in scores.units(half, kind, form) for sort in told})


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
