"""The report's section on the judges: their scores beside what chance gives."""

from __future__ import annotations

from collections.abc import Iterator

from autointerp.compare.outcome import Outcome
from autointerp.compare.words import number, p_text, with_interval
from autointerp.contexts.slices import JUDGED
from autointerp.judge.embedding import EmbeddingJudge
from autointerp.judge.fuzzing import Fuzzing
from autointerp.judge.intruder import Intruder
from autointerp.judge.promoted_tokens import PromotedLiteral, PromotedTokens
from autointerp.judge.saebench import SaeBench
from autointerp.judge.surprisal import Surprisal
from autointerp.metrics.classification import JUDGED_SCORES
from autointerp.records import Pairing
from autointerp.report.markdown import UNKNOWN, escape, table
from autointerp.rows import NO_BASELINE, OWN_SHUFFLED, READ_LITERALLY, Cell, ComparisonRow
from autointerp.units.arms import plain

_NOTES = {
    Fuzzing.name: (
        "`fuzzing` says whether the marked tokens of an active context are the right ones; each context is shown once "
        "with its own marks and once with another active context's. Right marks stand on tokens that are alike, which "
        "can be seen without the explanation: read it beside the other unit's."
    ),
    Intruder.name: (
        "`intruder` gets no explanation: it names the one of five contexts in which the unit is silent. *Accuracy* is "
        "the share of such trials that it gets right; the other scores pool the contexts of all trials. There is "
        "nothing to exchange with another unit, so chance is its only null."
    ),
    SaeBench.name: (
        "`saebench` shows four active contexts and ten that were seen to be silent, as SAEBench's autointerp does: its "
        'score there is *share right*, of which always "none" gets 10/14 = 0.714.'
    ),
    Surprisal.name: (
        "`surprisal` compares how much likelier the explanation makes each context: the order counts and there is no "
        "threshold, so AUROC is all there is."
    ),
    EmbeddingJudge.name: (
        "`embedding` compares how near each context is to the explanation in a sentence model: the order counts and "
        "there is no threshold, so AUROC is all there is."
    ),
    PromotedTokens.name: (
        "`promoted-tokens` sees no text at all: of tokens that the unit's output direction promotes, and as many that "
        "other units of its arm promote, about as commonly, it says how much likelier the explanation makes each as "
        "what comes next (the logit task of Towards Monosemanticity). The order counts, so AUROC is all there is. "
        "Explanations of explainers that are shown these tokens are left out as circular."
    ),
    PromotedLiteral.name: (
        "`promoted-literal` is its floor: the same tokens, and whether the explanation names them, without any model."
    ),
}
"""What is special about some of the judges."""
_OF_TOKENS = (PromotedTokens.name, PromotedLiteral.name)
"""Those that see no context."""


def judges(outcome: Outcome) -> str:
    """Every judge's table, chance in a column of its own; '' when the run asked none."""
    tables = [_judge(outcome, name) for name in outcome.study.judge.methods]
    if not tables:
        return ""
    return "\n\n".join(["### Judges", _words(outcome), *tables])


def _words(outcome: Outcome) -> str:
    """What all tables have in common, and what some of the judges don't."""
    shuffled = outcome.study.judge.derangements
    of_tokens = {name in _OF_TOKENS for name in outcome.study.judge.methods}
    words = (
        "*Chance* is what an answer that knows nothing gets at best (for F1: always yes). Each unit was also judged "
        f"with other units' explanations of its arm (mean over {shuffled} seeded "
        f"derangement{'s' if shuffled > 1 else ''}): that is what this model really gets without knowing the unit."
    )
    contexts = (
        "A judge reads an explanation and some of the unit's held-out contexts, as many active ones as ones checked to "
        f"be inactive, and says of each whether the unit is active in it. {words} AUROC is the same as balanced "
        "accuracy where the endpoint gives no log-probabilities. A unit without enough active or inactive held-out "
        "contexts can't be judged; dense units have few inactive ones."
    )
    if of_tokens == {True}:
        contexts = f"A judge of tokens reads an explanation, and says of each token how well it fits. {words}"
    return " ".join([contexts, *(_NOTES[name] for name in outcome.study.judge.methods if name in _NOTES)])


def _judge(outcome: Outcome, judge: str) -> str:
    rows = [row for metric in JUDGED_SCORES for row in _rows(outcome, Cell(judge, metric, JUDGED))]
    head = ["metric", "arm", "why unscored", "chance", "own explanation", "another unit's", "own minus another's", "p",
            "scored"]  # fmt: skip
    return f"#### `{judge.replace('`', '')}`\n\n{table(head, rows, left=3)}"


def _rows(outcome: Outcome, cell: Cell) -> Iterator[list[str]]:
    metric = cell.metric.replace("_", " ")
    for arm in outcome.arms:
        own = outcome.row(cell, arm)
        if own is None:
            continue
        null = outcome.row(cell, arm, NO_BASELINE, Pairing.SHUFFLED)
        over = outcome.row(cell, arm, OWN_SHUFFLED)
        yield [
            metric, escape(plain(arm)), escape(own.reasons) or UNKNOWN, number(own.chance), _mean(own), _mean(null),
            *_difference(over), f"{own.n} of {own.n + own.unscored}",
        ]  # fmt: skip
    for arm in outcome.arms:
        literally = outcome.row(cell, arm, READ_LITERALLY)
        if literally is not None and literally.difference is not None:
            shown, p = _difference(literally)
            name = f"{plain(arm)} minus the same read literally"
            yield [metric, escape(name), UNKNOWN, number(0.0), shown, UNKNOWN, UNKNOWN, p, f"{literally.n} units"]
    for against in outcome.contrasts(cell):
        if against.baseline != OWN_SHUFFLED and against.difference is not None:
            name = f"{plain(against.arm)} minus {plain(against.baseline)}"
            shown, p = _difference(against)
            units = f"{against.n} v {against.n_baseline}"
            yield [metric, escape(name), UNKNOWN, number(0.0), shown, UNKNOWN, UNKNOWN, p, units]


def _mean(row: ComparisonRow | None) -> str:
    return UNKNOWN if row is None or row.mean is None else with_interval(row.mean, row.low, row.high)


def _difference(row: ComparisonRow | None) -> list[str]:
    """The difference with its interval, and its p."""
    if row is None or row.difference is None:
        return [UNKNOWN, UNKNOWN]
    shown = with_interval(row.difference, row.difference_low, row.difference_high)
    return [shown, p_text(row.p).removeprefix("p = ").removeprefix("p ") or UNKNOWN]
