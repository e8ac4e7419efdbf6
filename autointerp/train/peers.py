"""Several processes for one run, as `torchrun` starts them: the first carries it out, the others train along with it.

The others wait until they are called, for as long as the run's other stages take, and end when the run ends. Where one
process is lost, all end with an error.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from autointerp.errors import AutointerpError, BadInput

if TYPE_CHECKING:  # nothing heavy for a process that is alone
    import torch

_PATIENCE = timedelta(days=14)
"""How long the others wait for the first process, in which corpus and vectors are made; one that died is noticed."""
_LOST = "gloo/transport"
"""In the message of the RuntimeError that torch raises when a connection breaks; it has no class of its own for it."""


def follows() -> bool:
    """Whether this process is one of several and not their first."""
    return together() and os.environ["RANK"] != "0"


def together() -> bool:
    """Whether this process is one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in os.environ


@contextmanager
def joined(device: str) -> Iterator[None]:
    """Join the others for the length of a run whose study asks for `device`; does nothing in a process alone.

    On GPUs each process gets its own: the one with its number on this machine. Raises BadInput when there are too few,
    and AutointerpError when another process is lost.
    """
    if not together():
        yield
        return
    import torch.distributed as dist

    dist.init_process_group(_backend(device), timeout=_PATIENCE)
    try:
        yield
        if not follows():
            _tell(training=False)
    except RuntimeError as error:
        if _LOST not in str(error):
            raise
        raise AutointerpError("another process of this run has ended before its time: see what it said") from error
    finally:
        dist.destroy_process_group()


def _backend(device: str) -> str:
    """For tensors of the processor, and of the GPU if this process has one; its GPU becomes the current one."""
    import torch

    if device not in ("auto", "cuda") or not torch.cuda.is_available():
        if device.startswith("cuda"):
            raise BadInput(f"subject.device = '{device}' for several processes", "write 'cuda': each gets its own GPU")
        return "gloo"
    number, count = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if number >= count:
        raise BadInput(
            f"process {number + 1} of this machine has no GPU, there are {count}",
            f"start {count} processes, or set subject.device to 'cpu'",
        )
    torch.cuda.set_device(number)
    return "cpu:gloo,cuda:nccl"


def summon() -> None:
    """The first process is about to train: let the others do the same."""
    _tell(training=True)


def summoned() -> bool:
    """Wait, as one of the others, for the first process: True when it is to train, False when its run has ended."""
    import torch.distributed as dist

    word = _word(training=False)
    dist.broadcast(word, src=0)
    return bool(word)


def _tell(*, training: bool) -> None:
    import torch.distributed as dist

    if dist.is_initialized():
        dist.broadcast(_word(training), src=0)


def _word(training: bool) -> "torch.Tensor":
    import torch

    return torch.tensor(int(training))
