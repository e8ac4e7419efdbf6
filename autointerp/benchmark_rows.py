"""What stands in the tables of a benchmark's folder, field by field; `rows.py` lists them beside those of a run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PlantedScore:
    """What one method gave one pairing: a row of `scores.parquet`."""

    method: str
    unit: str
    kind: str
    half: str
    graded: bool
    """Whether its activation has degrees, or is on or off."""
    density: float
    """Share of tokens on which it is active."""
    explanation: str
    """The sort of explanation: `true`, `near-miss`..., or `none` for a method that reads none."""
    form: str
    """How it is told: as a `description`, or as a `list` of words; '' for a method that reads none."""
    foil: str
    """Whose explanation it is, for `other`: a unit; else ''."""
    text: str
    """The explanation."""
    value: float | None
    status: str
    reason: str

    @property
    def meaning(self) -> str:
        """The unit without its form: `planted/word-class/colours`."""
        return self.unit.rpartition("/")[0]


@dataclass(frozen=True)
class BenchmarkRow:
    """One line of `benchmark.parquet`."""

    method: str
    kind: str
    """Of planted units: one kind; or pooled, `seen` (all that the method can see by construction) or `blind` (all that
    it can't: a negative control)."""
    form: str
    """How the explanations are told: as a `description`, or as a `list` of words; '' for a method that reads none."""
    wrong: str
    """The sort of wrong explanation that it is held against, or noise units."""
    auroc: float | None
    """Mean over meanings of P(score with the true explanation > score with the wrong one), ties counted half; of
    `other` the mean over the unit's foils first."""
    low: float | None
    """Lower bound of its interval."""
    high: float | None
    """Upper bound of its interval."""
    null_mean: float | None
    """Mean score with another unit's explanation; of noise units for a method that reads no explanation."""
    null_low: float | None
    """Lower bound of that mean's interval."""
    null_high: float | None
    """Its upper bound."""
    coverage: float
    """Share of the pairs of a true and a wrong explanation for which both scores are there."""
    tokens_per_unit: float | None
    """Prompt and answer tokens for one unit with one explanation; None where it can't be told."""
    seconds_per_unit: float | None
    """Wall time for the same; None where part came from the ledger."""
    n: int
    """Meanings for which both scores are there; a meaning's binary and graded units count once."""
    foils: float
    """Wrong explanations that a unit was held against, on average."""
    half: str
    """Of the meanings: the one prompts were developed on, the frozen one, or both."""


@dataclass(frozen=True)
class SanityRow:
    """One line of `sanity.parquet`: whether a score tells true labels from changed ones."""

    metric: str
    slice: str
    """Held-out contexts of a unit: `top-and-random`, `random-only`, or `uniform` (60 drawn blindly)."""
    change: str
    """What was done to the true labels, which are the prediction."""
    falls: float | None
    """Share of draws in which the score falls, mean over meanings."""
    low: float | None
    """Lower bound of its interval."""
    high: float | None
    """Upper bound of its interval."""
    n: int
    """Meanings that have a score in the slice."""
    unscored: int
    """Meanings that have none, since their unit is silent there."""


@dataclass(frozen=True)
class RecoveryRow:
    """One line of `recovery.parquet`: what an explainer and the best of its candidates make of a planted unit."""

    simulator: str
    """That ranks the candidates on evidence, and scores the chosen one."""
    unit: str
    kind: str
    half: str
    text: str
    """The chosen explanation; '' when there was none."""
    evidence: float | None
    """Its score on the evidence that ranked it."""
    held_out: float | None
    """Its score on held-out contexts, top-and-random; a constant prediction counts as 0."""
    true_list: float | None
    """What the list of the unit's true meaning scores there."""
    overlap: float | None
    """Of the held-out tokens that the rule is active on or the explanation names, the share of which both is true."""
