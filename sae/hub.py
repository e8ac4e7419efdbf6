"""Where a checkpoint's two files are, and so of which layout it is: a local folder, or the Hugging Face hub."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, HFValidationError, LocalEntryNotFoundError

from sae.errors import SaeError
from sae.formats.interface import Files, Format

_HUB_ID = re.compile(r"(?P<repo>[\w-][\w.-]*/[\w-][\w.-]*)(?:/(?P<folder>[^@]+))?(?:@(?P<revision>.+))?")


@dataclass(frozen=True)
class Located:
    """A checkpoint on the local disk."""

    layout: Format
    files: Files


def locate(where: str | Path, layouts: Collection[Format]) -> Located:
    """Find a checkpoint of any of the layouts; what is on the hub is downloaded into its cache.

    Raises SaeError when there is no such folder, repository or file, or the hub can't be reached.
    """
    folder = Path(where)
    if folder.is_dir():
        return _in_folder(folder, layouts)
    match = _HUB_ID.fullmatch(str(where)) if isinstance(where, str) else None
    if match is None:
        raise SaeError(f"no folder {where}", "give the folder of a checkpoint, or a hub id such as owner/name/folder")
    return _on_hub(match, layouts)


def _in_folder(folder: Path, layouts: Collection[Format]) -> Located:
    for layout in layouts:
        files = Files(folder / layout.config, folder / layout.weights)
        if files.config.is_file() and files.weights.is_file():
            return Located(layout, files)
    known = {name: None for layout in layouts for name in (layout.config, layout.weights)}
    there = ", ".join(name for name in known if (folder / name).is_file())
    raise SaeError(f"{folder} holds no checkpoint (of the files needed: {there or 'none'})", _needed(layouts))


def _on_hub(match: re.Match[str], layouts: Collection[Format]) -> Located:
    """Ask for each layout's weights in turn: what is in the cache is found without the network too."""
    shown = f"{match[0]} is no local folder, and the hub"
    unreachable: LocalEntryNotFoundError | None = None
    for layout in layouts:
        try:
            weights = _download(match, layout.weights)
            return Located(layout, Files(_download(match, layout.config), weights))
        except LocalEntryNotFoundError as error:
            unreachable = error
        except EntryNotFoundError:
            continue
        except HFValidationError as error:
            raise SaeError(f"{shown} takes no such name ({error})", "write it as owner/name/folder") from error
        except OSError as error:  # the hub client's own HTTP errors are among these
            raise SaeError(
                f"{shown} refuses {match['repo']} ({error})", "check its name and your access to it"
            ) from error
    if unreachable is not None:
        raise SaeError(f"{shown} can't be reached", "check the network, or give a local folder") from unreachable
    raise SaeError(f"{shown}'s {match['repo']} has no checkpoint there", _needed(layouts))


def _download(match: re.Match[str], name: str) -> Path:
    return Path(hf_hub_download(match["repo"], name, subfolder=match["folder"], revision=match["revision"]))


def _needed(layouts: Collection[Format]) -> str:
    pairs = " or ".join(f"{layout.config} with {layout.weights} ({layout.name})" for layout in layouts)
    return f"name the folder that holds {pairs}"
