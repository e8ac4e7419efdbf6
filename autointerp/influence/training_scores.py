"""Influences: the products of queries' solved gradients with those of the training sequences, chunk by chunk.

A positive influence: had the sequence weighed a little more in training, the cost would have been lower. Signs and
units: the cost falls by score / N when one of N equally weighted sequences counts twice, and rises by as much when it
is removed, in so far as the first order and the curvature hold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from torch import Tensor

from autointerp.artifacts import atomic_path
from autointerp.influence.linear_layers import (
    LinearLayer,
    Matrices,
    Passed,
    per_sequence,
    record,
    squared_norms,
    token_losses,
)
from autointerp.progress import bar

CHUNK = 1024
"""Training sequences whose scores are one file."""
_NUMBERS = 32_000_000
"""In memory at once for products of queries with positions: 128 MB."""


@dataclass(frozen=True)
class LowRank:
    """Queries' matrices as products of two thin ones."""

    outputs: Float[Tensor, "query output rank"]
    inputs: Float[Tensor, "query rank input"]
    kept: Float[Tensor, " query"]
    """Share of the squared length that is kept, in [0, 1]."""


def query_gradients(
    model: Any, layers: Sequence[LinearLayer], costs: Sequence[Callable[[], Float[Tensor, ""]]]
) -> dict[str, Float[Tensor, "query output input"]]:
    """Each cost's gradient of every layer."""
    rows = [record(model, layers, cost) for cost in costs]
    return {x.name: torch.stack([per_sequence(row[x.name]).sum(dim=0) for row in rows]) for x in layers}


def low_rank(matrices: Matrices, rank: int) -> dict[str, LowRank]:
    """The best approximation of each matrix with `rank` products (Eckart and Young 1936), as Grosse et al. batch
    queries: products with a position then cost rank x (inputs + outputs), and not inputs x outputs.
    """
    found = {}
    for name, matrix in matrices.items():
        left, values, right = torch.linalg.svd(matrix, full_matrices=False)
        squares = values.square()
        whole = squares.sum(dim=1)
        kept = torch.where(whole > 0, squares[:, :rank].sum(dim=1) / whole.clamp(min=1e-38), torch.ones_like(whole))
        found[name] = LowRank(left[:, :, :rank] * values[:, None, :rank], right[:, :rank], kept.clamp(max=1.0))
    return found


Queries = Mapping[str, Float[Tensor, "query output input"]] | Mapping[str, LowRank]


def position_scores(passed: Mapping[str, Passed], queries: Queries) -> Float[Tensor, "query sequence position"]:
    """Each position's part of each sequence's influence; they sum to it."""
    total: Any = 0.0
    for name, each in passed.items():
        matrix = queries[name]
        if isinstance(matrix, LowRank):
            left = torch.einsum("bto,qor->qbtr", each.gradients, matrix.outputs)
            right = torch.einsum("bti,qri->qbtr", each.inputs, matrix.inputs)
            total = total + (left * right).sum(dim=-1)
        else:
            rows = []
            step = max(_NUMBERS // max(each.inputs.numel(), 1), 1)
            for part in (matrix[begin : begin + step] for begin in range(0, len(matrix), step)):
                turned = torch.einsum("bto,qoi->qbti", each.gradients, part)
                rows.append((turned * each.inputs).sum(dim=-1))
            total = total + torch.cat(rows)
    return total  # type: ignore[no-any-return]


def sequence_scores(passed: Mapping[str, Passed], queries: Queries) -> Float[Tensor, "query sequence"]:
    """Each sequence's influence: by its whole gradient where queries are whole, by positions where they are thin."""
    total: Any = 0.0
    for name, each in passed.items():
        matrix = queries[name]
        if isinstance(matrix, LowRank):
            total = total + position_scores({name: each}, {name: matrix}).sum(dim=-1)
        else:
            total = total + matrix.flatten(1) @ per_sequence(each).flatten(1).T
    return total  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Scored:
    """Every training sequence."""

    scores: Float[np.ndarray, "query sequence"]
    lengths: Float[np.ndarray, " sequence"]
    """Of the sequences' gradients."""


def score_all(
    model: Any,
    start: int | None,
    layers: Sequence[LinearLayer],
    contexts: Int[np.ndarray, "sequence token"],
    queries: Queries,
    folder: Path,
    *,
    batch: int = 32,
    chunk: int = CHUNK,
) -> Scored:
    """Score all of `contexts`; what an earlier call with the same `folder` wrote is not computed again.

    A file per `chunk` sequences, each whole or absent. The folder's name must say what the scores are made of. Memory
    holds the queries, one batch's inputs and gradients, and queries x sequences scores.
    """
    parts = []
    with bar("influence", len(contexts), "sequences") as progress:
        for begin in range(0, len(contexts), chunk):
            block = contexts[begin : begin + chunk]
            path = folder / f"{begin:09d}.safetensors"
            found = _kept(path, len(block))
            if found is None:
                found = _score(model, start, layers, block, queries, batch)
                with atomic_path(path) as temporary:
                    save_file({"scores": found.scores, "lengths": found.lengths}, temporary)
            parts.append(found)
            progress.advance(len(block))
    return Scored(
        np.concatenate([part.scores for part in parts], axis=1), np.concatenate([part.lengths for part in parts])
    )


def _kept(path: Path, sequences: int) -> Scored | None:
    try:
        found = load_file(path)
    except (OSError, SafetensorError):  # not there, or not whole: computed, and written whole
        return None
    return Scored(found["scores"], found["lengths"]) if found["lengths"].shape == (sequences,) else None


def _score(
    model: Any,
    start: int | None,
    layers: Sequence[LinearLayer],
    contexts: Int[np.ndarray, "sequence token"],
    queries: Queries,
    batch: int,
) -> Scored:
    scores, lengths = [], []
    for begin in range(0, len(contexts), batch):
        passed = passed_by(model, start, layers, contexts[begin : begin + batch])
        scores.append(sequence_scores(passed, queries).cpu().numpy())
        lengths.append(squared_norms(passed).sqrt().cpu().numpy())
    return Scored(np.concatenate(scores, axis=1), np.concatenate(lengths))


def passed_by(
    model: Any, start: int | None, layers: Sequence[LinearLayer], contexts: Int[np.ndarray, "sequence token"]
) -> dict[str, Passed]:
    """What passes the layers when the model is trained on `contexts`: the cost is their tokens' summed loss."""
    ids = torch.as_tensor(contexts, dtype=torch.long, device=next(model.parameters()).device)
    return record(model, layers, lambda: token_losses(model, start, ids, None).sum())
