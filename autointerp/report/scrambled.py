"""What scrambled subjects leave of the answer: the condition on its verdict, its sentences, and their section."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from autointerp.compare.outcome import Outcome
from autointerp.compare.scrambled import BASELINE, DIFFERENCE, FEATURES, beats, hardest
from autointerp.compare.words import capital, number, p_text, with_interval
from autointerp.contexts.slices import slice_words
from autointerp.records import Kind, Split
from autointerp.report.markdown import UNKNOWN, escape, table
from autointerp.rows import Cell, ComparisonRow
from autointerp.scrambled_rows import ScrambledRow
from autointerp.simulate.lookup import LOOKUP
from autointerp.tables import read_table
from autointerp.units.arms import plain
from autointerp.units.scrambled import subject_of


def conditional(outcome: Outcome, row: ComparisonRow, claim: str) -> str:
    """The claim that the features of `row` are more interpretable than its baseline, or what is left of it.

    It stands where they beat the features of the hardest scrambled subject on the same cell, and nowhere else; with
    what is left there of their lead over the baseline.
    """
    rows = outcome.against_scrambled(row.cell, row.arm)
    if not rows:
        return (
            f"{plain(row.arm)} score higher; that is not called more interpretable, for they were not held against a "
            "subject with scrambled weights"
        )
    worst = hardest(rows)
    if worst is None or worst.difference is None:
        return "not shown to be more interpretable: no unit of a scrambled subject could be scored to hold them against"
    if beats(worst, outcome.study.compare.confidence):
        both = _lead(rows, worst.scheme)
        return claim if both is None else f"{claim}; {_told(both, outcome.study.compare.confidence)}"
    return (
        f"not shown to be more interpretable, for features of a subject with scrambled weights ({worst.scheme}) score "
        f"{number(worst.scrambled)} too: the difference from them is {_shown(worst)}"
    )


def _lead(rows: Sequence[ScrambledRow], scheme: str) -> ScrambledRow | None:
    """Features minus baseline, here and in all scrambled subjects of a scheme; None where there is none."""
    found = (row for row in rows if row.scheme == scheme and not row.subject and row.measure == DIFFERENCE)
    return next((row for row in found if row.difference is not None), None)


def _told(both: ScrambledRow, confidence: float) -> str:
    larger = "is larger than" if beats(both, confidence) else "is not shown to be larger than"
    return (
        f"their lead over {plain(both.baseline)} {larger} in a subject with scrambled weights ({both.scheme}): "
        f"{number(both.own)} here, {number(both.scrambled)} there, {_shown(both)}"
    )


def sentences(outcome: Outcome) -> Iterator[str]:
    """Per feature arm: the hardest scrambled subject on the headline's cell, with both differences."""
    for arm in outcome.feature_arms:
        rows = outcome.against_scrambled(outcome.headline, arm)
        worst = hardest(rows)
        if worst is None:
            continue
        seeds = f"{worst.subjects} {'seeds' if worst.subjects > 1 else 'seed'}"
        line = (
            f"Held against a subject with scrambled weights ({worst.scheme}, {seeds}), whose features score "
            f"{number(worst.scrambled)}: {plain(arm)} minus those {_shown(worst)}"
        )
        if (both := _lead(rows, worst.scheme)) is not None:
            line += (
                f"; the difference from {plain(both.baseline)} is {number(both.own)} here and "
                f"{number(both.scrambled)} there: {_shown(both)}"
            )
        yield f"{line}."


def _shown(row: ScrambledRow) -> str:
    shown = with_interval(row.difference, row.low, row.high)
    return shown if row.p is None else f"{shown}, {p_text(row.p)}"


def section(outcome: Outcome) -> str:
    """Both tables, or '' in a run without scrambled subjects."""
    rows = [
        [
            slice_words(slice_name), f"`{row.subject or row.scheme}`", _measure(row), number(row.own),
            number(row.scrambled), with_interval(row.difference, row.low, row.high),
            p_text(row.p).removeprefix("p = ").removeprefix("p ") or UNKNOWN, f"{row.n} v {row.n_scrambled}",
            escape(row.note) or UNKNOWN,
        ]
        for slice_name in outcome.slices
        for arm in outcome.feature_arms
        for row in outcome.against_scrambled(replace(outcome.headline, slice=slice_name), arm)
        if not row.subject or slice_name == outcome.headline.slice
    ]  # fmt: skip
    if not rows:
        return ""
    head = [
        "contexts",
        "scrambled subject",
        "score of",
        "own",
        "scrambled",
        "own minus scrambled",
        "p",
        "units",
        "note",
    ]
    words = (
        "The same model with scrambled weights, on the same text: `permuted` has the entries of every weight matrix in "
        "another order, embeddings and norms kept; `init` is drawn by the model's own initialiser. SAEs were trained "
        "on it by the same recipes; explainer and simulator are the same. What scores there owes nothing to what the "
        f"model learned beyond its embeddings. Intervals: Welch's t over {_sampled(outcome)}"
    )
    return "\n\n".join(["### Against scrambled weights", words, table(head, rows, left=3), *_tokens(outcome)])


def _sampled(outcome: Outcome) -> str:
    """What the intervals are over, and what they leave out."""
    if outcome.over_replicates:
        return "the means of the replicates on either side (over units where they are under three); p is not adjusted."
    return (
        "units, and over seeds where a scheme has three or more; p is not adjusted. Not covered: another training of "
        "the SAE on the subject itself."
    )


def _measure(row: ScrambledRow) -> str:
    minus = f"{plain(row.arm)} minus {plain(row.baseline)}" if row.baseline else ""
    return escape({FEATURES: plain(row.arm), BASELINE: plain(row.baseline), DIFFERENCE: minus}[row.measure])


def _tokens(outcome: Outcome) -> Iterator[str]:
    """How far a token alone determines the units of either subject."""
    entropy = peak_entropy(outcome)
    arms = [arm for arm in outcome.arms if arm in outcome.main_arms or subject_of(arm)]
    rows = []
    for arm in arms:
        row = outcome.row(_of_table(outcome.headline), arm) if outcome.has_lookup else None
        rows.append([
            escape(plain(arm)), UNKNOWN if row is None else with_interval(row.mean, row.low, row.high),
            f"{entropy[arm]:.2f}" if arm in entropy else UNKNOWN,
        ])  # fmt: skip
    yield (
        f"{capital(_ENTROPY)}. What a table of mean activation per token scores, without any explanation, is how far "
        "a token alone determines a unit."
    )
    yield table(["arm", "token table", "entropy of peak tokens, bits"], rows)


_ENTROPY = "the entropy is that of the tokens under the peaks of a unit's top evidence contexts, a mean over units"


def _of_table(cell: Cell) -> Cell:
    return replace(cell, scorer=LOOKUP)


def peak_entropy(outcome: Outcome) -> dict[str, float]:
    """Mean over an arm's units of the entropy in bits of the tokens that its top evidence contexts peak on.

    0: every top context peaks on one and the same token. Heap et al. tell trained from random models by how the tokens
    that activate a latent are distributed. Arms without evidence in the run folder are left out.
    """
    evidence = read_table(outcome.run_dir / "evidence.parquet", ["unit", "context", "kind", "activations"])
    contexts = read_table(outcome.run_dir / "contexts.parquet", ["context", "split", "tokens"]).set_index("context")
    top = evidence[evidence["kind"] == Kind.TOP.value]
    top = top[top["context"].map(contexts["split"]) == Split.EVIDENCE.value]
    peaks = [
        int(contexts["tokens"].loc[context][int(np.argmax(values))])
        for context, values in zip(top["context"], top["activations"], strict=True)
    ]
    of_unit = pd.Series(peaks, index=top["unit"], dtype=np.int64).groupby(level=0).agg(_entropy)
    arms = outcome.units.set_index("unit")["arm"]
    return {str(arm): float(values.mean()) for arm, values in of_unit.groupby(arms.reindex(of_unit.index))}


def _entropy(tokens: pd.Series) -> float:
    shares = tokens.value_counts(normalize=True).to_numpy(dtype=np.float64)
    return float(-(shares * np.log2(shares)).sum()) + 0.0
