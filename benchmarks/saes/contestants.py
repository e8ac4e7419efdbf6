"""Who is measured, and how each was run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from common.environments import Environment, pinned

from sae.architectures.registry import TRAINABLE

ARCHITECTURES = tuple(TRAINABLE)
"""All of ours: a new one appears by itself."""
_PENALISED = ("standard", "gated")


@dataclass(frozen=True)
class Contestant:
    """A library that trains sparse autoencoders."""

    name: str
    module: str
    """Of `saes.clients`."""
    how: str
    """What is run, and what was changed from outside to run it here."""
    variants: Mapping[str, tuple[str, ...]]
    """By architecture: the library's own ways to train it that are measured; '' where there is one."""
    fastest: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """More ways, which come to the same and are for speed alone."""
    lacks: str = "it does not have this architecture"
    """Why it has no more of them."""
    penalty: float = 0.1
    """Where the search for the sparsity penalty starts, in its own unit."""
    environment: Environment | None = None
    """None: the Python that runs the benchmark."""

    def __hash__(self) -> int:
        return hash(self.name)


@dataclass(frozen=True)
class Entry:
    """One contestant's way to train one architecture: a row."""

    contestant: Contestant
    architecture: str
    variant: str

    @property
    def penalised(self) -> bool:
        """Whether a penalty, not `k`, says how sparse the code is."""
        return self.architecture in _PENALISED

    @property
    def name(self) -> str:
        """What the tables call it."""
        return f"{self.contestant.name}, {self.variant}" if self.variant else self.contestant.name


_ONE = ("",)
_COMMON = dict.fromkeys(("standard", "gated", "jumprelu", "topk", "batchtopk", "matryoshka"), _ONE)
_TORCH = pinned("torch")

OURS = Contestant("autointerp", "ours", "sae.training.trainer.Trainer.step", dict.fromkeys(ARCHITECTURES, _ONE))
SAE_LENS = Contestant(
    "SAELens",
    "sae_lens",
    "SAETrainer.fit; all its dependencies installed, nothing patched; vectors scaled as by its "
    "expected_average_only_in, but from outside, since its folding of that scale leaves BatchTopK's threshold as it "
    "was; jumprelu with its quadratic loss, which aims at an L0; what is scored is the "
    "inference model that it saves; counts the steps since a latent was active, and has AuxK; "
    "sparse: with use_sparse_activations, which on a CPU needs rescale_acts_by_decoder_norm off",
    _COMMON,
    fastest={"topk": ("sparse",)},
    penalty=1.0,
    environment=Environment("sae-lens", "sae-lens==6.54.0", (_TORCH, "sae-lens==6.54.0")),
)
DICTIONARY_LEARNING = Contestant(
    "dictionary_learning",
    "dictionary_learning",
    "trainSAE over its trainers, with normalize_activations; nnsight and wandb, which it imports and training does "
    "not use, replaced by stand-ins; the topk ones count the vectors since a latent was active, and have AuxK",
    {**_COMMON, "standard": ("", "April")},
    penalty=0.1,
    environment=Environment(
        "dictionary-learning",
        "dictionary-learning==0.1.0",
        (_TORCH, "numpy==2.4.6", "einops==0.8.2", "tqdm==4.70.1"),
    ),
)
SPARSIFY = Contestant(
    "sparsify",
    "sparsify",
    "Trainer.fit on a model whose hooked module gives out the vectors; datasets, which is not used, replaced by a "
    "stand-in; eager: its kernels are for triton, which there is for a GPU only; counts the vectors since a latent "
    "was active; AuxK is off by default, and so in the measurement of speed",
    {"topk": ("signum", "adam")},
    lacks="it has TopK (and groupmax) only",
    environment=Environment(
        "sparsify",
        "eai-sparsify==1.3.3",
        (
            _TORCH,
            pinned("transformers"),
            "accelerate==1.15.0",
            "einops==0.8.2",
            "natsort==8.4.0",
            "safetensors==0.8.0",
            "schedulefree==1.4.1",
            "simple-parsing==0.1.9",
        ),
    ),
)
EVERYBODY = (OURS, SPARSIFY, SAE_LENS, DICTIONARY_LEARNING)


def entries(contestant: Contestant, architecture: str, speed: bool = False) -> tuple[Entry, ...]:
    """The rows of a contestant for an architecture; none if it lacks it."""
    variants = contestant.variants.get(architecture, ())
    more = contestant.fastest.get(architecture, ()) if speed else ()
    return tuple(Entry(contestant, architecture, variant) for variant in (*variants, *more))
