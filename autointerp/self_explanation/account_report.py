"""`report.md` of a folder of self-explanations, from its tables alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from autointerp.artifacts import write_text
from autointerp.compare.words import number
from autointerp.report.markdown import UNKNOWN, escape, prose, table
from autointerp.self_explanation.account_findings import findings, interval_of
from autointerp.self_explanation.account_folder import PAGE, PICTURE, AccountResults, read_accounts
from autointerp.self_explanation.account_measures import AGREEMENT, BY_DELETION, MEASURES, PLANTED_FOUND
from autointerp.self_explanation.faithfulness_tables import ACCURACY, BRIER, PREDICT, SAME_LABEL
from autointerp.self_explanation.own_accounts import ORDERS
from autointerp.self_explanation.rival_accounts import NULLS, OCCLUSION, RIVALS
from autointerp.self_explanation_rows import FaithfulnessSummaryRow, SelfExplanationRow

_LABELS = {ACCURACY: "right", BRIER: "Brier score (lower is better)", SAME_LABEL: "same label as the label alone"}
_READ = ("missing", "repeated", "unknown", "out_of_range", "malformed")
_EXAMPLES = 3
_NOTHING = f" {UNKNOWN} "


def write_report(folder: Path) -> Path:
    """The page again: `report.md`."""
    path = folder / PAGE
    write_text(path, page_of(read_accounts(folder)))
    return path


def page_of(results: AccountResults) -> str:
    """The whole page; the same tables give the same text."""
    return "\n\n".join(part for part in _parts(results) if part) + "\n"


def _parts(results: AccountResults) -> Iterator[str]:
    about = results.about
    yield "# Is the model's own account right about the model?"
    yield (
        f"Model `{escape(about.model)}` ({escape(about.endpoint)}), on {escape(about.reviews)}, seed {about.seed}. "
        "Occlusion, LIME and every measure ask the same model, for the label alone, about the review with words "
        "taken out; nothing stands in their place. Its probability is "
        + (
            "read off the log-probabilities of the label's first token."
            if about.logprobs
            else "the confidence that it says: it need not mean much, and steps between round numbers."
        )
        + f" Intervals: {about.confidence:.0%} over reviews, {about.resamples:,} resamples."
    )
    yield "## What came out\n\n" + "\n".join(f"- {prose(line)}" for line in findings(results))
    yield f"![Measures of every method, with intervals](figures/{PICTURE}.svg)"
    yield _labels(results)
    yield _measures(results)
    yield _differences(results)
    yield _agreement(results)
    yield _reading(results)
    yield _unscored(results)
    yield _examples(results)
    yield _settings(results)


def _cell(row: FaithfulnessSummaryRow | None) -> str:
    """Value, interval, n and what is unscored."""
    if row is None:
        return UNKNOWN
    left = f" ({row.unscored} unscored)" if row.unscored else ""
    return f"{interval_of(row)}, n = {row.n}{left}" if row.value is not None else f"none{left}"


def _labels(results: AccountResults) -> str:
    rows = [
        (f"`{method}`", _LABELS[measure], _cell(row), number(row.null), row.null_is)
        for method in (PREDICT, *ORDERS)
        for measure in _LABELS
        if (row := results.row(method, measure, PREDICT if measure == SAME_LABEL else "")) is not None
    ]
    return "## Labels\n\n" + table(("asked for", "measure", "value", "null", "the null is"), rows, left=2)


def _measures(results: AccountResults) -> str:
    measures = [m for m in (*BY_DELETION, PLANTED_FOUND) if any(results.row(x, m) for x in results.methods)]
    head = (
        "method",
        *(f"{MEASURES[m].words} ({'higher' if MEASURES[m].higher_is_better else 'lower'})" for m in measures),
    )
    rows = [(f"`{method}`", *(_cell(results.row(method, m)) for m in measures)) for method in results.methods]
    text = (
        "## Is it right about the model?\n\nIn brackets which is better. `random`, `another-review` and "
        "`longest-words` know nothing of the answer: an account that is no better says nothing. The deletion "
        f"rank correlation of `{OCCLUSION}` is 1 by construction. A share of words to a flip counts as 1 where no flip "
        "comes. Where all values are equal there is no interval."
    )
    found = next((row for m in results.methods if (row := results.row(m, PLANTED_FOUND)) is not None), None)
    if found is not None:
        text += f" Chance finds {number(found.null)} of the planted words."
    return f"{text}\n\n{table(head, rows)}"


def _differences(results: AccountResults) -> str:
    orders = [order for order in ORDERS if order in results.methods]
    measures = [m for m in (*BY_DELETION, PLANTED_FOUND) if any(results.row(x, m) for x in results.methods)]
    rows = [
        (f"`{order}`", f"`{other}`", *(_cell(results.row(order, m, other)) for m in measures))
        for order in orders
        for other in results.methods
        if other != order
    ]
    if not rows:
        return ""
    head = ("account", "less", *(MEASURES[m].words for m in measures))
    return "## Against each other, on the same reviews\n\nDifferences; of no difference the mean is 0.\n\n" + table(
        head, rows, left=2
    )


def _agreement(results: AccountResults) -> str:
    methods = results.methods

    def tau(first: str, second: str) -> str:
        row = results.row(first, AGREEMENT, second) or results.row(second, AGREEMENT, first)
        return _NOTHING if first == second else _cell(row)

    rows = [(f"`{first}`", *(tau(first, second) for second in methods)) for first in methods if first not in NULLS]
    return (
        "## Agreement of rankings\n\nKendall's tau-b, which counts ties, per review; accounts that have nothing to do "
        f"with each other get 0.\n\n{table(('', *(f'`{method}`' for method in methods)), rows)}"
    )


def _reading(results: AccountResults) -> str:
    rows = []
    for order in ORDERS:
        own = [row for row in results.accounts if row.method == order]
        read = [row for row in own if row.missing is not None]
        if own:
            words = sum(len(row.words) for row in read)
            counts = [sum(getattr(row, name) for row in read) for name in _READ]
            rows.append((f"`{order}`", f"{len(read)} of {len(own)}", f"{words}", *(f"{count}" for count in counts)))
    head = ("account", "read", "words of their reviews", *(name.replace("_", " ") for name in _READ))
    return (
        "## What was read\n\nA word that is missing counts as 0; numbers out of range are moved to the nearer end; "
        f"what is repeated, unknown or malformed is not used.\n\n{table(head, rows)}"
    )


def _unscored(results: AccountResults) -> str:
    failed = Counter((row.method, row.reason) for row in results.accounts if row.reason)
    unmeasured = Counter((f"{row.method}, {row.measure}", row.reason) for row in results.measured if row.reason)
    rows = [(f"`{method}`", escape(why), f"{n}") for (method, why), n in sorted((failed + unmeasured).items())]
    if not rows:
        return "## Unscored\n\nNothing."
    return "## Unscored\n\n" + table(("what", "reason", "reviews, or pairs of methods"), rows, left=2)


def _examples(results: AccountResults) -> str:
    """Words of the first reviews with the numbers of every method that answers for something."""
    shown = [*(order for order in ORDERS if order in results.methods), *(m for m in RIVALS if m in results.methods)]
    parts = ["## The first reviews\n\nNumbers are towards the positive label."]
    for number_of in sorted({row.review for row in results.accounts})[:_EXAMPLES]:
        rows = {row.method: row for row in results.accounts if row.review == number_of}
        label = rows[PREDICT].label or f"no label: {rows[PREDICT].reason}"
        words = next((row.words for row in rows.values() if row.words), ())
        methods = [m for m in shown if m in rows]
        lines = [
            (escape(word) or UNKNOWN, *(_of_word(rows[method], place) for method in methods))
            for place, word in enumerate(words)
        ]
        parts.append(
            f"{escape(rows[PREDICT].text)} ({escape(rows[PREDICT].truth)}; the model: {escape(label)})\n\n"
            + table(("word", *(f"`{method}`" for method in methods)), lines)
        )
    return "\n\n".join(parts)


def _of_word(row: SelfExplanationRow, place: int) -> str:
    return number(row.importances[place]) if row.importances else UNKNOWN


def _settings(results: AccountResults) -> str:
    about = results.about
    kinds = Counter(row.kind for row in results.accounts if row.method == PREDICT)
    lines = [
        f"- prompts: {', '.join(f'`{escape(prompt)}`' for prompt in about.prompts.values())}",
        f"- reviews: {', '.join(f'{n} {escape(kind)}' for kind, n in kinds.items())}; left out: "
        + (", ".join(f"{n} ({escape(why)})" for why, n in about.left_out.items()) or "none"),
        f"- LIME: {about.lime_draws} random parts of each review",
        *(f"- `{name}`: {words}" for name, words in RIVALS.items() if name in results.methods),
        f"- autointerp {escape(about.version)}",
    ]
    return "## Settings\n\n" + "\n".join(lines)
