"""A GGUF file becomes a folder of safetensors, once: parsing one takes 20 seconds, the folder half a second."""

from __future__ import annotations

import io
import os
import tempfile
from contextlib import redirect_stderr
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, GgufConfig, PreTrainedTokenizerFast

from autointerp.artifacts import hash_file, user_cache
from autointerp.errors import BadInput
from autointerp.models.quiet import UNREADABLE, first_line, quiet
from autointerp.progress import say


def converted(gguf: Path) -> tuple[Path, str]:
    """The folder that holds `gguf` as float32 safetensors, and the SHA-256 of the file; made now if it never was.

    The folder is in the user's cache, or below AUTOINTERP_CACHE, and is named by the file's hash and the version of
    transformers that converted it. It is whole or absent, also when two processes convert at the same time.

    Raises BadInput when the file is not GGUF, is damaged or of an unknown architecture, or the cache can't be written.
    """
    with gguf.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise BadInput(f"file '{gguf}' is not a GGUF file", "give a GGUF file or a model's folder")
    digest = hash_file(gguf)
    folder = user_cache() / "models" / f"gguf-{digest[:32]}-transformers-{version('transformers')}"
    if not folder.is_dir():
        say(f"converting {gguf.name} to safetensors, this once (some 20 seconds; a large model takes longer)")
        _fill(folder, gguf)
    return folder, digest


def _fill(folder: Path, gguf: Path) -> None:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".part-", dir=folder.parent) as temporary:
            part = Path(temporary) / "model"
            model, tokenizer = _read(gguf)
            with quiet():
                model.save_pretrained(part)
                tokenizer.save_pretrained(part)
            _publish(part, folder)
    except (OSError, SafetensorError) as error:
        what = f"can't write the converted model in {folder.parent} ({first_line(error)})"
        raise BadInput(what, "set AUTOINTERP_CACHE to a writable folder with room for it") from error


def _read(gguf: Path) -> tuple[Any, Any]:
    place = str(gguf.parent)
    try:
        # The legacy reader draws a bar of its own on standard error, whatever the settings say.
        with quiet(), redirect_stderr(io.StringIO()):
            # The generic class: AutoTokenizer would parse the whole file once more, only to choose the same one.
            tokenizer = PreTrainedTokenizerFast.from_pretrained(place, gguf_file=gguf.name)
            model = AutoModelForCausalLM.from_pretrained(
                place,
                gguf_file=gguf.name,
                dtype=torch.float32,
                quantization_config=GgufConfig(dequantize=True),
                trust_remote_code=False,
            )
    except UNREADABLE as error:
        what = f"GGUF file '{gguf}' can't be converted ({first_line(error)})"
        raise BadInput(what, "give a whole GGUF file of an architecture that transformers knows") from error
    return model, tokenizer


def _publish(part: Path, folder: Path) -> None:
    """Give the finished folder its name; when another process was first, keep the other's."""
    for file in part.iterdir():
        with file.open("rb") as handle:
            os.fsync(handle.fileno())
    try:
        part.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
