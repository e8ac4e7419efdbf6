"""What a layout of checkpoints is: how it is recognised, read and, where other tools read it too, written."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Protocol

from sae.base import SparseAutoencoder


class Location(Protocol):
    """Where a checkpoint is looked for: a folder or a file, on the local disk or on the hub."""

    @property
    def name(self) -> str:
        """Path, or `owner/repository/path`, with `/` between parts: some layouts say what a file means only there."""
        ...

    def file(self, path: str = "") -> Path | None:
        """A local copy of the file at `path` in this folder, `..` being the folder around it; without a path, of the
        place itself. None when there is none."""
        ...


@dataclass(frozen=True)
class Files:
    """The files of a checkpoint, on the local disk, and what is known of it without them."""

    weights: Path
    config: Path | None = None
    """None where the layout has no such file, or this checkpoint lacks it and the layout can do without."""
    name: str = ""
    """Of the place."""
    factor: float | None = None
    """What vectors are multiplied by before they are encoded, where a registry says so and no file does."""
    overrides: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """What a registry puts in the place of the configuration's values, by SAELens' keys."""
    more: tuple[Path, ...] = ()
    """Further files that the layout needs."""


class Format(ABC):
    """A layout that is read."""

    name: ClassVar[str]
    """The library's name, or that of the SAEs that have it."""

    @property
    @abstractmethod
    def needs(self) -> str:
        """What must be there, in words."""

    @abstractmethod
    def find(self, place: Location) -> Files | None:
        """The files, when this place holds a checkpoint of this layout by its own evidence."""

    @abstractmethod
    def read(self, files: Files, device: str) -> SparseAutoencoder:
        """The autoencoder in these files: its activations are those of the library's own `encode`, up to rounding.

        Weights become 32-bit floats. Raises SaeError for anything that is missing, damaged, of another shape than
        announced, or that can't be honoured; nothing in the files is ever run.
        """

    @abstractmethod
    def metadata(self, files: Files) -> dict[str, Any]:
        """What is said about the training, by SAELens' names: `model_name`, `hook_name`..."""


class TwoFiles(Format):
    """A layout of two files in one folder, which is recognised by their names."""

    config: ClassVar[str]
    """Name of the file that says what the weights mean."""
    weights: ClassVar[str]
    """Name of the file that holds them."""

    def find(self, place: Location) -> Files | None:
        """See Format."""
        weights = place.file(self.weights)
        config = place.file(self.config) if weights is not None else None
        return None if weights is None or config is None else Files(weights, config, place.name)

    @property
    def needs(self) -> str:
        """See Format."""
        return f"{self.config} with {self.weights} ({self.name})"


class Writable(TwoFiles):
    """A layout that is written too."""

    @abstractmethod
    def write(self, sae: SparseAutoencoder, folder: Path, metadata: Mapping[str, Any]) -> None:
        """Write both files into an existing folder, so that the library's own `encode` gives `sae`'s activations.

        SaeError says why when the layout can't express this autoencoder.
        """
