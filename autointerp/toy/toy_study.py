"""The study of toy models: a TOML file, every key with a default, an unknown key refused."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from annotated_types import Ge, Gt, Le, Len
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from autointerp.artifacts import hash_value
from autointerp.errors import BadInput, nearest

Density = Annotated[float, Gt(0), Le(1)]
Count = Annotated[int, Ge(1)]
Several = Annotated[int, Ge(2)]
ArchitectureName = Literal["standard", "gated", "jumprelu", "topk", "batchtopk", "matryoshka"]

FORMAT = 1
"""Of what is computed: another number, and finished folders are computed again."""


class _ToySection(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Sweep(_ToySection):
    """Few features in few dimensions, over densities."""

    features: Several = 5
    hidden: Count = 2
    decay: Annotated[float, Gt(0), Le(1)] = 0.9
    """Importance of each feature over that of the one before."""
    densities: Annotated[tuple[Density, ...], Len(1)] = (1.0, 0.3, 0.1, 0.03)
    """Probabilities that a feature is present: 1 less its sparsity."""
    seeds: Several = 10
    steps: Annotated[int, Ge(20)] = 3000
    batch: Several = 256


class Plateaus(_ToySection):
    """Many features of one importance, over densities: hidden dimensions per feature."""

    features: Several = 60
    hidden: Count = 12
    densities: Annotated[tuple[Density, ...], Len(1)] = (1.0, 0.5, 0.25, 0.12, 0.06, 0.03, 0.015)
    seeds: Several = 3
    steps: Annotated[int, Ge(20)] = 1500
    batch: Several = 256


class Phases(_ToySection):
    """Two features in one dimension: density by importance of the second."""

    densities: Annotated[tuple[Density, ...], Len(1)] = (1.0, 0.68, 0.46, 0.32, 0.22, 0.15, 0.1)
    ratios: Annotated[tuple[Annotated[float, Gt(0)], ...], Len(1)] = (0.1, 0.22, 0.46, 0.8, 1.25, 2.2, 4.6, 10.0)
    """Importances of the second feature; the first has 1."""
    seeds: Several = 6
    steps: Annotated[int, Ge(20)] = 800
    batch: Several = 256


class Recovering(_ToySection):
    """SAEs on the hidden vectors of toy models: do they find the features?"""

    features: Several = 20
    hidden: Several = 8
    density: Density = 0.05
    toys: Several = 3
    """Toy models, each trained from a start of its own."""
    steps: Annotated[int, Ge(20)] = 1500
    """Of the toy models' training."""
    batch: Several = 512
    architectures: Annotated[tuple[ArchitectureName, ...], Len(1)] = (
        "standard", "gated", "jumprelu", "topk", "batchtopk", "matryoshka",
    )  # fmt: skip
    width: Several = 20
    """Latents of each SAE."""
    k: Count = 1
    """Active latents per vector (topk, batchtopk, matryoshka, jumprelu)."""
    l1: Annotated[float, Ge(0)] = 0.6
    """Penalty of the standard SAE."""
    l1_gated: Annotated[float, Ge(0)] = 1.0
    """Penalty of the gated SAE."""
    lr: Annotated[float, Gt(0)] = 1e-2
    """Learning rate of the SAEs but JumpReLU, whose thresholds must go further."""
    lr_jumprelu: Annotated[float, Gt(0)] = 3e-2
    vectors: Annotated[int, Ge(1024)] = 32_768
    """Hidden vectors that they are trained on."""
    passes: Count = 8
    held_out: Annotated[int, Ge(256)] = 8192
    """Vectors of their own on which activations are held against features."""


class ToyStudy(_ToySection):
    """Toy models of superposition, and the SAEs on them."""

    seed: Annotated[int, Ge(0)] = 0
    sweep: Sweep = Sweep()
    plateaus: Plateaus = Plateaus()
    phases: Phases = Phases()
    recovery: Recovering = Recovering()

    @model_validator(mode="after")
    def _fits(self) -> ToyStudy:
        if self.recovery.k > self.recovery.width:
            raise ValueError(f"k = {self.recovery.k} of {self.recovery.width} latents; lower k or raise width")
        if self.recovery.vectors * self.recovery.passes < 10 * SAE_BATCH:
            raise ValueError("under ten steps of SAE training; raise vectors or passes")
        return self

    @property
    def identity(self) -> str:
        """Hash of everything that the results depend on."""
        return hash_value({"format": FORMAT, **self.model_dump(mode="json")})


SAE_BATCH = 256
"""Vectors per step of an SAE's training."""


def load_toy_study(path: Path | None) -> ToyStudy:
    """Read a study file; None: the defaults. Raises BadInput: no file, bad TOML, unknown keys, values out of range."""
    if path is None:
        return ToyStudy()
    try:
        raw = tomllib.loads(path.read_text("utf-8-sig"))
    except FileNotFoundError as error:
        raise BadInput(f"no study file {path}", "see examples/toy/ for one to start from") from error
    except (tomllib.TOMLDecodeError, UnicodeError, OSError) as error:
        raise BadInput(f"{path} is not readable TOML ({error})", "correct it, or see examples/toy/") from error
    try:
        return ToyStudy.model_validate(raw)
    except ValidationError as error:
        raise _explained(error) from error


def _explained(error: ValidationError) -> BadInput:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        model: Any = ToyStudy
        for part in first["loc"][:-1]:
            model = model.model_fields[str(part)].annotation
        return BadInput(f"unknown key '{where}' in the study", nearest(str(first["loc"][-1]), model.model_fields))
    value = first["input"]
    shown = "" if isinstance(value, dict | list | tuple | BaseModel) else f" = {value!r}"
    message = first["msg"].removeprefix("Value error, ")
    if where:
        return BadInput(f"study: {where}{shown}", message)
    what, _, remedy = message.partition("; ")
    return BadInput(f"study: {what}", remedy)


def dump_toy_study(study: ToyStudy) -> str:
    """The study as TOML with every default written out; reading it back gives an equal study."""
    return tomli_w.dumps(study.model_dump(mode="json"))
