"""Which measures tell trained from scrambled weights: a sentence for the answer, and the table of all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from autointerp.compare.measures import by_telling, measure_words
from autointerp.compare.outcome import Outcome
from autointerp.compare.scrambled import hardest
from autointerp.compare.words import number, p_text, with_interval
from autointerp.report.markdown import escape, table
from autointerp.report.sections import p_cell
from autointerp.scrambled_rows import MeasureRow
from autointerp.units.arms import plain


def sentences(outcome: Outcome) -> Iterator[str]:
    """Per feature arm, of the hardest scheme: what tells trained from scrambled by features minus neurons, if any."""
    for arm in outcome.feature_arms:
        worst = hardest(outcome.against_scrambled(outcome.headline, arm))
        rows = [row for row in outcome.measures if row.arm == arm and worst and row.scheme == worst.scheme]
        tried = by_telling([row for row in rows if row.p is not None])
        if not tried:
            continue
        level = 1 - outcome.study.compare.confidence
        told = [row for row in tried if row.p_holm is not None and row.p_holm < level]
        alone = [row.features_p_holm for row in rows if row.features_p_holm is not None]
        head = f"Of {len(tried)} measures tried (exploratory, many close kin)"
        what = f"trained from scrambled weights ({tried[0].scheme}) by {plain(arm)} minus {plain(tried[0].baseline)}"
        also = f"by {plain(arm)} alone {sum(p < level for p in alone)} of {len(alone)} do"
        if not told:
            yield (
                f"{head} no measure here tells {what} after adjusting over them (Holm); the nearest is "
                f"{_shown(tried[0])}; {also}."
            )
            continue
        rest = f", and {len(told) - 3} more" if len(told) > 3 else ""
        yield (
            f"{head} {len(told)} {'tell' if len(told) > 1 else 'tells'} {what} after adjusting over them (Holm): "
            f"{'; '.join(map(_shown, told[:3]))}{rest}; {also}."
        )


def _shown(row: MeasureRow) -> str:
    """A measure with its difference in differences, and what that is made of."""
    features = with_interval(row.features_difference, row.features_low, row.features_high)
    neurons = with_interval(row.neurons_difference, row.neurons_low, row.neurons_high)
    return (
        f"{measure_words(row)}: {with_interval(row.difference, row.low, row.high)}, adjusted {p_text(row.p_holm)} "
        f"({plain(row.arm)} {features}, less {plain(row.baseline)} {neurons})"
    )


def section(outcome: Outcome) -> str:
    """A table per feature arm and scheme, that which tells best first; '' in a run without scrambled subjects."""
    parts = []
    for arm, scheme in dict.fromkeys((row.arm, row.scheme) for row in outcome.measures if row.arm in _arms(outcome)):
        rows = [row for row in outcome.measures if (row.arm, row.scheme) == (arm, scheme)]
        parts.append(f"### {escape(plain(arm))}, against `{scheme}`\n\n{_table(by_telling(rows))}{_notes(rows)}")
    if not parts:
        return ""
    words = (
        "Every measure of units that the tables hold, of the subject itself and of its scrambled counterparts, in the "
        "measure's own scale. `difference` is own minus scrambled; the last difference is that of the features less "
        "that of the neurons. The order is that of its p, so the first lines are what tells trained from scrambled "
        "best, if anything does. Holm p is adjusted over the lines of one table. This is exploratory: the lines were "
        "not chosen in advance, and many measure nearly the same, so that a small p further down means little. "
        "Intervals as in the section above."
    )
    return "\n\n".join(["## What tells trained from scrambled weights", words, *parts])


def _arms(outcome: Outcome) -> Sequence[str]:
    return outcome.feature_arms


def _table(rows: Sequence[MeasureRow]) -> str:
    head = [
        "measure", "features", "scrambled", "difference", "neurons", "scrambled", "difference",
        "features minus neurons", "p", "Holm p", "units",
    ]  # fmt: skip
    return table(head, [[
        escape(measure_words(row)), number(row.features), number(row.features_scrambled),
        with_interval(row.features_difference, row.features_low, row.features_high), number(row.neurons),
        number(row.neurons_scrambled), with_interval(row.neurons_difference, row.neurons_low, row.neurons_high),
        with_interval(row.difference, row.low, row.high), p_cell(row.p), p_cell(row.p_holm),
        f"{row.n_features} and {row.n_neurons} v {row.n_features_scrambled} and {row.n_neurons_scrambled}",
    ] for row in rows])  # fmt: skip


def _notes(rows: Sequence[MeasureRow]) -> str:
    """What is special about some lines, the commonest last: it is said of all others at once."""
    said: dict[str, list[str]] = {}
    for row in rows:
        said.setdefault(row.note, []).append(escape(measure_words(row)))
    *apart, most = sorted((note for note in said), key=lambda note: len(said[note]))
    lines = [f"{'; '.join(said[note])}: {escape(note)}." for note in apart if note]
    if most:
        lines.append(f"All{' others' if apart else ''}: {escape(most)}.")
    return "".join(f"\n\n{line}" for line in lines)
