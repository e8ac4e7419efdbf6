"""A pass over a split: the subject's activations on every context, batch by batch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from autointerp.contexts.reading import context_ids, read_batches
from autointerp.progress import bar
from autointerp.records import Split
from autointerp.study import Study


@runtime_checkable
class Reader(Protocol):
    """What is needed of the subject."""

    widths: dict[str, int]

    def activations(self, tokens: Int[np.ndarray, "context token"]) -> dict[str, Float[Tensor, "context token width"]]:
        """Activations at every hook, the start token's position dropped."""
        ...


Taker: TypeAlias = Callable[[dict[str, Tensor], Tensor, Tensor], None]


def stream(study: Study, subject: Reader, contexts: Path, split: Split, label: str, take: Taker) -> None:
    """One pass over a split: hand activations, context ids and tokens of every batch to `take`."""
    total = len(context_ids(contexts, split))
    with bar(label, total, "contexts") as progress:
        for batch in read_batches(contexts, split, study.subject.batch):
            read = subject.activations(batch.tokens)
            take(read, torch.from_numpy(batch.contexts), torch.from_numpy(batch.tokens))
            progress.advance(len(batch.contexts))
