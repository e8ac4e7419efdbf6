"""Vectors on disk: safetensors shards of a fixed number of vectors and a JSON manifest that says which are whole."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sae.atomic import atomic_file
from sae.errors import SaeError
from sae.streams.vectors import Batches, NumberedBatches, ShuffleWindow, VectorSource, shuffled_batches

MANIFEST = "manifest.json"
_TENSOR = "vectors"


@dataclass(frozen=True)
class ShardManifest:
    """What a folder of shards holds. Only the shards that it counts exist for a reader."""

    d_in: int
    per_shard: int
    """Vectors in every shard but the last."""
    about: Mapping[str, str]
    """What the vectors are, in the writer's words: a folder is only continued under the same words."""
    vectors: int = 0
    """Vectors in whole shards."""
    complete: bool = False
    """Whether the stream has ended."""

    @property
    def shards(self) -> int:
        """Number of whole shards."""
        return -(-self.vectors // self.per_shard)

    def size(self, shard: int) -> int:
        """Vectors in a shard."""
        return min(self.per_shard, self.vectors - shard * self.per_shard)


class ShardWriter:
    """Appends a stream of vectors to a folder, shard by shard, each whole or absent.

    To continue after an interruption, open the folder again with the same arguments and append the same stream from
    vector number `vectors` on: everything before is on disk. Raises SaeError if the folder holds something else.
    """

    def __init__(self, folder: Path, d_in: int, about: Mapping[str, str], per_shard: int = 8192) -> None:
        self._folder = folder
        self._manifest = ShardManifest(d_in, per_shard, dict(about))
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SaeError(f"can't write in {folder} ({error.strerror})", "give a writable folder") from error
        if (folder / MANIFEST).exists():
            found = read_shard_manifest(folder)
            if (found.d_in, found.per_shard, found.about) != (d_in, per_shard, dict(about)):
                raise SaeError(f"{folder} holds other vectors than these", "remove it, or give another folder")
            self._manifest = found
        self._buffer = torch.empty(per_shard, d_in)
        self._filled = 0

    @property
    def vectors(self) -> int:
        """Vectors that are safe on disk: where the stream continues."""
        return self._manifest.vectors

    @property
    def complete(self) -> bool:
        """Whether the stream was finished; then there is nothing to append."""
        return self._manifest.complete

    def append(self, vectors: Float[Tensor, "vector d_in"]) -> None:
        """Take the next vectors of the stream, as 32-bit floats."""
        if self.complete:
            raise SaeError(f"{self._folder} is complete", "remove it to collect its vectors anew")
        if vectors.shape[1] != self._manifest.d_in:
            raise SaeError(f"vectors of length {vectors.shape[1]}", f"the folder takes length {self._manifest.d_in}")
        if not bool(torch.isfinite(vectors).all()):
            raise SaeError("a vector holds NaN or infinity", "check the subject's precision (dtype) and its weights")
        taken = 0
        while taken < vectors.shape[0]:
            fits = min(vectors.shape[0] - taken, self._manifest.per_shard - self._filled)
            self._buffer[self._filled : self._filled + fits] = vectors[taken : taken + fits]
            self._filled, taken = self._filled + fits, taken + fits
            if self._filled == self._manifest.per_shard:
                self._flush(complete=False)

    def finish(self) -> None:
        """Write the last, shorter shard and mark the folder complete."""
        if not self.complete:
            self._flush(complete=True)

    def _flush(self, complete: bool) -> None:
        state = self._manifest
        if self._filled:
            with atomic_file(_path(self._folder, state.shards)) as temporary:
                save_file({_TENSOR: self._buffer[: self._filled]}, temporary)
        total = state.vectors + self._filled
        self._manifest = ShardManifest(state.d_in, state.per_shard, state.about, total, complete)
        self._filled = 0
        with atomic_file(self._folder / MANIFEST) as temporary:
            temporary.write_text(json.dumps(asdict(self._manifest), indent=1, sort_keys=True) + "\n", "utf8")


class ShardReader(VectorSource):
    """Shuffled batches out of a complete folder of shards, with at most `mix` + 1 shards in memory.

    Each pass takes the shards in a random order, `mix` at a time, and shuffles these together: a batch mixes the
    documents of several distant places, and memory does not depend on the number of vectors.
    """

    def __init__(self, folder: Path, mix: int = 4) -> None:
        self._folder = folder
        self._manifest = read_shard_manifest(folder)
        if not self._manifest.complete:
            raise SaeError(f"{folder} is not complete", "finish collecting its vectors first")
        if not self._manifest.vectors:
            raise SaeError(f"{folder} holds no vectors", "collect some first")
        self._mix = min(mix, self._manifest.shards)

    @property
    def d_in(self) -> int:
        """See VectorSource."""
        return self._manifest.d_in

    @property
    def count(self) -> int:
        """See VectorSource."""
        return self._manifest.vectors

    @property
    def identity(self) -> str:
        """See VectorSource."""
        return json.dumps([asdict(self._manifest), self._mix], sort_keys=True)

    def batches(self, size: int, passes: int, seed: int, state: Mapping[str, Tensor] | None = None) -> Batches:
        """See VectorSource."""
        return NumberedBatches(partial(self._shuffled, size, passes, seed), state)

    def _shuffled(self, size: int, passes: int, seed: int, skip: int) -> Iterator[Float[Tensor, "vector d_in"]]:
        generator = torch.Generator().manual_seed(seed)
        return shuffled_batches(self._windows(passes, generator), size, generator, skip)

    def _windows(self, passes: int, generator: torch.Generator) -> Iterator[ShuffleWindow]:
        room = torch.empty(self._mix * self._manifest.per_shard, self.d_in)
        for _ in range(passes):
            order = torch.randperm(self._manifest.shards, generator=generator).tolist()
            for start in range(0, len(order), self._mix):
                shards = order[start : start + self._mix]
                after = order[start + self._mix : start + 2 * self._mix]
                yield ShuffleWindow(sum(map(self._manifest.size, shards)), partial(self._fill, room, shards, after))

    def _fill(
        self, room: Float[Tensor, "_ d_in"], shards: Sequence[int], after: Sequence[int]
    ) -> Float[Tensor, "_ d_in"]:
        """The vectors of these shards, in `room`; those of `after` will be wanted next."""
        filled = 0
        for shard in shards:
            vectors = self._read(shard)
            room[filled : filled + vectors.shape[0]] = vectors
            filled += vectors.shape[0]
        for shard in after:
            _fetch(_path(self._folder, shard))
        return room[:filled]

    def _read(self, shard: int) -> Float[Tensor, "_ d_in"]:
        path = _path(self._folder, shard)
        try:
            with safe_open(path, framework="pt") as file:
                vectors: Tensor = file.get_tensor(_TENSOR)
        except (OSError, SafetensorError) as error:
            raise SaeError(f"{path} can't be read ({error})", "remove the folder and collect again") from error
        expected = (self._manifest.size(shard), self.d_in)
        if tuple(vectors.shape) != expected:
            raise SaeError(
                f"{path} holds {tuple(vectors.shape)}, not {expected}", "remove the folder and collect again"
            )
        return vectors


def read_shard_manifest(folder: Path) -> ShardManifest:
    """Read a folder's manifest; SaeError names the file when it is missing or damaged."""
    path = folder / MANIFEST
    try:
        data: dict[str, Any] = json.loads(path.read_text("utf8"))
        return ShardManifest(**data)
    except FileNotFoundError as error:
        raise SaeError(f"no {path}", "collect the vectors first") from error
    except (OSError, ValueError, TypeError) as error:
        raise SaeError(f"{path} is damaged ({error})", "remove the folder and collect again") from error


def _path(folder: Path, shard: int) -> Path:
    return folder / f"shard-{shard:05d}.safetensors"


def _fetch(path: Path) -> None:
    """Have the system read a file into its cache while training goes on; a file that is not there is met later."""
    if sys.platform == "linux" and path.exists():
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)
