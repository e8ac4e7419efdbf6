"""A checkpoint of one library, written as another's."""

from __future__ import annotations

from pathlib import Path

from sae.base import SparseAutoencoder
from sae.checkpoint import load, read_metadata, save
from sae.errors import SaeError
from sae.formats.registry import format_named


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
