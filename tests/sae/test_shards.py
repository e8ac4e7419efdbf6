"""Vectors on disk: whole shards only, continued where they stopped, read shuffled in bounded memory."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import pytest
import torch

from sae.errors import SaeError
from sae.streams.shards import MANIFEST, ShardReader, ShardWriter
from sae.streams.vectors import MemoryVectors, VectorSource

ABOUT = {"subject": "tiny", "hook": "layers.0.resid"}


def numbered(count: int, d_in: int = 3) -> torch.Tensor:
    """Vectors that tell their own number."""
    return torch.arange(count, dtype=torch.float32).unsqueeze(1).repeat(1, d_in)


def written(folder: Path, count: int, per_shard: int = 10) -> Path:
    writer = ShardWriter(folder, 3, ABOUT, per_shard)
    for batch in numbered(count).split(7):
        writer.append(batch)
    writer.finish()
    return folder


def numbers(source: VectorSource, size: int, passes: int, seed: int) -> list[list[int]]:
    return [batch[:, 0].int().tolist() for batch in source.batches(size, passes, seed)]


@pytest.mark.parametrize("count", [8, 10, 40, 43])
@pytest.mark.parametrize("mix", [1, 2, 9])
@pytest.mark.parametrize("size", [1, 4, 17])
def test_every_pass_gives_every_vector_once(tmp_path: Path, count: int, mix: int, size: int) -> None:
    reader = ShardReader(written(tmp_path, count), mix)
    assert (reader.count, reader.d_in) == (count, 3)
    for source in (reader, MemoryVectors(numbered(count))):
        batches = numbers(source, size, passes=size, seed=1)  # so many passes that nothing is left over
        assert {len(batch) for batch in batches} == {size}
        flat = [number for batch in batches for number in batch]
        assert len(flat) == size * count
        for start in range(0, len(flat), count):
            assert sorted(flat[start : start + count]) == list(range(count))


def test_order_depends_on_the_seed_and_on_the_pass(tmp_path: Path) -> None:
    reader = ShardReader(written(tmp_path, 43), mix=2)
    first = numbers(reader, 43, passes=2, seed=1)
    assert first == numbers(reader, 43, passes=2, seed=1)
    assert first != numbers(reader, 43, passes=2, seed=2)
    assert first[0] != first[1]
    assert first[0] != sorted(first[0])


def test_what_is_left_at_the_end_is_dropped(tmp_path: Path) -> None:
    reader = ShardReader(written(tmp_path, 43))
    assert len(numbers(reader, 10, passes=3, seed=0)) == 3 * 43 // 10


def test_batches_mix_distant_shards(tmp_path: Path) -> None:
    reader = ShardReader(written(tmp_path, 100), mix=5)
    assert all(len({number // 10 for number in batch}) >= 3 for batch in numbers(reader, 20, passes=1, seed=0))


def test_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = ShardReader(written(tmp_path, 200), mix=3)
    read: list[int] = []
    original = ShardReader._read

    def counting(self: ShardReader, shard: int) -> torch.Tensor:
        read.append(shard)
        return original(self, shard)

    monkeypatch.setattr(ShardReader, "_read", counting)
    for done, _ in enumerate(reader.batches(10, passes=1, seed=0), start=1):
        assert len(read) * 10 - done * 10 <= 3 * 10  # never more than three shards ahead of what was given
    assert sorted(read) == list(range(20))


def test_a_batch_is_not_overwritten_by_later_ones(tmp_path: Path) -> None:
    batches = list(ShardReader(written(tmp_path, 60), mix=1).batches(8, passes=1, seed=0))
    flat = torch.cat(batches)[:, 0].int().tolist()
    assert len(set(flat)) == len(flat) == 56


def test_an_interrupted_writer_continues(tmp_path: Path) -> None:
    whole = written(tmp_path / "whole", 43)
    writer = ShardWriter(tmp_path / "cut", 3, ABOUT, 10)
    writer.append(numbered(27))  # and then the process is gone
    with pytest.raises(SaeError, match="is not complete"):
        ShardReader(tmp_path / "cut")
    again = ShardWriter(tmp_path / "cut", 3, ABOUT, 10)
    assert (again.vectors, again.complete) == (20, False)
    again.append(numbered(43)[again.vectors :])
    again.finish()
    for path in whole.iterdir():
        assert path.read_bytes() == (tmp_path / "cut" / path.name).read_bytes()
    done = ShardWriter(tmp_path / "cut", 3, ABOUT, 10)
    assert (done.vectors, done.complete) == (43, True)
    with pytest.raises(SaeError, match="is complete"):
        done.append(numbered(1))


def test_a_shard_that_the_manifest_does_not_count_is_written_anew(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path, 3, ABOUT, 10)
    writer.append(numbered(10))
    (tmp_path / "shard-00001.safetensors").write_bytes(b"half of it")
    again = ShardWriter(tmp_path, 3, ABOUT, 10)
    again.append(numbered(20)[again.vectors :])
    again.finish()
    assert sorted(chain.from_iterable(numbers(ShardReader(tmp_path), 5, 1, 0))) == list(range(20))


def test_wrong_input_is_named(tmp_path: Path) -> None:
    written(tmp_path / "a", 12)
    with pytest.raises(SaeError, match="holds other vectors"):
        ShardWriter(tmp_path / "a", 3, {**ABOUT, "hook": "layers.1.resid"}, 10)
    with pytest.raises(SaeError, match="holds other vectors"):
        ShardWriter(tmp_path / "a", 4, ABOUT, 10)
    writer = ShardWriter(tmp_path / "b", 3, ABOUT, 10)
    with pytest.raises(SaeError, match="vectors of length 2: the folder takes length 3"):
        writer.append(torch.zeros(1, 2))
    with pytest.raises(SaeError, match="NaN or infinity"):
        writer.append(torch.tensor([[0.0, float("nan"), 1.0]]))
    writer.finish()
    with pytest.raises(SaeError, match="holds no vectors"):
        ShardReader(tmp_path / "b")
    with pytest.raises(SaeError, match=r"no .*manifest\.json"):
        ShardReader(tmp_path / "c")


def test_damage_is_named(tmp_path: Path) -> None:
    written(tmp_path, 12)
    (tmp_path / "shard-00001.safetensors").write_bytes(b"damaged")
    with pytest.raises(SaeError, match=r"shard-00001\.safetensors can't be read"):
        numbers(ShardReader(tmp_path), 4, 1, 0)
    (tmp_path / "shard-00000.safetensors").rename(tmp_path / "shard-00001.safetensors")
    with pytest.raises(SaeError, match=r"shard-00000\.safetensors can't be read|holds \(10, 3\), not \(2, 3\)"):
        numbers(ShardReader(tmp_path), 4, 1, 0)
    (tmp_path / MANIFEST).write_text('{"d_in": 3}')
    with pytest.raises(SaeError, match=r"manifest\.json is damaged"):
        ShardReader(tmp_path)


def test_half_precision_is_kept_as_single(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path, 3, ABOUT, 10)
    writer.append(numbered(4).bfloat16())
    writer.finish()
    assert next(ShardReader(tmp_path).batches(4, 1, 0)).dtype == torch.float32
