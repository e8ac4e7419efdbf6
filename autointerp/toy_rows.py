"""The rows of the tables of toy models: what was trained, what of it was recovered, and both summed up."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ToyFeatureRow:
    """A feature of one toy model, and how it is represented there."""

    part: str
    """`sweep`: few features in few dimensions, over densities; `plateaus`: many features of one importance; `phases`:
    two features in one dimension; `recovery`: the models whose features SAEs shall find."""
    model: str
    """`relu`; `linear`: without the ReLU; `untrained`: random directions, W of the norm of the trained one."""
    density: float
    """Probability that a feature is present: 1 less its sparsity."""
    seed: int
    """Number of the model's start and data."""
    feature: int
    """Its number, from 0; earlier ones are more important."""
    importance: float
    """Weight of its squared error."""
    direction: tuple[float, ...]
    """Its column of W: a number per hidden dimension."""
    bias: float
    """Added to its output."""
    represented: bool
    """Whether the direction is longer than 0.5."""
    dimensions: float
    """Share of a dimension that is its own, in [0, 1]: |W_i|^2 / sum_j (W_i . W_j / |W_i|)^2."""
    geometry: str
    """Of the whole model: the shapes that overlapping features make, as in `2 x antipodal pair`."""
    loss: float | None
    """Of the whole model, over the last tenth of training; None for untrained ones."""


@dataclass(frozen=True)
class ToyRecoveryRow:
    """A represented feature of a toy model, and the latent of an SAE that is matched with it, one to one."""

    method: str
    """An architecture; a null: `random directions`, `frozen decoder`, `principal`, `independent`; or the truth itself:
    `true directions`, read by a product alone."""
    toy: str
    """What made the vectors, and the truth: `trained`, or `untrained` (random directions of the same norm); `another`:
    the SAE is of another toy model than the truth, a null."""
    seed: int
    """Of the toy model."""
    sae_seed: int
    """Of the SAE: 0 or 1."""
    feature: int
    """Its number, from 0; earlier ones are more important."""
    latent: int | None
    """None where there are fewer latents than features."""
    nearest: float
    """Largest cosine of the feature's direction with a decoder row, in [-1, 1]."""
    cosine: float | None
    """With the row of the matched latent."""
    recovered: bool
    """Whether that is 0.9 or more."""
    f1: float | None
    """Of the latent's firing as a prediction that the feature is present, on vectors of their own."""
    correlation: float | None
    """Pearson, in [-1, 1], of the latent's activations with the feature's values: the score that a perfect explanation
    of the latent gets. None for a latent that never fires."""
    other: float | None
    """The mean of the same with the values of the other features: the score of a wrong explanation."""
    again: float | None
    """Largest cosine of the matched row with a decoder row of the SAE of the other seed; None without one."""


@dataclass(frozen=True)
class ToyRow:
    """One figure about toy models or about the SAEs on them, with its interval."""

    part: str
    """`sweep`, `plateaus`, `phases` or `recovery`."""
    what: str
    """`relu`, `linear`, `untrained`; an architecture or a null; `theory`."""
    toy: str
    """As in `toy_recovery`; '' outside."""
    density: float | None
    """None: over all."""
    measure: str
    """`represented`: features per model; `overlapping`: share of the represented that overlap others; `dimensions`: per
    represented feature; `per feature`: hidden dimensions over |W|^2; `agreement`: share of cells where training ends
    where theory says; `recovered`, `nearest`, `cosine`, `f1`, `correlation`, `other`, `again`: means over features;
    `latents`: mean over latents that fire of the largest cosine with a feature; `l0`, `fvu`: of the SAE."""
    value: float | None
    low: float | None
    """Lower bound of its 95% interval; None where there is none, with the note."""
    high: float | None
    """Its upper bound."""
    n: int
    """Models that it is over."""
    features: int
    """Features, latents, or cells, that it is over."""
    note: str
    """What there is to know of the interval."""


@dataclass(frozen=True)
class ToyPhaseRow:
    """Two features in one dimension, at one density and one importance of the second beside the first."""

    density: float
    """Probability that a feature is present."""
    ratio: float
    """Importance of the second feature; the first has 1."""
    seed: int
    """Number of the model's start and data."""
    found: str
    """Where training ends: `first alone`, `second alone`, `both`, or `neither`."""
    theory: str
    """Which solution has the least loss, by formula."""
    loss: float
    """Of the trained model."""
    least: float
    """Of that solution, by formula."""
