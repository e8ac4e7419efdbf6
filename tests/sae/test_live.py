"""Vectors on the fly: every one once a pass, mixed, in bounded memory; and the same bits after kill -9."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path

import pytest
import torch

from sae.errors import SaeError
from sae.recipe import Recipe
from sae.streams.live import LiveVectors
from sae.streams.shards import ShardReader, ShardWriter
from sae.streams.vectors import MemoryVectors, VectorSource
from sae.training.train import Checkpoints, train_together
from sae.training.trainer import Trained, TrainState
from tests.forked import Forked
from tests.sae.planted import planted
from tests.sae.test_resume import assert_equal

CHUNK = 7
Progress = Callable[[Mapping[str, TrainState]], None]


def numbered(count: int) -> torch.Tensor:
    """Vectors that tell their own number."""
    return torch.arange(count, dtype=torch.float32).unsqueeze(1).repeat(1, 3)


class Chunks:
    """A stream that remembers which chunks it was asked to compute."""

    def __init__(self, vectors: torch.Tensor) -> None:
        self.vectors, self.computed = vectors, list[int]()

    def open_at(self, chunk: int) -> Iterator[torch.Tensor]:
        for number, rows in enumerate(self.vectors.split(CHUNK)):
            if number >= chunk:
                self.computed.append(number)
                yield rows

    def source(self, buffer: int, count: int | None = None) -> LiveVectors:
        vectors, width = self.vectors.shape
        return LiveVectors(self.open_at, count=count or vectors, d_in=width, buffer=buffer, about="numbers")


def numbers(source: VectorSource, size: int, passes: int, seed: int = 1) -> list[list[int]]:
    return [batch[:, 0].int().tolist() for batch in source.batches(size, passes, seed)]


@pytest.mark.parametrize("count", [8, 14, 40, 43])
@pytest.mark.parametrize("buffer", [2, 5, 20, 21, 99])
@pytest.mark.parametrize("size", [1, 4, 17])
def test_every_pass_gives_every_vector_once(count: int, buffer: int, size: int) -> None:
    stream = Chunks(numbered(count))
    batches = numbers(stream.source(buffer), size, passes=size)  # so many passes that nothing is left over
    assert {len(batch) for batch in batches} == {size}
    flat = [number for batch in batches for number in batch]
    assert len(flat) == size * count
    for start in range(0, len(flat), count):
        assert sorted(flat[start : start + count]) == list(range(count))
    assert stream.computed == list(range(-(-count // CHUNK))) * size, "each pass computes every chunk once"


def test_order_depends_on_the_seed_and_on_the_pass() -> None:
    source = Chunks(numbered(60)).source(30)
    first, second = numbers(source, 60, passes=2)
    assert (first, second) == tuple(numbers(source, 60, passes=2))
    assert first != second
    assert first != numbers(source, 60, passes=1, seed=2)[0]


def test_a_batch_is_drawn_from_the_whole_buffer() -> None:
    """Half of the buffer's vectors are drawn at a time, so the age of a vector in a batch is geometric."""
    batches = numbers(Chunks(numbered(20_000)).source(2000), 500, passes=1)
    for place, batch in enumerate(batches[2:-4], start=2):
        newest = 2000 + 1000 * (place // 2)  # what had been read when this half was drawn
        ages = [(newest - 1 - number) // 1000 for number in batch]
        assert min(ages) == 0
        assert sum(age == 0 for age in ages) / 500 == pytest.approx(0.5, abs=0.12)
        assert sum(age > 1 for age in ages) / 500 > 0.1 or place < 6


def test_memory_is_bounded_and_nothing_is_computed_early() -> None:
    stream = Chunks(numbered(700))
    for done, _ in enumerate(stream.source(buffer=100).batches(10, 1, seed=0), start=1):
        assert len(stream.computed) * CHUNK - done * 10 <= 100 + CHUNK
    assert done == 70


def test_what_is_ahead_still_comes() -> None:
    for source in (Chunks(numbered(100)).source(30), MemoryVectors(numbered(100))):
        plain = list(source.batches(8, 2, seed=0))
        batches = source.batches(8, 2, seed=0)
        got = [next(batches) for _ in range(3)]
        assert torch.equal(batches.ahead(9), torch.cat(plain[3:12]))
        assert torch.equal(torch.cat([*got, *batches]), torch.cat(plain))
        assert torch.equal(source.batches(8, 1, seed=0).ahead(99), torch.cat(plain[:12])), "as many as there are"


@pytest.mark.parametrize("done", [0, 1, 3, 7, 12, 13, 24])
def test_a_state_is_taken_up_in_another_reader(done: int, tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path, 3, {}, per_shard=9)
    writer.append(numbered(100))
    writer.finish()
    for source in (Chunks(numbered(100)).source(30), MemoryVectors(numbered(100)), ShardReader(tmp_path, mix=2)):
        plain = list(source.batches(8, 2, seed=0))
        reader = source.batches(8, 2, seed=0)
        for _ in islice(reader, done):
            pass
        reader.ahead(2)
        state = {name: tensor.clone() for name, tensor in reader.state().items()}
        assert torch.equal(torch.cat(list(source.batches(8, 2, 0, state))), torch.cat(plain[done:]))


def test_a_stream_of_another_length_is_named() -> None:
    with pytest.raises(SaeError, match="the stream has 43 vectors, not 50"):
        numbers(Chunks(numbered(43)).source(20, count=50), 5, passes=1)


VECTORS, _ = planted(4000, d_in=16, atoms=40, active=3, seed=1)
RECIPES = {
    "batchtopk": (Recipe("batchtopk", width=48, k=3, batch=64, lr=3e-3), 1),
    "standard": (Recipe("standard", width=96, l1=0.3, batch=64, lr=3e-3, resample=(0.2, 0.4), resample_draw=900), 2),
}

_CHILD = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from sae.training.train import Checkpoints
from tests.sae.test_live import trained
trained(Checkpoints(Path(sys.argv[1]), 0.0), lambda states: print(states["standard"].step, flush=True))
print("done", flush=True)
"""


def trained(checkpoints: Checkpoints | None, progress: Progress | None = None, buffer: int = 700) -> dict[str, Trained]:
    source = Chunks(VECTORS).source(buffer)
    return train_together(RECIPES, source, passes=2, seed=7, progress=progress, checkpoints=checkpoints)


def test_killed_and_continued_the_weights_are_the_same_bits(tmp_path: Path) -> None:
    checkpoint = tmp_path / "state.safetensors"
    started = []
    for steps in (9, 33):  # in the first buffer, and in the second pass, within a draw for new weights
        child = Forked(_CHILD, str(checkpoint))
        started.append(int(child.stdout.readline()))
        for _ in range(steps):
            child.stdout.readline()
        child.kill()
        assert child.ends()[0] == -signal.SIGKILL
    assert 1 == started[0] < started[1]
    with pytest.raises(SaeError, match="of another plan"):
        trained(Checkpoints(checkpoint), buffer=701)
    seen: list[int] = []
    continued = trained(Checkpoints(checkpoint), lambda states: seen.append(states["standard"].step))
    assert seen[0] > 40
    assert_equal(trained(None), continued)
