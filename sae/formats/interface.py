"""What a layout of checkpoints is: two files, how to read them, how to write them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from sae.base import SparseAutoencoder


@dataclass(frozen=True)
class Files:
    """The two files of a checkpoint, on the local disk."""

    config: Path
    weights: Path


class Format(ABC):
    """A library's layout. A checkpoint is recognised by the names of its two files."""

    name: ClassVar[str]
    """The library's name."""
    config: ClassVar[str]
    """Name of the file that says what the weights mean."""
    weights: ClassVar[str]
    """Name of the file that holds them."""

    @abstractmethod
    def read(self, files: Files, device: str) -> SparseAutoencoder:
        """The autoencoder in these files: its activations are those of the library's own `encode`, up to rounding.

        Weights become 32-bit floats. Raises SaeError for anything that is missing, damaged, of another shape than
        announced, or that can't be honoured; nothing in the files is ever run.
        """

    @abstractmethod
    def metadata(self, config: Path) -> dict[str, Any]:
        """What the configuration says about the training, by SAELens' names: `model_name`, `hook_name`..."""

    @abstractmethod
    def write(self, sae: SparseAutoencoder, folder: Path, metadata: Mapping[str, Any]) -> None:
        """Write both files into an existing folder, so that the library's own `encode` gives `sae`'s activations.

        SaeError says why when the layout can't express this autoencoder.
        """
