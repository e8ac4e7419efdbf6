"""The rows of what `attribute` writes: passages, matrices, latents, and how faithful each attribution is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class PassageTokenRow:
    """A token of a prompt, or of what the model wrote after it."""

    passage: int
    """From 0, in the order in which they were given."""
    position: int
    """Of the token in the passage, from 0."""
    token: int
    """Id."""
    piece: str
    """Its text."""
    part: str
    """`fixed` (the start token, which is never taken away), `prompt` or `output`."""
    log_probability: float | None
    """Of an output token, in nats; None for the others."""


@dataclass(frozen=True)
class AttributionRow:
    """How much one token speaks for one output token: an entry of A_ij, where j depends on i."""

    passage: int
    """From 0, in the order in which they were given."""
    method: str
    """By its name in `--method`."""
    target: int
    """The output token, from 0."""
    position: int
    """Of the token in the passage, from 0."""
    value: float
    """In nats of log-probability, with sign; rollout, recency and random have units of their own."""
    size: float | None
    """Length over the embedding's dimensions; None where the method has none."""


@dataclass(frozen=True)
class AttributedLatentRow:
    """How much one latent of an SAE, at one position, speaks for one output token; or the SAE's error there."""

    passage: int
    """From 0, in the order in which they were given."""
    target: int
    """The output token, from 0."""
    position: int
    """Of the token in the passage, from 0."""
    latent: int
    """-1: the error, what the SAE does not reconstruct."""
    activation: float | None
    """None for the error."""
    value: float
    """In nats of log-probability, with sign."""


@dataclass(frozen=True)
class AttributionFaithfulnessRow:
    """How faithful the attribution of one output token is, in probability of that token."""

    passage: int
    """From 0, in the order in which they were given."""
    target: int
    """The output token, from 0."""
    method: str
    """With `, weights permuted` behind it: computed on a destroyed model, and tried on the true one."""
    whole: float
    """Probability of the token after the whole passage."""
    comprehensiveness: float
    """Mean loss when the most important tokens are taken away; the higher the better."""
    sufficiency: float
    """Mean loss when they alone are kept; the lower the better."""
    deletion: float
    """Area under the probability while tokens are taken away, the most important first; the lower the better."""
    insertion: float
    """Area under it while they are given back, the most important first; the higher the better."""
    stability: float | None
    """Kendall's tau-b with the same method under the next seed; None where nothing is drawn."""
    delta: float | None
    """Convergence delta of integrated gradients in nats, else None."""
    change: float | None
    """What its values should add up to, in nats."""


TABLES: Mapping[str, type] = {
    "passages": PassageTokenRow,
    "attributions": AttributionRow,
    "attributed_latents": AttributedLatentRow,
    "attribution_faithfulness": AttributionFaithfulnessRow,
}
