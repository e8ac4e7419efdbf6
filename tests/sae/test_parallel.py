"""Two real processes (gloo) train as one does with the same global batch: curve, weights, counters, and resume."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

from sae.parallel import Peers
from sae.recipe import Recipe
from sae.streams.live import LiveVectors
from sae.streams.vectors import MemoryVectors, VectorSource
from sae.training.resampling import Draw
from sae.training.train import Checkpoints, train_together
from sae.training.trainer import TrainState
from tests.forked import Forked
from tests.sae.planted import planted

_SHARED: dict[str, Any] = {"width": 96, "batch": 64}
RECIPES: Mapping[str, tuple[Recipe, int]] = {
    "topk": (Recipe("topk", k=3, lr=3e-3, **_SHARED), 1),
    "batchtopk": (Recipe("batchtopk", k=3, lr=3e-3, clip=0.5, **_SHARED), 2),
    "matryoshka": (Recipe("matryoshka", k=3, lr=3e-3, **_SHARED), 3),
    "standard": (Recipe("standard", l1=1.0, lr=1e-2, resample=(0.6, 0.9), resample_draw=800, **_SHARED), 4),
    "gated": (Recipe("gated", l1=0.1, lr=3e-3, **_SHARED), 5),
    "jumprelu": (Recipe("jumprelu", k=3, lr=3e-3, **_SHARED), 6),
}
VECTORS, _ = planted(3000, d_in=16, atoms=60, active=3, seed=1)
STEPS = 46
FIGURES = ("loss", "fvu", "l0", "dead_share")
STOPS = (3, 20, 36)
"""Steps after which training is broken off: at the start, and within both draws for new weights."""


class Stop(Exception):
    """Training is broken off here."""


def trained(
    source: VectorSource, checkpoints: Checkpoints | None = None, stop: int | None = None
) -> dict[str, torch.Tensor]:
    """Weights and curves of all architectures."""
    curves: dict[str, list[list[float]]] = {name: [] for name in RECIPES}

    def note(states: Mapping[str, TrainState]) -> None:
        for name, state in states.items():
            curves[name].append([getattr(state, figure) for figure in FIGURES])
        if stop is not None and states["topk"].step > stop:
            raise Stop

    done = train_together(RECIPES, source, passes=1, seed=7, progress=note, checkpoints=checkpoints)
    found = {f"{name}/{key}": value for name, (sae, _) in done.items() for key, value in sae.tensors().items()}
    return {**found, **{f"{name}/curve": torch.tensor(rows) for name, rows in curves.items()}}


def live() -> VectorSource:
    """The vectors as a stream."""
    return LiveVectors(
        lambda chunk: iter(VECTORS.split(50)[chunk:]), count=VECTORS.shape[0], d_in=16, buffer=400, about=""
    )


def child(folder: Path) -> None:
    """What each of the two processes does."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    peers = Peers()
    whole = trained(MemoryVectors(VECTORS))
    checkpoints = Checkpoints(folder / "state.safetensors", 0.0)
    for stop in STOPS:
        try:
            trained(live(), checkpoints, stop)
        except Stop:
            continue
        raise AssertionError("training was not broken off")
    continued = trained(live(), checkpoints)
    both = {"whole": whole, "continued": continued, "in one go": trained(live())}
    state = {f"{run}/{key}": tensor.contiguous() for run, found in both.items() for key, tensor in found.items()}
    gathered = peers.gather(torch.arange(3.0 * peers.rank))  # one process has nothing to give
    save_file({**state, "gathered": gathered}, folder / f"{peers.rank}.safetensors")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, torch.Tensor]]:
    """What the two processes found."""
    folder = tmp_path_factory.mktemp("two")
    script = "import sys; from pathlib import Path; from tests.sae.test_parallel import child; child(Path(sys.argv[1]))"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    processes = [Forked(script, str(folder), environment={**common, "RANK": str(rank)}) for rank in range(2)]
    ended = [process.ends() for process in processes]
    assert [code for code, _, _ in ended] == [0, 0], ended
    return [load_file(folder / f"{rank}.safetensors") for rank in range(2)]


def part(state: Mapping[str, torch.Tensor], start: str) -> dict[str, torch.Tensor]:
    return {key.removeprefix(start): tensor for key, tensor in state.items() if key.startswith(start)}


def test_both_hold_the_same_bits(two: list[dict[str, torch.Tensor]]) -> None:
    first, second = two
    assert first.keys() == second.keys()
    for key, tensor in first.items():
        assert torch.equal(tensor, second[key]), key


def test_they_train_as_one_process_does(two: list[dict[str, torch.Tensor]]) -> None:
    for run, source in (("whole", MemoryVectors(VECTORS)), ("in one go", live())):
        alone, together = trained(source), part(two[0], f"{run}/")
        for name in RECIPES:
            curve = alone[f"{name}/curve"]
            assert curve.shape == (STEPS, len(FIGURES))
            left = curve[:, FIGURES.index("fvu")]
            assert float(left.max() - left.min()) > 0.1, "46 steps change much"
        for key, tensor in alone.items():
            about = partial("{}: {}".format, key)
            if key.endswith("/curve"):
                losses = [curve[:, : FIGURES.index("l0")] for curve in (together[key], tensor)]
                assert_close(*losses, rtol=1e-4, atol=1e-6, msg=about)
                # An entry that is 0 up to rounding may be active in one of them.
                assert_close(together[key], tensor, rtol=0.0, atol=2 / 64, msg=about)
            else:
                assert float((together[key] - tensor).norm() / tensor.norm()) < 1e-3, key


def test_dead_latents_of_both_are_given_the_same_new_weights(two: list[dict[str, torch.Tensor]]) -> None:
    dead = two[0]["whole/standard/curve"][:, FIGURES.index("dead_share")]
    assert float(dead.max()) > 0.05
    assert min(dead.diff().tolist()) < -0.03, "all at once"


def test_they_go_on_from_a_checkpoint_with_the_same_bits(two: list[dict[str, torch.Tensor]]) -> None:
    whole, continued = part(two[0], "in one go/"), part(two[0], "continued/")
    for key, tensor in whole.items():
        if key.endswith("/curve"):
            rest = continued[key].shape[0]
            assert 0 < rest <= STEPS - STOPS[-1], "it went on"
            assert torch.equal(tensor[-rest:], continued[key]), key
        else:
            assert torch.equal(tensor, continued[key]), key


def test_what_one_process_has_nothing_of_is_gathered(two: list[dict[str, torch.Tensor]]) -> None:
    assert two[1]["gathered"].tolist() == [0.0, 1.0, 2.0]


def test_a_process_alone_is_all_there_are() -> None:
    peers = Peers()
    values = torch.arange(4.0)
    assert (peers.size, peers.rank) == (1, 0)
    for same in (peers.total, peers.of_first, peers.gather, peers.share):
        assert same(values) is values
    draw = Draw(4, 1, 0, torch.device("cpu"), peers)
    draw.add(values.unsqueeze(1), torch.tensor([0.0, 1e-3, 1e3, 0.0]))
    assert draw.take(2)[:, 0].tolist() == [2.0, 1.0], "those with the largest losses first"
