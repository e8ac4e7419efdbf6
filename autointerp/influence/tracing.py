"""From queries to the training sequences behind them: every method's scores, with those of null queries."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from autointerp.artifacts import atomic_path, hash_value, seed_of
from autointerp.influence.bm25 import bm25
from autointerp.influence.ekfac import DAMPING, LayerCurvature, fit_curvature, solve
from autointerp.influence.linear_layers import squared_norms
from autointerp.influence.queries import Query
from autointerp.influence.run_material import TrainedRun
from autointerp.influence.tracin import TracInScores
from autointerp.influence.training_scores import (
    LowRank,
    low_rank,
    passed_by,
    position_scores,
    query_gradients,
    score_all,
)

METHODS: Mapping[str, str] = {
    "ekfac": "influence function with EK-FAC curvature",
    "dot": "product of gradients (no curvature)",
    "cosine": "cosine of gradients (no curvature)",
    "tracin": "TracIn over checkpoints: no influence function",
    "bm25": "shared tokens: knows no model",
}
"""What ranks the sequences, and what that is."""
FITS = 2
"""Curvatures with labels of their own, each a fit."""
_TOGETHER = 1 << 28
"""Numbers of queries' matrices in memory at once: 1 GiB. More queries take further passes over the text."""
_VERSION = 1


@dataclass(frozen=True)
class TraceChoice:
    """How influence is measured."""

    method: str = "ekfac"
    damping: float = DAMPING
    rank: int | None = None
    """Of the queries' matrices; None: whole."""
    fitted: int = 4096
    """Sequences, drawn, that the curvature is measured on."""
    top: int = 10
    """Sequences that are shown from either end."""
    nulls: int = 19
    """Null queries for each query."""
    seed: int = 0


@dataclass(frozen=True)
class Influences:
    """One query's scores of every training sequence, by every method that was computed."""

    query: Query
    by_method: Mapping[str, Float[np.ndarray, " sequence"]]
    """Besides those of METHODS, `ekfac again`: the other fit."""
    nulls: Float[np.ndarray, "null sequence"]
    """The chosen method's for null queries."""
    kept: float | None
    """Share of the query's squared length that its rank keeps; None where it is whole."""
    parts: Callable[[Int[np.ndarray, " chosen"]], Float[np.ndarray, "chosen position"] | None]
    """The chosen method's parts by position; None where it has none."""


def trace(run: TrainedRun, queries: Sequence[Query], choice: TraceChoice) -> list[Influences]:
    """Score every training sequence for every query, in one pass over the text for all of them if memory allows.

    What was computed lies in `work/influence` of the run, a file per 1,024 sequences: an interrupted call goes on
    where it stopped. Memory holds at most 1 GiB of queries' matrices, the scores, and one batch.
    """
    nulls = [run.others(query, choice.nulls, choice.seed) for query in queries]
    asked = [each for query, others in zip(queries, nulls, strict=True) for each in (query, *others)]
    wanted = _key(run, choice, asked)
    matrices = _Matrices(run, choice)
    folder = run.folder / "work" / "influence"
    scored = _in_groups(run, matrices, asked, folder / f"scores-{wanted}")
    checkpoints = TracInScores(run, choice.rank, folder) if choice.method == "tracin" else None
    if checkpoints is not None:
        scored["tracin"] = checkpoints.scores(asked, wanted)
    found, begin = [], 0
    for query, others in zip(queries, nulls, strict=True):
        by_method = {name: rows[begin] for name, rows in scored.items()}
        by_method["bm25"] = bm25(query.tokens, run.tokens)
        if choice.method == "bm25":
            of_nulls = np.array([bm25(other.tokens, run.tokens) for other in others])
        else:
            of_nulls = scored[choice.method][begin + 1 : begin + 1 + len(others)]
        parts = _parts(run, matrices, query, choice, checkpoints)
        found.append(
            Influences(query, by_method, of_nulls.reshape(len(others), len(run.tokens)), matrices.kept(query), parts)
        )
        begin += 1 + len(others)
    return found


class _Matrices:
    """Queries' matrices by EK-FAC, twice, and as they are; the curvatures are fitted once and kept on disk."""

    def __init__(self, run: TrainedRun, choice: TraceChoice) -> None:
        self._run, self._choice = run, choice
        self.curvatures = [self._curvature(choice.seed + fit) for fit in range(FITS)]

    def of(self, queries: Sequence[Query]) -> dict[str, Tensor]:
        """Per layer (methods x queries): both fits of EK-FAC, then the gradients themselves."""
        model = self._run.subject.model
        plain = query_gradients(model, self._run.layers, [query.cost for query in queries])
        solved = [solve(curvature, plain, self._choice.damping) for curvature in self.curvatures]
        return {name: torch.cat([*(each[name] for each in solved), plain[name]]) for name in plain}

    def shortened(self, matrices: Mapping[str, Tensor]) -> Mapping[str, Tensor] | Mapping[str, LowRank]:
        """In the rank that was asked for."""
        return matrices if self._choice.rank is None else low_rank(matrices, self._choice.rank)

    def kept(self, query: Query) -> float | None:
        """Share of the squared length of EK-FAC's matrices of a query that the rank keeps."""
        if self._choice.rank is None:
            return None
        whole = {name: matrix[:1] for name, matrix in self.of([query]).items()}
        squares = {name: float(matrix.square().sum()) for name, matrix in whole.items()}
        thin = low_rank(whole, self._choice.rank)
        return sum(squares[name] * float(thin[name].kept[0]) for name in thin) / max(sum(squares.values()), 1e-38)

    def _curvature(self, seed: int) -> dict[str, LayerCurvature]:
        run, choice = self._run, self._choice
        name = hash_value([*run.identity, seed, choice.fitted, _VERSION])[:16]
        path = run.folder / "work" / "influence" / f"curvature-{name}.safetensors"
        fields = ("of_inputs", "of_outputs", "eigenvalues")
        try:
            stored = load_file(path, device=str(run.subject.device))
            return {x.name: LayerCurvature(*(stored[f"{x.name}.{field}"] for field in fields)) for x in run.layers}
        except (OSError, SafetensorError, KeyError):  # not there, or not whole: measured, and written whole
            pass
        sample = np.random.default_rng(seed_of(seed, "fitted")).permutation(len(run.tokens))[: choice.fitted]
        start = run.subject.start_token
        found = fit_curvature(run.subject.model, start, run.layers, run.tokens[np.sort(sample)], seed)
        tensors = {f"{name}.{field}": getattr(c, field).contiguous() for name, c in found.items() for field in fields}
        with atomic_path(path) as temporary:
            save_file(tensors, temporary)
        return found


def _key(run: TrainedRun, choice: TraceChoice, asked: Sequence[Query]) -> str:
    settings = [choice.damping, choice.rank, choice.fitted, choice.seed, _VERSION]
    saes = run.saes if any(query.measurement == "activation" for query in asked) else []
    return hash_value([*run.identity, *saes, settings, [[q.name, q.completion, q.tokens.tolist()] for q in asked]])[:16]


def _in_groups(run: TrainedRun, matrices: _Matrices, asked: Sequence[Query], folder: Path) -> dict[str, np.ndarray]:
    """Scores (query, sequence) of the methods of the final weights, as many queries together as memory holds."""
    size = max(_TOGETHER // ((FITS + 1) * sum(layer.parameters for layer in run.layers)), 1)
    parts: dict[str, list[np.ndarray]] = {name: [] for name in ("ekfac", "ekfac again", "dot", "cosine")}
    for begin in range(0, len(asked), size):
        group = asked[begin : begin + size]
        queries = matrices.of(group)
        lengths = torch.stack([m[FITS * len(group) :].flatten(1).square().sum(dim=1) for m in queries.values()])
        own = lengths.sum(dim=0).sqrt().cpu().numpy()
        scored = score_all(
            run.subject.model, run.subject.start_token, run.layers, run.tokens, matrices.shortened(queries),
            folder / f"queries-{begin}",
        )  # fmt: skip
        by_method = scored.scores.reshape(FITS + 1, len(group), -1)
        for name, rows in zip(("ekfac", "ekfac again", "dot"), by_method, strict=True):
            parts[name].append(rows)
        parts["cosine"].append(by_method[FITS] / np.maximum(np.outer(own, scored.lengths), 1e-30))
    return {name: np.concatenate(rows) for name, rows in parts.items()}


def _parts(
    run: TrainedRun, matrices: _Matrices, query: Query, choice: TraceChoice, checkpoints: TracInScores | None
) -> Callable[[Int[np.ndarray, " chosen"]], Float[np.ndarray, "chosen position"] | None]:
    def of(chosen: Int[np.ndarray, " chosen"]) -> Float[np.ndarray, "chosen position"] | None:
        if choice.method == "bm25":
            return None
        if checkpoints is not None:
            return checkpoints.parts(query, chosen)
        row = 0 if choice.method == "ekfac" else FITS
        whole = {name: matrix[row : row + 1] for name, matrix in matrices.of([query]).items()}
        passed = passed_by(run.subject.model, run.subject.start_token, run.layers, run.tokens[chosen])
        found = position_scores(passed, matrices.shortened(whole))[0]
        if choice.method == "cosine":
            own = torch.stack([matrix.square().sum() for matrix in whole.values()]).sum().sqrt()
            found = found / (own * squared_norms(passed).sqrt()[:, None]).clamp(min=1e-30)
        return found.cpu().numpy()

    return of
