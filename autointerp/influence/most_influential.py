"""Scores become an answer: the sequences at either end, beside other fits, baselines and null queries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

from autointerp.contexts.reading import load_contexts
from autointerp.influence.run_material import TrainedRun
from autointerp.influence.tracing import FITS, METHODS, Influences, TraceChoice
from autointerp.influence_rows import InfluenceRow
from autointerp.progress import aligned
from autointerp.quoting import quoted
from autointerp.tables import TRAIN

_SHOWN = 60
"""Characters of a sequence on a line."""


@dataclass(frozen=True)
class Agreement:
    """How alike two rankings of all sequences are."""

    other: str
    spearman: float
    common: float
    """Sequences that are among the `top` of both; of several rankings the mean."""
    range: tuple[float, float] | None = None
    """Of the rank correlation, over several rankings."""


@dataclass(frozen=True)
class Answer:
    """One query's, ready to be shown."""

    query: str
    measurement: str
    rows: list[InfluenceRow]
    """The highest first; then the lowest, the very lowest last."""
    half: int
    """So few sequences have half of all positive influence."""
    top_share: float
    """Share of it that the sequences at the top have."""
    chance: float
    """Sequences that two random rankings have in common at the top."""
    agreements: list[Agreement]
    kept: float | None
    """Share of the squared length that the rank keeps."""


def answer_of(run: TrainedRun, found: Influences, choice: TraceChoice) -> Answer:
    """Rank the sequences by the chosen method."""
    scores = found.by_method[choice.method].astype(np.float64)
    order = np.argsort(-scores, kind="stable")
    top = min(choice.top, len(order) // 2)
    positive = np.sort(scores[scores > 0])[::-1]
    total = max(float(positive.sum()), 1e-300)
    return Answer(
        found.query.name,
        found.query.measurement,
        _rows(run, found, choice, np.concatenate([order[:top], order[len(order) - top :]])),
        int(np.searchsorted(positive.cumsum(), total / 2) + 1) if len(positive) else 0,
        float(positive[:top].sum() / total),
        top * top / len(order),
        _agreements(found, choice.method, top),
        found.kept,
    )


def _rows(
    run: TrainedRun, found: Influences, choice: TraceChoice, chosen: Int[np.ndarray, " chosen"]
) -> list[InfluenceRow]:
    scores = found.by_method[choice.method].astype(np.float64)
    standardised, nulls = _standardised(scores), _standardised(found.nulls.astype(np.float64))
    fits = [found.by_method["ekfac"], found.by_method["ekfac again"]] if choice.method == "ekfac" else None
    places = {name: _places(found.by_method[name]) for name in ("bm25", "dot")}
    contexts = load_contexts(run.folder / TRAIN, run.ids[chosen])
    parts = found.parts(chosen)
    rows = []
    for number, sequence in enumerate(chosen):
        high = number < len(chosen) // 2
        beyond = nulls[:, sequence] >= standardised[sequence] if high else nulls[:, sequence] <= standardised[sequence]
        context = contexts[int(run.ids[sequence])]
        rows.append(
            InfluenceRow(
                query=found.query.name, measurement=found.query.measurement, method=choice.method,
                place=number + 1 if high else number - len(chosen), context=context.context, source=context.source,
                influence=float(scores[sequence]),
                influence_low=None if fits is None else float(min(fit[sequence] for fit in fits)),
                influence_high=None if fits is None else float(max(fit[sequence] for fit in fits)),
                standardised=float(standardised[sequence]),
                null_p=float((1 + beyond.sum()) / (1 + len(nulls))) if len(nulls) else None, n_null=len(nulls),
                bm25_place=int(places["bm25"][sequence]), dot_place=int(places["dot"][sequence]),
                n_sequences=len(scores), pieces=context.pieces,
                parts=() if parts is None else tuple(map(float, parts[number])),
            )
        )  # fmt: skip
    return rows


def _standardised(scores: Float[np.ndarray, "*n sequence"]) -> Float[np.ndarray, "*n sequence"]:
    spread = scores.std(axis=-1, keepdims=True)
    return np.asarray((scores - scores.mean(axis=-1, keepdims=True)) / np.where(spread > 0, spread, 1.0))


def _places(scores: Float[np.ndarray, " sequence"]) -> Int[np.ndarray, " sequence"]:
    places = np.empty(len(scores), dtype=np.int64)
    places[np.argsort(-scores, kind="stable")] = np.arange(1, len(scores) + 1)
    return places


def _agreements(found: Influences, method: str, top: int) -> list[Agreement]:
    scores = found.by_method[method]
    best = set(np.argsort(-scores, kind="stable")[:top])

    def common(other: Float[np.ndarray, " sequence"]) -> int:
        return len(best & set(np.argsort(-other, kind="stable")[:top]))

    def correlation(other: Float[np.ndarray, " sequence"]) -> float:
        if np.ptp(other) == 0 or np.ptp(scores) == 0:
            return float("nan")
        return float(stats.spearmanr(scores, other).statistic)

    made = [
        Agreement(name, correlation(other), common(other))
        for name, other in found.by_method.items()
        if name != method and not (name == "ekfac again" and method != "ekfac")
    ]
    if len(found.nulls):
        known = [correlation(other) for other in found.nulls]
        shared = float(np.mean([common(other) for other in found.nulls]))
        made.append(Agreement("null", float(np.median(known)), shared, (min(known), max(known))))
    return made


def answer_lines(answer: Answer, run: TrainedRun, choice: TraceChoice) -> Iterator[str]:
    """What the verb prints of a query."""
    yield f"query    {answer.query}: {answer.measurement}"
    yield ""
    head = ("place", "influence", f"range of {FITS} fits", "sd", "p (null)", "BM25", "dot", "context", "text")
    yield from aligned([head, *(_cells(row) for row in answer.rows)], numbers=slice(0, 8))
    yield ""
    yield (
        f"spread   half of all positive influence is in {answer.half:,} of {len(run.ids):,} sequences; the first "
        f"{len(answer.rows) // 2} have {answer.top_share:.1%}"
    )
    yield from agreement_lines(answer, choice)
    if answer.kept is not None:
        yield f"rank     {choice.rank}: {answer.kept:.1%} of the squared length of the query's matrices is kept"


def agreement_lines(answer: Answer, choice: TraceChoice) -> Iterator[str]:
    """How the ranking agrees with others, with what chance and null queries give."""
    top = len(answer.rows) // 2
    for each in answer.agreements:
        if each.other == "null":
            low, high = each.range or (each.spearman, each.spearman)
            name = f"{answer.rows[0].n_null} null queries"
            correlation = f"rank correlation {each.spearman:.2f} [{low:.2f}, {high:.2f}]"
            yield f"null     {name}: {correlation}, {each.common:.1f} of {top}"
            continue
        name = "the other fit" if each.other == "ekfac again" else each.other
        yield f"beside   {name}: rank correlation {each.spearman:.2f}, {each.common:g} of the first {top} in common"
    yield f"chance   rank correlation 0, {answer.chance:.2g} of {top}"


def _cells(row: InfluenceRow) -> Sequence[str]:
    fits = "" if row.influence_low is None else f"{row.influence_low:.3g} to {row.influence_high:.3g}"
    p = "" if row.null_p is None else f"{row.null_p:.2f}"
    text = "".join(row.pieces)
    shown = quoted(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
    return (
        f"{row.place}", f"{row.influence:.3g}", fits, f"{row.standardised:.1f}", p, f"{row.bm25_place:,}",
        f"{row.dot_place:,}", f"{row.context}", shown,
    )  # fmt: skip


def method_line(run: TrainedRun, choice: TraceChoice) -> str:
    """What was measured, in a line: method, layers, what is left out."""
    covered = sum(layer.parameters for layer in run.layers)
    whole = sum(parameter.numel() for parameter in run.subject.model.parameters())
    said = METHODS[choice.method]
    if choice.method == "ekfac":
        fitted = min(choice.fitted, len(run.ids))
        said += f", damping {choice.damping:g} x mean eigenvalue, fitted on {fitted:,} sequences"
    return (
        f"{said}; {len(run.layers)} linear layers, {covered / whole:.0%} of {whole:,} parameters (not: embeddings, "
        "unembedding, norms)"
    )


def table_path(run: Path) -> Path:
    """Where the rows are."""
    return run / "influence.parquet"
