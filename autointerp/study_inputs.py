"""The study's sections on what is read, trained and drawn: subject, text, SAEs, units. The others are in `study`."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeAlias, get_args

from annotated_types import Ge
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic.dataclasses import dataclass as pydantic_dataclass

from autointerp.hook_names import short_name
from sae.recipe import Recipe

TRAINED = "trained"
"""Name of a subject that the run trains itself."""


_STRICT = ConfigDict(extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)


class Section(BaseModel):
    """One table of the study file: frozen, and strict about its keys."""

    model_config = {**_STRICT, "frozen": True}


class SubjectTraining(Section):
    """How to train a small subject from scratch, on the training split, before everything else."""

    layers: int = Field(default=1, ge=1)
    """Transformer blocks."""
    width: int = Field(default=128, ge=2)
    """Residual dimensions."""
    neurons: int = Field(default=512, ge=1)
    """ReLU neurons of each MLP."""
    heads: int = Field(default=4, ge=1)
    """Attention heads of each layer; they share `width` equally."""
    vocabulary: int = Field(default=4096, ge=257, le=65_536)
    """Tokens at most, learned from training text: 256 bytes, the end of text, and merges."""
    passes: int = Field(default=2, ge=1)
    """Passes over the training split."""
    batch: int = Field(default=16, ge=1)
    """Contexts per step."""
    lr: float = Field(default=1.5e-3, gt=0)
    """Learning rate, at its highest."""

    @model_validator(mode="after")
    def _shared_out(self) -> SubjectTraining:
        if self.width % self.heads:
            raise ValueError(f"{self.heads} heads can't share width = {self.width}: choose a multiple of {self.heads}")
        return self


class Subject(Section):
    """The language model under study."""

    model: str = "builtin"
    """`builtin` (the offline model), hub id, local folder, or GGUF file; `trained` when `train` says how."""
    hooks: tuple[str, ...] = ("layers.5.mlp.neurons",)
    """Short names ([all of them](methods.md#hooks)), for example `layers.N.resid` or `layers.N.mlp.neurons`;
    TransformerLens' names for the same (`blocks.N.hook_resid_pre`); or `module.path:in` / `:out`."""
    revision: str | None = None
    """Commit or tag of a hub model."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda`, `cuda:1`..."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Of the subject's weights and activations."""
    start_token: Literal["auto", "none", "bos", "eos"] = "auto"
    """What stands before every context: the tokenizer's token for the beginning or the end of a text, nothing, or the
    first of the two that there is (`auto`). Vectors near the start of a context are others without it."""
    batch: int = Field(default=16, ge=1)
    """Contexts per forward pass; fixed by the plan, so that a resumed run repeats the same sums."""
    train: SubjectTraining | None = None
    """Train the subject in this run, instead of loading one."""

    @field_validator("hooks")
    @classmethod
    def _short(cls, hooks: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(short_name(hook) for hook in hooks)

    @model_validator(mode="before")
    @classmethod
    def _named_trained(cls, raw: Any) -> Any:
        return {"model": TRAINED, **raw} if isinstance(raw, dict) and raw.get("train") is not None else raw

    @model_validator(mode="after")
    def _one_of(self) -> Subject:
        if (self.model == TRAINED) != (self.train is not None):
            raise ValueError(
                f"model = {self.model!r}: a subject with train = {{...}} is named '{TRAINED}', no other is"
            )
        if self.train is not None and self.start_token != "auto":
            raise ValueError(f"start_token = '{self.start_token}': a subject that is trained has its own")
        return self


class Corpus(Section):
    """The text, and how it is split."""

    source: str = "builtin"
    """`builtin` (listed packages), a file (.txt, .md, .jsonl, .jsonl.gz, .jsonl.zst, .json, .csv, .tsv, .parquet,
    .arrow), a folder of them or of `save_to_disk`, or a hub data set id."""
    tokens: int = Field(default=270_000, ge=1)
    """Tokens in all four splits together; reading stops there."""
    context: int = Field(default=64, ge=8)
    """Tokens per context, the start token not counted."""
    max_per_document: int = Field(default=2, ge=1)
    """Contexts taken from one document at most."""
    pieces: int = Field(default=0, ge=0)
    """Characters of a piece: longer documents are cut into pieces that count as documents, and sources, of their own.
    For a text that stands in one row or file, which would otherwise fall in one split; 0: nothing is cut."""
    pack: bool = False
    """Join texts that are shorter than a context, with the end token between them, where each is its own source. The
    model's attention goes across that token."""
    train: float = Field(default=0.42, ge=0, le=1)
    """Share of the tokens that trains the SAE."""
    evidence: float = Field(default=0.34, gt=0, le=1)
    """Share shown to the explainer, also used for densities, thresholds and the ranking of candidates."""
    calibration: float = Field(default=0.0, ge=0, le=1)
    """Share that fits a simulator's scale (only metrics of absolute value need it)."""
    held_out: float = Field(default=0.24, gt=0, le=1)
    """Share that scores."""
    near_duplicate: float = Field(default=0.7, gt=0, le=1)
    """Estimated Jaccard similarity of word 5-grams above which a document is a copy and is dropped."""
    text_field: str = "text"
    """Column or key of documents that are rows which holds the text; `data.text`: the one inside another."""
    source_field: str | None = None
    """Column or key that names a document's source file; without it, or where it is null, each document is its own."""
    config: str | None = None
    """Configuration name of a hub data set."""
    hub_split: str = "train"
    """Split of a hub data set, or of a saved one that has several."""

    @model_validator(mode="after")
    def _whole(self) -> Corpus:
        total = self.train + self.evidence + self.calibration + self.held_out
        if abs(total - 1) > 1e-6:
            raise ValueError(f"the four fractions sum to {total:g}, they must sum to 1")
        return self


@pydantic_dataclass(frozen=True, config=_STRICT)
class SaeTraining(Recipe):
    """How to train an SAE."""

    passes: Annotated[int, Ge(1)] = 4
    """Passes over the training split."""


class Sae(Section):
    """One sparse autoencoder: a checkpoint to load, or a recipe to train."""

    name: str = "sae"
    """What it is called in arms, tables and folders: letters, digits, `_`, `.` and `-`."""
    hook: str = "layers.5.mlp.neurons"
    """Where it reads; one of `subject.hooks`. Left out of an SAE that has a name of SAELens' registry, it is what the
    registry says, and so are `subject.hooks`."""
    checkpoint: str | None = None
    """Local folder or file, hub id, or `saelens:RELEASE/ID` (`autointerp sae list` shows what there is), of any layout
    that [can be read](sae-training.md#checkpoints)."""
    despite: tuple[Literal["model", "hook", "context", "start_token", "dtype"], ...] = ()
    """What a checkpoint says of itself and the study contradicts, and may: the run stops otherwise."""
    train: SaeTraining | None = None
    """Train it in this run, instead of loading a checkpoint."""

    @model_validator(mode="after")
    def _one_of(self) -> Sae:
        if (self.checkpoint is None) == (self.train is None):
            raise ValueError("an SAE needs either checkpoint = ... or train = {...}, not both")
        return self

    @field_validator("hook")
    @classmethod
    def _short(cls, hook: str) -> str:
        return short_name(hook)

    @field_validator("name")
    @classmethod
    def _plain(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
            raise ValueError(f"SAE name '{name}' may hold letters, digits, '_', '.' and '-' only")
        return name


class ScrambledSubject(Section):
    """One of them."""

    scheme: Literal["permuted", "init"]
    seed: int

    @property
    def name(self) -> str:
        """`permuted-0`."""
        return f"{self.scheme}-{self.seed}"


class Scrambled(Section):
    """Scrambled subjects: the same model, with weights that say nothing. On each, SAEs are trained by the recipes of
    `[[sae]]`, and features and neurons are explained and scored like the subject's own. SAEs from checkpoints have no
    recipe, and no counterpart there."""

    schemes: tuple[Literal["permuted", "init"], ...] = ("permuted",)
    """`permuted` (the entries of every weight matrix change places; embeddings and norms are kept), `init` (the model's
    own initialiser: an easy null)."""
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = (0,)
    """A subject per scheme and seed; three or more, for an interval that covers the choice of the seed. None: there is
    no scrambled subject. Nor is there one where the study trains no SAE."""
    features: int = Field(default=24, ge=2)
    """Per scrambled subject and SAE."""
    neurons: int = Field(default=24, ge=2)
    """Per scrambled subject and hook."""
    derangements: int = Field(default=4, ge=1)
    """Pairings of each of these units with another unit's explanation: `compare.derangements` where that is fewer. They
    only tell what chance gives there, and are most of what simulating costs."""

    @field_validator("schemes", "seeds")
    @classmethod
    def _distinct(cls, given: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(set(given)) < len(given):
            raise ValueError(f"{list(given)} names one twice")
        return given


class Units(Section):
    """How many units of each arm."""

    features: int = Field(default=64, ge=0)
    """Per SAE."""
    neurons: int = Field(default=64, ge=0)
    """Per hook."""
    principal: int = Field(default=0, ge=0)
    """Principal components (PCA) per hook, of its vectors on the training split."""
    independent: int = Field(default=0, ge=0)
    """Independent components (ICA) per hook, out of four times as many."""
    directions: int = Field(default=24, ge=0)
    """Random directions per hook, and noise units per SAE, where these controls are on."""
    sparse: int = Field(default=24, ge=1)
    """Units of each `KIND-sparse` control: the first ones that are drawn of the kind, where it has more."""
    controls: tuple[str, ...] = ("direction", "neuron-sparse", "direction-sparse", "noise")
    """Arms beside features and neurons: `direction` (random directions), `noise` (values of features, drawn anew for
    every token), and `KIND-sparse`: the units of a kind again, each with the density of a feature."""
    kinds: dict[str, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    """Units of each kind that a package registers, by its name: per hook, or per SAE."""
    min_contexts: int = Field(default=10, ge=2)
    """Evidence contexts that a unit must be active in to be sampled; the rest are excluded and counted."""


Factor: TypeAlias = Literal["corpus", "sae", "units", "evidence", "explain", "simulate"]
"""What may be drawn anew by itself."""
FACTORS: tuple[Factor, ...] = get_args(Factor)


class Seeds(Section):
    """Seeds of parts of a run, each `seed` where it is left out: what is drawn from one may change while the rest
    stays."""

    corpus: int | None = Field(default=None, ge=0)
    """Which documents are taken, their splits, and the contexts cut out of them."""
    sae: int | None = Field(default=None, ge=0)
    """Initial weights of the SAEs that the run trains, and the order of the vectors that train them."""
    units: int | None = Field(default=None, ge=0)
    """Which units are sampled of every arm, random directions, noise, and where ICA starts."""
    evidence: int | None = Field(default=None, ge=0)
    """Which contexts a unit gets, evidence and held-out alike, where they are not its top ones."""
    explain: int | None = Field(default=None, ge=0)
    """What the explainers draw, and the seeds of their requests."""
    simulate: int | None = Field(default=None, ge=0)
    """Bank and requests of the simulator, which ranks candidates too, the judges' items, and the pairings with other
    units' explanations."""


class Training(Section):
    """How the SAEs of a study are trained, all of them."""

    shards: bool = True
    """Put the activations on disk first, so that several passes cost one run of the subject. Else the subject computes
    them while training goes on, once per pass (and per hook), and a buffer in memory mixes them."""
    buffer: int = Field(default=65_536, ge=2)
    """Vectors in that buffer; each takes 4 bytes per dimension of the hook."""
    minutes: float = Field(default=5.0, ge=0)
    """Between two checkpoints, from which an interrupted training goes on."""
    log: tuple[Literal["tensorboard", "wandb"], ...] = ()
    """Where the figures of training go besides `training/NAME/metrics.csv`."""
    log_every: int = Field(default=1, ge=1)
    """Every so many steps, and the last."""
