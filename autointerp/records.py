"""The types that flow between the stages. Scale is a type; failure is a value with a reason."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Annotated

import numpy as np
from jaxtyping import Float, Int

Big = Annotated[int, "int64"]
"""A count that may pass two thousand million."""


class Split(StrEnum):
    """Where a document's contexts may be used. No document and no source file is in two of them."""

    TRAIN = "train"
    """Trains the SAE; never shown, never scored."""
    EVIDENCE = "evidence"
    """Shown to the explainer, ranks candidates, sets densities, thresholds and orientations."""
    CALIBRATION = "calibration"
    """Fits the scale of a simulator where an absolute value is wanted."""
    HELD_OUT = "held-out"
    """Scores."""


class Kind(StrEnum):
    """How a context was drawn for a unit. Quantile bands append their number: `quantile-3`; hard negatives their sort:
    `hard-negative-token`, `hard-negative-co-active`, `hard-negative-nearest`."""

    TOP = "top"
    QUANTILE = "quantile"
    RANDOM = "random"
    """Drawn blindly: it keeps its true activations, whatever they are."""
    HARD_NEGATIVE = "hard-negative"
    """Resembles the unit's active contexts, and the unit was seen to be silent on all of it."""


class Status(StrEnum):
    """What became of a unit, an explanation, a simulation or a score."""

    OK = "ok"
    EXCLUDED = "excluded"
    """Left out before sampling (dead, too few contexts); counted per arm."""
    UNSCORED = "unscored"
    """Sampled, and could not be scored; counted, with its reason."""


class Scale(StrEnum):
    """The scale of a predicted activation."""

    OWN = "own"
    """The unit's own activation."""
    NATS = "nats"
    """A difference of log-probabilities."""
    ZERO_TO_NINE = "0-9"
    """Bills et al. 2023's display scale, in ten steps of the maximum over the evidence."""
    NAMED = "named"
    """1 on tokens that the explanation names, else 0."""
    COSINE = "cosine"
    """A difference of cosines between vectors of a sentence model."""
    READ = "read"
    """What a trained reader gives: no unit, and the same for every unit of the study."""


class Pairing(StrEnum):
    """Whose explanation a unit is scored with."""

    OWN = "own"
    SHUFFLED = "shuffled"
    """Another unit's of the same arm: the mean over seeded derangements."""
    LIST = "list"
    """The best of the unit's own lists of words, by the ranking on evidence; chosen or not."""
    DESCRIPTION = "description"
    """The best of its own descriptions."""


@dataclass(frozen=True)
class Unscored:
    """A failure, as a value."""

    reason: str
    """Why, in words that group well: no ids and no numbers that differ between units."""
    answer: str = field(default="", compare=False, repr=False)
    """The beginning of the answer that could not be used, for the record only; '' where nothing came back."""


@dataclass(frozen=True)
class Context:
    """A fixed window of tokens out of one document."""

    context: int
    """Its id: position in the order of the corpus, unique in a run."""
    split: Split
    document: int
    source: str
    """The source file (or module, or data set row group) that its document is from."""
    start: int
    """Offset of its first token in the document's tokens."""
    tokens: Int[np.ndarray, " token"]
    """Token ids of the subject's tokenizer, without the start token."""
    pieces: tuple[str, ...]
    """The text of each token; joined they are the context's text. A token that only starts a
    character is '', the token that ends it carries it."""

    @cached_property
    def text(self) -> str:
        """The context as it stood in the document."""
        return "".join(self.pieces)


@dataclass(frozen=True)
class Unit:
    """Anything with one scalar per token: an SAE feature, a neuron, a direction."""

    unit: str
    """Readable id: `feature/1234`, `neuron/17-`, `direction/3`."""
    replicate: int
    arm: str
    hook: str
    sae: str
    """Name of the SAE; '' outside the feature arms."""
    index: int
    """Latent, neuron or direction number."""
    sign: int
    """+1 or -1: the orientation; the truth is `relu(sign * (a - threshold...))`, see `units`."""
    threshold: float
    """Oriented activations at or under it count as 0; in the unit's own scale."""
    density: float
    """Share of evidence tokens on which the unit is active."""
    max_activation: float
    """Peak over the evidence, in the unit's own scale."""
    single_token: float
    """Share of its top evidence contexts whose peak is on the most common peak token."""
    status: Status = Status.OK
    reason: str = ""
    subject: str = ""
    """The scrambled subject that it is a unit of, by scheme and seed: `permuted-0`; '' for the subject itself."""


@dataclass(frozen=True)
class Effects:
    """What a unit does to the next token by its output direction alone, through final norm and unembedding."""

    promoted: tuple[str, ...]
    """Tokens whose logits it raises most, the strongest first."""
    suppressed: tuple[str, ...]
    """Tokens whose logits it lowers most, the strongest first."""


@dataclass(frozen=True)
class Exemplar:
    """One context of one unit, with the unit's true activations on it."""

    unit: str
    replicate: int
    context: int
    kind: str
    """`top`, `quantile-0`..., `random`, `hard-negative-token`..."""
    weight: float
    """How many contexts of its split it stands for, drawn this way alone: the inverse of its chance to be drawn; 1
    where it was not left to chance."""
    activations: Float[np.ndarray, " token"]
    """True activations, in the unit's own scale, never below 0."""


@dataclass(frozen=True)
class Candidate:
    """An explanation that was proposed, before one is chosen."""

    text: str
    explainer: str
    prompt: str = ""
    """`name@hash` of the prompt; '' when no language model was asked."""
    request: str = ""
    """The ledger's key of the request; '' when no language model was asked."""


@dataclass(frozen=True)
class Simulation:
    """Predicted activations of one unit on several contexts."""

    predicted: Float[np.ndarray, "context token"]
    scale: Scale
