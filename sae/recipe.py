"""What to train and how: every number that a training run depends on, besides its vectors and its seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le

Share = Annotated[float, Ge(0), Le(1)]
"""Of the steps of a whole run."""


@dataclass(frozen=True)
class Recipe:
    """An architecture and its settings.

    The penalties `l1` and `l0` are in units that don't depend on the scale of the vectors: a loss of 1 is the variance
    of the vectors, left unexplained.
    """

    architecture: Literal["batchtopk", "gated", "jumprelu", "matryoshka", "standard", "topk"] = "batchtopk"
    """Which latents are active, and what the penalty is ([training](sae-training.md))."""
    width: Annotated[int, Ge(2)] = 4096
    """Latents."""
    k: Annotated[int, Ge(1)] = 32
    """Active latents per vector (topk), on average over a batch (batchtopk, matryoshka), or aimed at (jumprelu)."""
    l1: Annotated[float, Ge(0)] = 0.1
    """Penalty on the sum of a vector's activations (standard, gated), in root mean square lengths of the vectors."""
    l0: Annotated[float, Ge(0)] = 1.0
    """Penalty on the squared relative distance of the mean number of active latents from `k` (jumprelu)."""
    groups: tuple[float, ...] = (0.0625, 0.125, 0.25, 0.5625)
    """Shares of the latents, which add up to 1: each group refines what those before it say (matryoshka)."""
    batch: Annotated[int, Ge(2)] = 2048
    """Vectors per step, of all processes together."""
    lr: Annotated[float, Gt(0)] = 1e-3
    """Learning rate of Adam, at its highest."""
    warm_up: Share = 0.05
    """Share in which the learning rate rises from 0."""
    decay: Literal["linear", "cosine", "none"] = "linear"
    """How it falls to 0 at the end."""
    decay_share: Share = 0.25
    """Share in which it falls."""
    sparsity_warm_up: Share = 0.05
    """Share in which the penalties rise from 0 (standard, gated, jumprelu)."""
    clip: Annotated[float, Gt(0)] | None = None
    """Largest norm of all gradients together; longer ones are shortened. None: never."""
    resample: tuple[Share, ...] = (0.125, 0.25, 0.375, 0.5)
    """Where in the run dead latents are given new weights (standard)."""
    resample_draw: Annotated[int, Ge(1)] = 819_200
    """Vectors, those of the last steps before, that their new weights are drawn from."""
    freeze: Literal["none", "decoder", "soft-decoder", "encoder"] = "none"
    """What stays as it was drawn, as a control (Korznikov et al. 2026): `decoder`, `encoder` (its matrix; biases and
    thresholds are trained), or `soft-decoder`, whose rows keep a cosine of 0.8 or more with their start. Without
    resampling."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the encoder's product. `auto`: bfloat16 on a GPU where it is found to be faster, and on a processor that has
    such products where the product is large."""
    compile: bool = False
    """Whether torch.compile makes the encoder's product (it needs a C++ compiler; worth its time on a GPU)."""
