"""The subject's activations on the training split, as a source of vectors: from shards on disk, or as they are made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from autointerp.artifacts import hash_file, hash_value
from autointerp.collect.passes import Reader
from autointerp.contexts.reading import count_contexts, read_batches
from autointerp.models import device_of
from autointerp.progress import bar
from autointerp.records import Split
from autointerp.study import Study
from autointerp.tables import TRAIN
from sae.parallel import Peers
from sae.streams.live import LiveVectors
from sae.streams.shards import ShardReader, ShardWriter

SHARDS = Path("work") / "vectors"
"""By path in the run folder; a folder per hook."""


def write_shards(study: Study, subject: Reader, identity: str, run: Path, hooks: Sequence[str]) -> None:
    """Put the vectors of these hooks on disk, in one pass over the split, from where an interrupted one stopped."""
    table = run / TRAIN
    size, context = study.subject.batch, study.corpus.context
    per_shard = max(1, 8192 // (size * context)) * size * context  # whole batches: a resumed run repeats the same sums
    writers = {
        hook: ShardWriter(_folder(run, hook), subject.widths[hook], _about(study, identity, run, hook), per_shard)
        for hook in hooks
    }
    pending = {hook: w for hook, w in writers.items() if not w.complete}
    if not pending:
        return
    contexts = count_contexts(table, Split.TRAIN)
    done = {hook: w.vectors // (size * context) for hook, w in pending.items()}
    skip = min(done.values())
    with bar("activations for training", contexts - skip * size, "contexts") as progress:
        for position, batch in enumerate(islice(read_batches(table, Split.TRAIN, size), skip, None), start=skip):
            read = subject.activations(batch.tokens)
            for hook, writer in pending.items():
                if position >= done[hook]:
                    writer.append(read[hook].reshape(-1, subject.widths[hook]).cpu())
            progress.advance(len(batch.contexts))
    for writer in pending.values():
        writer.finish()


def read_shards(run: Path, hook: str) -> ShardReader:
    """The vectors of a hook that `write_shards` has put on disk."""
    return ShardReader(_folder(run, hook))


def live_vectors(study: Study, subject: Reader, identity: str, run: Path, hook: str) -> LiveVectors:
    """The vectors of a hook as the subject computes them, anew in every pass.

    Several processes share the work: each computes some of the batches, and all get the vectors of all.
    """
    table, width, peers = run / TRAIN, subject.widths[hook], Peers()
    device = device_of(study.subject.device)

    def open_at(chunk: int) -> Iterator[Tensor]:
        batches = islice(read_batches(table, Split.TRAIN, study.subject.batch), chunk * peers.size, None)
        while group := list(islice(batches, peers.size)):
            own = torch.empty(0, width, device=device)  # the last group may be smaller
            if peers.rank < len(group):
                own = subject.activations(group[peers.rank].tokens)[hook].reshape(-1, width)
            yield peers.gather_rows(own)

    return LiveVectors(
        open_at,
        count=count_contexts(table, Split.TRAIN) * study.corpus.context,
        d_in=width,
        buffer=study.training.buffer,
        about=hash_value(_about(study, identity, run, hook)),
    )


def _about(study: Study, identity: str, run: Path, hook: str) -> Mapping[str, str]:
    """Everything that the vectors depend on."""
    return {
        "subject": identity,
        "contexts": hash_file(run / TRAIN),
        "batch": str(study.subject.batch),
        "dtype": study.subject.dtype,
        "hook": hook,
    }


def _folder(run: Path, hook: str) -> Path:
    return run / SHARDS / hash_value(hook)[:16]
