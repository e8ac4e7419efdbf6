"""Several on one stream, and going on after kill -9: the same bits as alone, and as in one go."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from sae.errors import SaeError
from sae.recipe import Recipe
from sae.streams.shards import ShardReader, ShardWriter
from sae.streams.vectors import MemoryVectors
from sae.training.train import Checkpoints, train_together
from sae.training.trainer import Trained, TrainState
from tests.forked import Forked
from tests.sae.planted import planted

RECIPES = {
    "batchtopk": (Recipe("batchtopk", width=48, k=3, batch=64, lr=3e-3), 1),
    "matryoshka": (Recipe("matryoshka", width=64, k=4, batch=64, lr=3e-3, clip=1.0, decay="cosine"), 2),
    # Small draws and early resampling, so that a kill may fall before, into and after them.
    "standard": (
        Recipe("standard", width=96, l1=0.3, batch=64, resample=(0.1, 0.2, 0.4), resample_draw=900),
        3,
    ),
    "gated": (Recipe("gated", width=48, l1=0.1, batch=64, lr=3e-3), 4),
    "jumprelu": (Recipe("jumprelu", width=48, k=3, batch=64, lr=3e-3), 5),
}


def tensors(trained: dict[str, Trained]) -> dict[str, torch.Tensor]:
    return {f"{name}.{key}": value for name, (sae, _) in trained.items() for key, value in sae.tensors().items()}


def assert_equal(left: dict[str, Trained], right: dict[str, Trained]) -> None:
    for name, (_, metrics) in left.items():
        assert metrics == right[name].metrics
    others = tensors(right)
    assert others.keys() == tensors(left).keys()
    for name, tensor in tensors(left).items():
        assert torch.equal(tensor, others[name]), name


def shards(folder: Path) -> ShardReader:
    vectors, _ = planted(4000, d_in=16, atoms=40, active=3, seed=1)
    writer = ShardWriter(folder, 16, {}, per_shard=300)
    writer.append(vectors)
    writer.finish()
    return ShardReader(folder)


def test_several_on_one_stream_come_out_as_each_alone() -> None:
    vectors = MemoryVectors(planted(2000, d_in=16, atoms=40, active=3, seed=1)[0])
    together = train_together(RECIPES, vectors, passes=2, seed=7)
    for name, recipe in RECIPES.items():
        assert_equal({name: together[name]}, train_together({name: recipe}, vectors, passes=2, seed=7))


_CHILD = """
import sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
from sae.streams.shards import ShardReader
from sae.training.train import Checkpoints, train_together
from tests.sae.test_resume import RECIPES

def slowly(states):
    print(states["gated"].step, flush=True)

train_together(RECIPES, ShardReader(Path(sys.argv[1])), passes=3, seed=7, progress=slowly,
               checkpoints=Checkpoints(Path(sys.argv[2]), 0.0))
print("done", flush=True)
"""


def test_killed_at_any_moment_and_continued_the_weights_are_the_same_bits(tmp_path: Path) -> None:
    vectors = shards(tmp_path / "shards")
    whole = train_together(RECIPES, vectors, passes=3, seed=7)
    checkpoint = tmp_path / "state.safetensors"
    kills, started = 0, []
    for steps in (7, 11, 20, 13, 31):
        child = Forked(_CHILD, str(tmp_path / "shards"), str(checkpoint))
        started.append(int(child.stdout.readline()))
        for _ in range(steps):
            line = child.stdout.readline()
        assert line != "done\n"
        time.sleep(0.003 * kills)  # at another point of the step each time
        child.kill()
        kills += child.ends()[0] == -signal.SIGKILL
    assert kills == 5
    assert started[0] == 1
    assert all(a < b for a, b in pairwise(started)), "each goes on where the last one was"
    seen: list[int] = []
    continued = train_together(
        RECIPES, vectors, passes=3, seed=7, progress=lambda states: seen.append(states["gated"].step),
        checkpoints=Checkpoints(checkpoint),
    )  # fmt: skip
    assert seen[0] > 50
    assert_equal(whole, continued)


def test_half_a_checkpoint_and_one_of_another_plan_are_refused(tmp_path: Path) -> None:
    vectors = MemoryVectors(planted(2000, d_in=16, atoms=40, active=3, seed=1)[0])
    path = tmp_path / "state.safetensors"
    one = {"gated": RECIPES["gated"]}

    class Stop(Exception):
        pass

    def stop(states: object) -> None:
        raise Stop

    def early(states: Mapping[str, TrainState]) -> None:
        if states["gated"].step == 5:
            raise Stop

    with pytest.raises(Stop):
        train_together(one, vectors, passes=1, seed=7, progress=early, checkpoints=Checkpoints(path, 0.0))
    assert [file.name for file in tmp_path.iterdir()] == [path.name], "nothing half written is left"
    with pytest.raises(SaeError, match="of another plan"):
        train_together(one, vectors, passes=2, seed=7, checkpoints=Checkpoints(path))
    path.write_bytes(path.read_bytes()[: os.path.getsize(path) // 2])
    with pytest.raises(SaeError, match=r"can't be read .* remove it to train from the start"):
        train_together(one, vectors, passes=1, seed=7, checkpoints=Checkpoints(path))
