"""Find a checkpoint, load that of every library in `sae.formats`, save in SAELens' layout, which is ours, or convert.

A local folder or the Hugging Face hub. Nothing read is ever run.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, HFValidationError, LocalEntryNotFoundError

from sae.atomic import atomic_folder
from sae.base import SparseAutoencoder
from sae.errors import SaeError
from sae.formats.interface import Files, Format
from sae.formats.registry import FORMATS, format_named

_HUB_ID = re.compile(r"(?P<repo>[\w-][\w.-]*/[\w-][\w.-]*)(?:/(?P<folder>[^@]+))?(?:@(?P<revision>.+))?")


@dataclass(frozen=True)
class Located:
    """A checkpoint on the local disk."""

    layout: Format
    files: Files


def locate_checkpoint(where: str | Path, layouts: Collection[Format]) -> Located:
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


def save(sae: SparseAutoencoder, folder: Path, metadata: Mapping[str, Any], layout: str = "saelens") -> None:
    """Write an autoencoder as the library `layout` does, in place of what `folder` holds, whole or not at all.

    `metadata` takes JSON values; SAELens' own tools look for `model_name`, `hook_name`, `context_size`, `dataset_path`
    and `prepend_bos`. Raises SaeError when the folder can't be written, or the layout can't express the autoencoder.
    """
    chosen = format_named(layout)
    with atomic_folder(folder) as temporary:
        chosen.write(sae, temporary, metadata)


def load(where: str | Path, device: str = "cpu") -> SparseAutoencoder:
    """Load a local folder, or `owner/name`, `owner/name/folder` or either with `@revision` from the Hugging Face hub.

    The files tell the layout: SAELens (standard, gated, jumprelu, topk, and batchtopk and matryoshka as its training
    saves them; of version 6 and before), dictionary_learning (all its trained classes) or sparsify. Weights become
    32-bit floats. Raises SaeError for anything that is missing, damaged, of another shape than announced, or
    unsupported.
    """
    found = locate_checkpoint(where, FORMATS.values())
    return found.layout.read(found.files, device)


def read_metadata(where: str | Path) -> Mapping[str, Any]:
    """What a checkpoint says about its training: `model_name`, `hook_name`, `context_size`... as far as it is known.

    `where` and errors as in `load`.
    """
    found = locate_checkpoint(where, FORMATS.values())
    return found.layout.metadata(found.files.config)


def convert(source: str | Path, target: Path, layout: str, device: str = "cpu") -> SparseAutoencoder:
    """Write the checkpoint at `source` (as in `load`) into the new folder `target` in a library's layout.

    `layout` is one of `sae.formats.registry.FORMATS`. The library then computes the same activations, up to rounding;
    what its layout has no place for in the metadata is lost. Returns what was written. Raises SaeError when the
    source can't be loaded, the layout can't express it, or the target holds files already.
    """
    format_named(layout)
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise SaeError(f"{target} exists", "give a folder that does not exist yet, or is empty")
    sae = load(source, device)
    save(sae, target, read_metadata(source), layout)
    return sae
