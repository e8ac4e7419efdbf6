"""Does a checkpoint belong to this study? What it says of its subject and hook is held against what the study has."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from autointerp.errors import BadInput
from autointerp.hook_names import short_name
from autointerp.progress import say
from autointerp.study import Study
from autointerp.study_inputs import Sae
from autointerp.subject.forward import Subject
from autointerp.subject.hooks import same_tensor
from sae.published.registry import Published, every_published

_SAME = {
    "builtin": "smollm2-135m-instruct", "gpt2-small": "gpt2", "meta-llama-3.1-8b": "llama-3.1-8b",
    "mistral-7b-v0.1": "mistral-7b",
}  # fmt: skip
"""Models that checkpoints and the hub call by different names, without owner and in small letters."""
_TYPES = {"fp32": "float32", "float": "float32", "bf16": "bfloat16", "fp16": "float16", "half": "float16"}
_READS_OTHERWISE = ("normalize_activations", "model_from_pretrained_kwargs")


@dataclass(frozen=True)
class Contradiction:
    """One."""

    key: str
    """How `sae.despite` calls it."""
    what: str
    """Both sides."""
    remedy: str


def check_agreement(study: Study, subject: Subject, sae: Sae, said: Mapping[str, Any]) -> None:
    """Raises BadInput for the first contradiction between a checkpoint's metadata and the study.

    Those that `sae.despite` names are told and let through. What a checkpoint doesn't say contradicts nothing.
    """
    for found in _contradictions(study, subject, sae, said):
        if found.key not in sae.despite:
            more = f"{found.remedy}, or let it through with sae.despite = ['{found.key}']"
            raise BadInput(f"SAE '{sae.name}': {found.what}", more)
        say(f"  SAE '{sae.name}', let through by sae.despite: {found.what}")
    if sae.checkpoint is not None and (twin := _twin(sae.checkpoint, said)) is not None:
        told = ", ".join(key for key in _READS_OTHERWISE if key in twin.overrides)
        say(
            f"  SAE '{sae.name}' looks like a copy of {twin.name}, of which SAELens' registry says {told}: "
            "load it by that name, or its numbers may be wrong"
        )


def _contradictions(study: Study, subject: Subject, sae: Sae, said: Mapping[str, Any]) -> Iterator[Contradiction]:
    model, hook, context = (said.get(key) for key in ("model_name", "hook_name", "context_size"))
    if isinstance(model, str) and not _same_model(model, study):
        what = f"its checkpoint is for model '{model}', the study's is '{study.subject.model}'"
        yield Contradiction("model", what, "set subject.model")
    if isinstance(hook, str) and not _same_hook(subject, hook, sae.hook):
        what = f"its checkpoint is for hook '{hook}', the study's is '{sae.hook}'"
        known = short_name(hook)
        yield Contradiction("hook", what, f"set sae.hook and subject.hooks to '{known}', if that is a hook here")
    if isinstance(context, int) and study.corpus.context > context > 0:
        what = f"its checkpoint is for contexts of at most {context} tokens, the study's have {study.corpus.context}"
        yield Contradiction("context", what, f"set corpus.context = {context}")
    begins = said.get("prepend_bos")
    if isinstance(begins, bool) and begins != (subject.start_token is not None):
        with_one, without = "with a start token before each", "without a start token"
        there, here = (with_one, without) if begins else (without, with_one)
        remedy = f"set subject.start_token = '{'auto' if begins else 'none'}'"
        yield Contradiction("start_token", f"its checkpoint is for contexts {there}, the study's are {here}", remedy)
    precision = _precision(said)
    if precision is not None and precision != study.subject.dtype:
        what = f"its checkpoint is for a subject in {precision}, the study's is in {study.subject.dtype}"
        yield Contradiction("dtype", what, f"set subject.dtype = '{precision}', if that is a type here")


def _precision(said: Mapping[str, Any]) -> str | None:
    """What a subject's weights were loaded as, as SAELens passes it on; the SAE's own `dtype` says nothing of that.

    SAELens writes the latter with every SAE, float32 for those whose subjects nobody loads so.
    """
    loaded_with = said.get("model_from_pretrained_kwargs")
    if not isinstance(loaded_with, Mapping):
        return None
    named = loaded_with.get("dtype") or loaded_with.get("torch_dtype")
    plain = named.removeprefix("torch.") if isinstance(named, str) else None
    return None if plain is None else _TYPES.get(plain, plain)


def _same_model(said: str, study: Study) -> bool:
    """Whether a checkpoint's name of a model means the study's.

    Folders may be called anything: of a local one whose path bears no model's name nothing is known.
    """
    wanted = study.subject.model
    path = Path(wanted).expanduser()
    if said == wanted or study.subject.train is not None or not path.exists():
        return _plain(said) == _plain(wanted)
    named = {_plain(part) for part in path.absolute().parts}
    return _plain(said) in named or not named & _models()


def _plain(name: str) -> str:
    """Without owner, hub folder and file ending, in small letters."""
    plain = re.sub(r"^models--.*--|\.(?:gguf|safetensors)$", "", name.rstrip("/").rpartition("/")[2].lower())
    return _SAME.get(plain, plain)


@cache
def _models() -> frozenset[str]:
    return frozenset(_plain(known.model) for known in every_published())


def _same_hook(subject: Subject, said: str, wanted: str) -> bool:
    if short_name(said) == wanted:
        return True
    try:
        return same_tensor(subject.model, short_name(said), wanted)
    except BadInput:  # it is no hook that we know, so it can't be shown to be the study's
        return False


def _twin(checkpoint: str, said: Mapping[str, Any]) -> Published | None:
    """An SAE of the registry with things that no file says, which a local checkpoint of this model and hook may be."""
    model, hook = said.get("model_name"), said.get("hook_name")
    if not Path(checkpoint).exists() or not isinstance(model, str) or not isinstance(hook, str):
        return None
    for known in every_published():
        told = [key for key in _READS_OTHERWISE if key in known.overrides]
        same = known.hook is not None and short_name(known.hook) == short_name(hook)
        if told and same and _plain(known.model) == _plain(model) and not any(said.get(key) for key in told):
            return known
    return None
