"""Atomic files and folders: whole or absent, whatever interrupts the writing."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sae.errors import SaeError


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Give a temporary sibling folder to fill; on success flush it and put it in the place of `folder`, else remove it.

    An earlier `folder` is replaced as a whole: no reader ever sees the weights of one and the configuration of the
    other. Raises SaeError when the parent can't be written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent))
    except OSError as error:
        raise _unwritable(folder.parent, error) from error
    retired = temporary.with_suffix(".old")
    try:
        yield temporary
        for path in temporary.iterdir():
            _flush(path)
        temporary.chmod(0o777 & ~umask())
        if folder.exists():
            folder.rename(retired)
        temporary.rename(folder)
    except OSError as error:
        if retired.exists() and not folder.exists():
            retired.rename(folder)
        raise _unwritable(folder, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(retired, ignore_errors=True)


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Give a temporary sibling file to write; on success flush it and rename it to `path`, else remove it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        _flush(temporary)
        temporary.replace(path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def umask() -> int:
    """The permissions that new files are made without."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _unwritable(path: Path, error: OSError) -> SaeError:
    return SaeError(f"can't write {path} ({error.strerror or error})", "give a folder that is writable and has room")
