"""Hashes and atomic writes: an artefact is whole or absent, and names its parents by hash."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs

from autointerp.errors import BadInput
from sae.atomic import umask


def user_cache() -> Path:
    """Where things that can be made again are kept: AUTOINTERP_CACHE, or the user's cache folder."""
    return Path(os.environ.get("AUTOINTERP_CACHE") or platformdirs.user_cache_dir("autointerp"))


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: the same value gives the same text on every machine."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def hash_value(value: Any) -> str:
    """SHA-256 (hex) of a JSON-like value."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def hash_file(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes; of a folder, the hash over its files' names and hashes."""
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.is_file())
        return hash_value({str(p.relative_to(path)): hash_file(p) for p in files})
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def seed_of(*parts: str | int) -> int:
    """A 63-bit seed derived from names and numbers: passed on, never global."""
    digest = hashlib.sha256(canonical_json([str(p) for p in parts]).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def rng_of(*parts: str | int) -> np.random.Generator:
    """A generator seeded by names and numbers, so that no draw depends on what was drawn before it."""
    return np.random.default_rng(seed_of(*parts))


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary sibling to write to; on success flush it and rename it to `path`, else remove it.

    Raises BadInput when the folder can't be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    except OSError as error:
        raise BadInput(
            f"can't write in {path.parent} ({error.strerror})", "give a writable folder with --out"
        ) from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~umask())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path`, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` as UTF-8, whole or not at all."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write readable JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file; BadInput names the file when it is damaged."""
    try:
        return json.loads(path.read_text("utf8"))
    except FileNotFoundError as error:
        raise BadInput(f"no file {path}", "run the stage that writes it first") from error
    except ValueError as error:
        raise BadInput(f"{path} is not JSON ({error})", "remove it and run again") from error
