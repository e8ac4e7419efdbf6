"""The rows of the tables about units beside others: what all of them are, and which are near which."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SurveyRow:
    """Any feature or neuron of the subject itself, drawn or not, on a seeded draw of evidence contexts. By `browse`."""

    unit: str
    """Readable id: `feature/1234`, `neuron/17-`; of several arms `feature:NAME/1234`."""
    arm: str
    hook: str
    sae: str
    """Name of the SAE; '' outside the feature arms."""
    index: int
    """Latent or neuron number."""
    sign: int
    """+1 or -1: the orientation."""
    tokens: int
    """Tokens of the draw."""
    density: float
    """Share of them on which it is active."""
    contexts: int
    """Contexts of the draw in which it is active somewhere."""
    max_activation: float
    """Peak over them, in the unit's own scale."""
    single_token: float
    """Share of its top contexts there whose peak is on the most common peak token."""


@dataclass(frozen=True)
class HistogramRow:
    """How a sampled unit's activations above 0 are distributed, on the same draw. By `browse`."""

    unit: str
    tokens: int
    """Tokens of the draw, those where it is silent included."""
    top: float
    """The highest activation there, in the unit's own scale: the end of the last bucket."""
    counts: tuple[int, ...]
    """Tokens per bucket; the buckets cut (0, `top`] into equal parts, each with its upper end."""


@dataclass(frozen=True)
class RelationRow:
    """A feature or neuron at the same hook that a sampled unit is near, either way. By `browse`."""

    unit: str
    arm: str
    """Of the other."""
    by: str
    """`cosine`: of what the two write at the hook (a feature a row of the decoder, a neuron its coordinate, so that it
    is the share of the neuron in the feature); `correlation`: of their activations, token by token."""
    place: int
    """From 0, the nearest."""
    other: str
    """The other unit, in the orientation that is nearer."""
    cosine: float | None
    """In [-1, 1]; None where what one of them writes can't be told."""
    correlation: float | None
    """Pearson's, over the draw's tokens, in [-1, 1]; None where one of them is silent."""
    chance: float | None
    """What the nearest one is by chance: to a random direction, or to the unit with its activations moved to another
    context. Of as many others, so that the best of many is held against the best of many."""
