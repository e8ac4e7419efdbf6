"""Find a checkpoint, load that of every layout in `sae.formats`, save in SAELens' layout, which is ours, or convert.

A local folder or file, the Hugging Face hub, or a name of SAELens' registry. Nothing read is ever run.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from sae.atomic import atomic_folder
from sae.base import SparseAutoencoder
from sae.errors import SaeError
from sae.formats.interface import Files, Format
from sae.formats.registry import FORMATS, writable_format
from sae.locations import OnDisk, OnHub, location_of
from sae.published.registry import PREFIX, Published, published, published_at


@dataclass(frozen=True)
class Located:
    """A checkpoint on the local disk."""

    layout: Format
    files: Files
    known: Published | None
    """What SAELens' registry has under its name, or at its place on the hub."""


def locate_checkpoint(where: str | Path, layouts: Collection[Format] | None = None) -> Located:
    """Find a checkpoint of any of the layouts (of all, if none are given); what is on the hub gets into its cache.

    Raises SaeError when there is no such folder, repository, file or name, or the hub can't be reached.
    """
    if isinstance(where, str) and where.startswith(PREFIX):
        known = published(where)
        if known.layout is None:
            raise SaeError(
                f"{where}: its layout ({known.conversion}) can't be loaded",
                "'autointerp sae list' shows those that can",
            )
        return _located(OnHub(known.repo, known.path), [FORMATS[known.layout]], known)
    place = location_of(where)
    if isinstance(place, OnDisk):
        return _located(place, layouts or FORMATS.values(), None)
    return _located(place, layouts or FORMATS.values(), published_at(place.repo, place.path))


def _located(place: OnDisk | OnHub, layouts: Collection[Format], known: Published | None) -> Located:
    for layout in layouts:
        if (found := layout.find(place)) is not None:
            if known is not None:
                found = replace(found, factor=known.factor, overrides=known.overrides)
            return Located(layout, found, known)
    needed = f"name what holds {' or '.join(layout.needs for layout in layouts)}"
    if isinstance(place, OnHub):
        shown = f"{place.name} is no local folder, and the hub"
        if place.unreachable is not None:
            raise SaeError(
                f"{shown} can't be reached", "check the network, or give a local folder"
            ) from place.unreachable
        raise SaeError(f"{shown}'s {place.repo} has no checkpoint there", needed)
    inside = sorted(path.name for path in place.path.iterdir() if _holds_one(path)) if place.path.is_dir() else []
    if inside:
        more = f" and {len(inside) - 8} more" if len(inside) > 8 else ""
        raise SaeError(
            f"{place.path} holds several checkpoints: {', '.join(inside[:8])}{more}",
            f"name one of them: {place.path / inside[0]}",
        )
    there = sorted(path.name for path in place.path.iterdir())[:5] if place.path.is_dir() else []
    raise SaeError(f"{place.path} holds no checkpoint (it holds {', '.join(there) or 'nothing'})", needed)


def _holds_one(path: Path) -> bool:
    return any(layout.find(OnDisk(path)) is not None for layout in FORMATS.values())


def save(sae: SparseAutoencoder, folder: Path, metadata: Mapping[str, Any], layout: str = "saelens") -> None:
    """Write an autoencoder as the library `layout` does, in place of what `folder` holds, whole or not at all.

    `metadata` takes JSON values; SAELens' own tools look for `model_name`, `hook_name`, `context_size`, `dataset_path`
    and `prepend_bos`. Raises SaeError when the folder can't be written, or the layout can't express the autoencoder.
    """
    chosen = writable_format(layout)
    with atomic_folder(folder) as temporary:
        chosen.write(sae, temporary, metadata)


def load(where: str | Path, device: str = "cpu") -> SparseAutoencoder:
    """Load a checkpoint: a local folder or file; `owner/name`, `owner/name/path` or either with `@revision` from the
    Hugging Face hub; or `saelens:RELEASE/ID`, which also brings what SAELens' registry says in no file.

    The files tell the layout (`sae.formats.registry.FORMATS`): SAELens, of version 6 and before, dictionary_learning,
    sparsify, Gemma Scope 1 and 2, Llama Scope and its R1 Distill, Qwen Scope, and circuit-tracer's transcoders. Weights
    become 32-bit floats. Raises SaeError for anything that is missing, damaged, of another shape than announced, not
    finite, or unsupported.
    """
    found = locate_checkpoint(where)
    made = found.layout.read(found.files, device)
    for name, tensor in made.tensors().items():
        # A latent with an infinite threshold is never active, which is a value like others.
        wrong = ~torch.isfinite(tensor) if name != "threshold" else torch.isnan(tensor) | (tensor == -torch.inf)
        if bool(wrong.any()):
            raise SaeError(
                f"{found.files.weights}: {name} has {int(wrong.sum()):,} values that are NaN or infinite",
                "get the checkpoint again, or choose another",
            )
    return made


def read_metadata(where: str | Path) -> dict[str, Any]:
    """What a checkpoint says about its training: `model_name`, `hook_name`, `context_size`... as far as it is known.

    What its files don't say, SAELens' registry may. `where` and errors as in `load`.
    """
    found = locate_checkpoint(where)
    said = found.layout.metadata(found.files)
    if found.known is None:
        return said
    also = {"model_name": found.known.model, "hook_name": found.known.hook, "neuronpedia_id": found.known.neuronpedia}
    return {**{key: value for key, value in also.items() if value is not None}, **said}


def convert(source: str | Path, target: Path, layout: str, device: str = "cpu") -> SparseAutoencoder:
    """Write the checkpoint at `source` (as in `load`) into the new folder `target` in a library's layout.

    `layout` is one of `sae.formats.registry.FORMATS` that can be written. The library then computes the same
    activations, up to rounding; what its layout has no place for in the metadata is lost. Returns what was written.
    Raises SaeError when the source can't be loaded, the layout can't express it, or the target holds files already.
    """
    writable_format(layout)
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise SaeError(f"{target} exists", "give a folder that does not exist yet, or is empty")
    sae = load(source, device)
    save(sae, target, read_metadata(source), layout)
    return sae
