"""The rows of the table that says how good the SAEs of a run are."""

from __future__ import annotations

from dataclasses import dataclass

from autointerp.records import Big, Status


@dataclass(frozen=True)
class SaeRow:
    """What an SAE of the run is worth, on held-out contexts drawn for this; None is an unknown number."""

    sae: str
    """Its name in the study. Those of scrambled subjects are not measured."""
    hook: str
    architecture: str
    """As the study trains it; of a loaded checkpoint, as it computes."""
    d_in: int
    """Length of the vectors."""
    width: int
    """Latents."""
    training_tokens: Big | None
    """Tokens that it was trained on, each counted once; None where a loaded checkpoint does not say."""
    passes: int | None
    """How often training went over them; None for a loaded checkpoint."""
    contexts: int
    """Held-out contexts whose vectors were reconstructed."""
    vectors: Big
    """Their vectors."""
    l0: float | None
    """Mean number of active latents per vector."""
    explained_variance: float | None
    """1 less the fraction of variance unexplained, squares summed over vectors and elements; at most 1."""
    dead_share: float | None
    """Share of the latents that none of these vectors activates: more vectors, fewer of them."""
    loss_contexts: int
    """Of the contexts: those in which the reconstruction was spliced into the subject."""
    ce_clean: float | None
    """The subject's loss there, in nats per token."""
    ce_spliced: float | None
    """With the reconstruction in the place of the hook's vectors."""
    ce_zero: float | None
    """With zeros in their place."""
    ce_mean: float | None
    """With their mean in their place."""
    recovered_against_zero: float | None
    """(zero - spliced) / (zero - clean), at most about 1; None where ablation does no harm, with the note."""
    recovered_against_zero_low: float | None
    """Lower bound of its percentile bootstrap over contexts."""
    recovered_against_zero_high: float | None
    """Its upper bound."""
    recovered_against_zero_note: str
    """Why there is no number or no interval."""
    recovered_against_mean: float | None
    """The same against mean ablation, which removes less."""
    recovered_against_mean_low: float | None
    """Lower bound of its interval."""
    recovered_against_mean_high: float | None
    """Its upper bound."""
    recovered_against_mean_note: str
    """Why there is no number or no interval."""
    status: Status
    reason: str
