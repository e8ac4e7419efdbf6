"""What it costs to feed a trainer from disk, beside what its steps cost."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from sae.recipe import Recipe
from sae.streams.shards import ShardReader, ShardWriter
from sae.training.trainer import Trainer
from saes.speed import Setting

_PER_SHARD = 8192


@dataclass(frozen=True)
class Feeding:
    """Seconds per batch, means over a pass."""

    feed: float
    """Until the trainer has its batch."""
    step: float
    """Of TopK."""

    @property
    def share(self) -> float:
        """Of a step's time."""
        return self.feed / self.step

    def sentence(self) -> str:
        """For the report."""
        feed, step = 1e3 * self.feed, 1e3 * self.step
        return f"feeding from disk: {feed:.1f} ms per batch, {self.share:.1%} of a step of {step:.0f} ms"


def feeding_share(setting: Setting, batches: int = 32) -> Feeding:
    """Write `batches` batches as shards, drop them from the cache (on Linux), and train TopK on them, once over all."""
    torch.set_num_threads(setting.threads)
    with tempfile.TemporaryDirectory() as folder:
        vectors = _written(Path(folder), setting, batches)
        recipe = Recipe("topk", width=setting.width, k=setting.k, batch=setting.batch)
        first = torch.randn(setting.batch, setting.d_in, generator=torch.Generator().manual_seed(1))
        trainer = Trainer(recipe, first, steps=10_000, seed=0)
        trainer.step(first)
        feed = step = 0.0
        reader = vectors.batches(setting.batch, 1, 0)
        for _ in range(batches):
            start = time.perf_counter()
            x = next(reader)
            fed = time.perf_counter()
            trainer.step(x)
            feed, step = feed + fed - start, step + time.perf_counter() - fed
    return Feeding(feed / batches, step / batches)


def _written(folder: Path, setting: Setting, batches: int) -> ShardReader:
    writer = ShardWriter(folder, setting.d_in, {}, _PER_SHARD)
    generator = torch.Generator().manual_seed(0)
    for _ in range(batches):
        writer.append(torch.randn(setting.batch, setting.d_in, generator=generator))
    writer.finish()
    if sys.platform == "linux":
        for path in folder.glob("*.safetensors"):
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return ShardReader(folder)
