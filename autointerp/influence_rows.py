"""The row of the table of the training sequences that a run's subject owes something to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class InfluenceRow:
    """One of the most influential training sequences of one query; None is an unknown number."""

    query: str
    """The unit, or prompt and completion as one text."""
    measurement: str
    """`log-probability` of the completion, in nats, or mean `activation` of the unit, in its own scale."""
    method: str
    """What ranked the sequences: `ekfac`, or a baseline."""
    place: int
    """From 1, the highest influence first; below 0 from the end, -1 the lowest."""
    context: int
    """Id of the training context."""
    source: str
    """The source file that its document is from."""
    influence: float
    """Positive where the sequence raised the measurement. Of `ekfac`: N times what its removal would take away, in the
    measurement's unit, N being the number of training sequences; of other methods in a scale of their own."""
    influence_low: float | None
    """The least over fits of the curvature with different sampled labels; None where the method has no such fit."""
    influence_high: float | None
    """The greatest."""
    standardised: float
    """The influence in standard deviations of all sequences' influences on the query, from their mean."""
    null_p: float | None
    """Share of the null queries, this one counted with them, on which the sequence's standardised influence is at least
    as high (for places below 0: as low); None without null queries."""
    n_null: int
    """Null queries: other text of the same length, or other units of the same arm."""
    bm25_place: int
    """Its place by BM25, among `n_sequences`."""
    dot_place: int
    """Its place by the plain product of gradients."""
    n_sequences: int
    """Training sequences."""
    pieces: tuple[str, ...]
    """The text of each token."""
    parts: tuple[float, ...]
    """What each position gave to the influence, at the token that is predicted there; they sum to `influence`. Empty
    for BM25."""
