"""Save in SAELens' layout, which is ours, and load that of every library in `sae.formats`. Nothing read is ever run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sae.base import SparseAutoencoder
from sae.files import atomic_folder
from sae.formats.registry import FORMATS, format_named
from sae.hub import locate


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
    found = locate(where, FORMATS.values())
    return found.layout.read(found.files, device)


def read_metadata(where: str | Path) -> Mapping[str, Any]:
    """What a checkpoint says about its training: `model_name`, `hook_name`, `context_size`... as far as it is known.

    `where` and errors as in `load`.
    """
    found = locate(where, FORMATS.values())
    return found.layout.metadata(found.files.config)
