"""Several processes that train one autoencoder, each on its share of every batch; or one process alone.

Everything that a step divides by or selects from is that of the global batch, and gradients are summed: the processes
hold equal weights at all times, and these are the ones that a single process would have.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from jaxtyping import Float, Shaped
from torch import Tensor


class Peers:
    """The processes of the default group, or this one alone where there is no group (`torchrun` makes one)."""

    def __init__(self) -> None:
        self.size = dist.get_world_size() if dist.is_initialized() else 1
        """How many processes there are."""
        self.rank = dist.get_rank() if dist.is_initialized() else 0
        """Which of them this is."""

    def total(self, tensor: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
        """The sum over all processes, in place."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def of_first(self, tensor: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
        """What the first process gave, in place."""
        if self.size > 1:
            dist.broadcast(tensor, src=0)
        return tensor

    def gather(self, values: Float[Tensor, " some"]) -> Float[Tensor, " all"]:
        """The values of all processes, one after the other; they may be of different numbers."""
        if self.size == 1:
            return values
        counts = [torch.zeros(1, dtype=torch.int64, device=values.device) for _ in range(self.size)]
        dist.all_gather(counts, torch.tensor([values.shape[0]], device=values.device))
        most = int(max(counts))
        padded = values.new_zeros(most)
        padded[: values.shape[0]] = values
        every = [torch.empty_like(padded) for _ in range(self.size)]
        dist.all_gather(every, padded)
        return torch.cat([part[: int(count)] for part, count in zip(every, counts, strict=True)])

    def gather_rows(self, rows: Float[Tensor, "some column"]) -> Float[Tensor, "all column"]:
        """The rows of all processes, one after the other."""
        return self.gather(rows.reshape(-1)).reshape(-1, rows.shape[1]) if self.size > 1 else rows

    def share(self, batch: Shaped[Tensor, "vector ..."]) -> Shaped[Tensor, "own ..."]:
        """This process's part of a global batch."""
        return batch.tensor_split(self.size)[self.rank] if self.size > 1 else batch
