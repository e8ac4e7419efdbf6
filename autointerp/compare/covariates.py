"""Covariates of units from their evidence alone: density, and how far the token alone determines a unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from jaxtyping import Int

from autointerp.adjusted_rows import CovariateRow
from autointerp.contexts.sharing import read_exemplars
from autointerp.metrics.metrics import CONSTANT_PREDICTION, score_one
from autointerp.records import Exemplar, Kind, Split, Status, Unscored
from autointerp.rows import state_of
from autointerp.tables import read_arrow, read_table

COVARIATES = ("log_density", "peak_entropy", "peak_log_frequency", "table_score")
NO_EVIDENCE = Unscored("fewer than 8 top contexts of evidence")
NEVER_ACTIVE = Unscored("never active")
_FEWEST = 8  # top contexts: two in each quarter

Gathered: TypeAlias = list[Exemplar]


@dataclass(frozen=True)
class EvidenceTokens:
    """The tokens of a run's evidence."""

    by_context: Mapping[int, Int[np.ndarray, " token"]]
    """Their ids, by context."""
    frequency: Mapping[int, float]
    """Share of all evidence tokens that are this one, by its id."""

    def of(self, gathered: Sequence[Exemplar]) -> Int[np.ndarray, " pooled"]:
        """The token ids of these contexts, one after another."""
        return np.concatenate([self.by_context[one.context] for one in gathered])


def covariates_of(run_dir: Path) -> list[CovariateRow]:
    """The covariates of every sampled unit, from the run's tables `units`, `evidence` and `contexts`.

    A unit that has too little evidence is a row with its reason. Raises BadInput when a table is missing.
    """
    tokens = _evidence_tokens(run_dir)
    evidence: dict[tuple[str, int], Gathered] = {}
    for of_unit in read_exemplars(run_dir / "evidence.parquet").values():
        for one in of_unit:
            if one.context in tokens.by_context:
                evidence.setdefault((one.unit, one.replicate), []).append(one)
    units = read_table(run_dir / "units.parquet", ["unit", "replicate", "arm", "density", "status"])
    sampled = units[units["status"] != Status.EXCLUDED.value]
    names = ("unit", "replicate", "arm", "density")
    return [
        _row(str(unit), int(replicate), str(arm), float(density), evidence.get((unit, replicate), []), tokens)
        for unit, replicate, arm, density in zip(*(sampled[name] for name in names), strict=True)
    ]


def _evidence_tokens(run_dir: Path) -> EvidenceTokens:
    of_split = [("split", "=", Split.EVIDENCE.value)]
    rows = read_arrow(run_dir / "contexts.parquet", ["context", "tokens"], filters=of_split).to_pylist()
    by_context = {row["context"]: np.asarray(row["tokens"], dtype=np.int64) for row in rows}
    every = np.concatenate([*by_context.values(), np.empty(0, dtype=np.int64)])
    ids, counts = np.unique(every, return_counts=True)
    return EvidenceTokens(by_context, dict(zip(ids.tolist(), (counts / max(every.size, 1)).tolist(), strict=True)))


def _row(
    unit: str, replicate: int, arm: str, density: float, gathered: Gathered, tokens: EvidenceTokens
) -> CovariateRow:
    top = [one for one in gathered if one.kind == Kind.TOP]
    q = _quarters(top, [one for one in gathered if one.kind == Kind.RANDOM])
    tables: list[float | Unscored] = [NO_EVIDENCE]
    if not density > 0:
        tables = [NEVER_ACTIVE]
    elif len(top) >= _FEWEST:
        pairs = ((q[0] + q[2], q[1] + q[3]), (q[0], q[1]), (q[2], q[3]))
        tables = [cross_fitted(*pair, tokens) for pair in pairs]
    known = [score for score in tables if not isinstance(score, Unscored)]
    if len(known) < len(tables):
        status, reason = state_of(next(score for score in tables if isinstance(score, Unscored)))
        log_density = float(np.log(density)) if density > 0 else None
        return CovariateRow(unit, replicate, arm, log_density, None, None, None, (), (), (), status, reason)
    peaks = np.array([tokens.by_context[one.context][int(np.argmax(one.activations))] for one in top])
    logs = np.log([tokens.frequency[int(peak)] for peak in peaks])
    return CovariateRow(
        unit=unit,
        replicate=replicate,
        arm=arm,
        log_density=float(np.log(density)),
        peak_entropy=entropy_bits(peaks),
        peak_log_frequency=float(logs.mean()),
        table_score=known[0],
        peak_entropy_halves=(entropy_bits(peaks[0::2]), entropy_bits(peaks[1::2])),
        peak_log_frequency_halves=(float(logs[0::2].mean()), float(logs[1::2].mean())),
        table_score_halves=(known[1], known[2]),
        status=Status.OK,
        reason="",
    )


def _quarters(top: Gathered, random: Gathered) -> list[Gathered]:
    """Every fourth context each, the top ones by rank; one that was drawn twice is in one quarter alone."""
    quarters: list[Gathered] = [[], [], [], []]
    seen: set[int] = set()
    for drawn in (top, random):
        for place, one in enumerate(drawn):
            if one.context not in seen:
                seen.add(one.context)
                quarters[place % 4].append(one)
    return quarters


def cross_fitted(one: Gathered, other: Gathered, tokens: EvidenceTokens) -> float | Unscored:
    """Pearson correlation of the activations on either part with the other's table of mean activation per token.

    Mean over both ways, in [-1, 1]. A token that the table has not gets its mean over all tokens; a table that says
    the same of every token knows nothing, and scores 0.
    """
    scores = []
    for table, tried in ((one, other), (other, one)):
        if not table or not tried:
            return NO_EVIDENCE
        values = np.concatenate([each.activations for each in table]).astype(np.float64)
        ids, places = np.unique(tokens.of(table), return_inverse=True)
        means = np.bincount(places, values) / np.bincount(places)
        wanted = tokens.of(tried)
        found = np.searchsorted(ids, wanted).clip(max=len(ids) - 1)
        predicted = np.where(ids[found] == wanted, means[found], values.mean())
        truth = np.concatenate([each.activations for each in tried]).astype(np.float64)
        score = score_one("pearson", truth, predicted)
        if score == CONSTANT_PREDICTION:
            score = 0.0
        if isinstance(score, Unscored):
            return score
        scores.append(score)
    return float(np.mean(scores))


def entropy_bits(tokens: Int[np.ndarray, " token"]) -> float:
    """Entropy in bits of the tokens' shares; 0 where all are one and the same token."""
    counts = np.unique(tokens, return_counts=True)[1]
    shares = counts / counts.sum()
    return float(-(shares * np.log2(shares)).sum()) + 0.0
