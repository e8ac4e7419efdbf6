"""EK-FAC against curvature that is built in full, and fast products against loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from autointerp.influence.ekfac import fit_curvature, solve
from autointerp.influence.linear_layers import linear_layers, next_logits, per_sequence, squared_norms, token_losses
from autointerp.influence.training_scores import (
    low_rank,
    passed_by,
    position_scores,
    query_gradients,
    sequence_scores,
)
from autointerp.study_inputs import SubjectTraining
from autointerp.subject.making import START, blank_model
from tests.tiny import tiny_model

RECIPE = SubjectTraining(layers=2, width=8, neurons=12, heads=2, vocabulary=257)
CONTEXTS = np.random.default_rng(0).integers(1, 40, size=(7, 5))


def _model(family: str) -> Any:
    if family != "ours":
        return tiny_model(family)
    return blank_model(RECIPE, 40, 5, seed=0).eval().requires_grad_(False)


def _slow_gradient(model: Any, layer: Any, cost: Any) -> Tensor:
    """Autograd's own, as (output, input), the bias last."""
    weights = [layer.module.weight, *([layer.module.bias] if layer.biased else [])]
    for weight in weights:
        weight.requires_grad_(True)
    found = torch.autograd.grad(cost(), weights)
    for weight in weights:
        weight.requires_grad_(False)
    matrix = found[0] if isinstance(layer.module, torch.nn.Linear) else found[0].T
    return torch.cat([matrix, found[1][:, None]], dim=1) if layer.biased else matrix


@pytest.mark.parametrize("family", ["ours", "llama", "gpt_neox"])
@pytest.mark.parametrize("start", [START, None])
def test_gradients_of_sequences_are_autograds_one_by_one(family: str, start: int | None) -> None:
    model = _model(family)
    layers = linear_layers(model)
    passed = passed_by(model, start, layers, CONTEXTS)
    total = torch.zeros(len(CONTEXTS))
    for layer in layers:
        found = per_sequence(passed[layer.name])
        for row, context in enumerate(CONTEXTS):
            ids = torch.as_tensor(context[None])
            slow = _slow_gradient(model, layer, lambda i=ids: token_losses(model, start, i, None).sum())
            torch.testing.assert_close(found[row], slow, rtol=1e-3, atol=1e-5)
            total[row] += slow.square().sum()
    torch.testing.assert_close(squared_norms(passed), total, rtol=1e-3, atol=1e-5)


def test_the_unembedding_is_left_out_tied_or_not() -> None:
    for family in ("gpt2", "llama"):
        names = [layer.name for layer in linear_layers(tiny_model(family))]
        assert names
        assert not any("lm_head" in name for name in names)


class _OneLayer(torch.nn.Module):
    """Logits of the next token: a linear map of the token's fixed embedding. One layer, one prediction a sequence."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = torch.nn.Embedding(6, 3)
        self.map = torch.nn.Linear(3, 6)
        self.requires_grad_(False)

    def get_input_embeddings(self) -> torch.nn.Module:
        return self.embedding

    def forward(self, input_ids: Tensor, use_cache: bool) -> Any:
        logits = self.map(self.embedding(input_ids))
        return type("Output", (), {"logits": logits})


def test_where_inputs_are_all_alike_ek_fac_is_the_exact_fisher_information() -> None:
    """One input: the Kronecker product is exact. The Fisher is built from probabilities, the fit from 40,000 labels."""
    model = _OneLayer()
    layers = linear_layers(model)
    contexts = np.full((40_000, 2), 3)
    curvature = fit_curvature(model, None, layers, contexts, seed=0, batch=4096)
    vector = torch.cat([model.embedding.weight[3], torch.ones(1)])
    chances = next_logits(model, None, torch.tensor([[3, 3]]))[0, 0].softmax(0)
    exact = torch.kron(torch.diag(chances) - torch.outer(chances, chances), torch.outer(vector, vector))
    gradient = torch.randn(1, 6, 4, generator=torch.Generator().manual_seed(1))
    damped = exact + 0.1 * exact.trace() / 24 * torch.eye(24)
    wanted = torch.linalg.solve(damped, gradient.flatten()).reshape(6, 4)
    (found,) = solve(curvature, {"map": gradient}, damping=0.1).values()
    assert float((found[0] - wanted).norm() / wanted.norm()) < 0.02
    # the same labels as the text's are another matrix: the empirical one, which is of rank one here
    own = fit_curvature(model, None, layers, contexts[:100], seed=0, labels="own")["map"].eigenvalues
    assert int((own > 1e-4 * own.max()).sum()) == 1


def test_eigenvalues_are_mean_squares_of_gradients_in_their_basis_and_solving_undoes_them() -> None:
    """With the text's labels nothing is drawn: against a loop over sequences, and the dense matrix of every layer."""
    model = _model("ours")
    layers = linear_layers(model)
    curvature = fit_curvature(model, START, layers, CONTEXTS, seed=0, labels="own", batch=3)
    query = query_gradients(
        model, layers, [lambda: token_losses(model, START, torch.as_tensor(CONTEXTS[:1]), None).sum()]
    )
    solved = solve(curvature, query, damping=0.5)
    for layer in layers:
        own = curvature[layer.name]
        basis = torch.kron(own.of_outputs, own.of_inputs)
        rows = []
        for context in CONTEXTS:
            ids = torch.as_tensor(context[None])
            slow = _slow_gradient(model, layer, lambda i=ids: token_losses(model, START, i, None).sum())
            rows.append(basis.T @ slow.flatten())
        eigenvalues = torch.stack(rows).square().mean(dim=0)
        torch.testing.assert_close(own.eigenvalues.flatten(), eigenvalues, rtol=1e-3, atol=1e-6)
        dense = basis @ torch.diag(eigenvalues + 0.5 * eigenvalues.mean()) @ basis.T
        back = (dense @ solved[layer.name][0].flatten()).reshape(query[layer.name][0].shape)
        torch.testing.assert_close(back, query[layer.name][0], rtol=1e-2, atol=1e-3)


def test_positions_sum_to_sequences_and_low_rank_queries_approach_whole_ones() -> None:
    model = _model("ours")
    layers = linear_layers(model)
    generator = torch.Generator().manual_seed(0)
    queries = {x.name: torch.randn(3, x.outputs, x.inputs, generator=generator) for x in layers}
    passed = passed_by(model, START, layers, CONTEXTS)
    whole = sequence_scores(passed, queries)
    slow = torch.zeros(3, len(CONTEXTS))
    for query in range(3):
        for x in layers:
            slow[query] += (queries[x.name][query] * per_sequence(passed[x.name])).sum(dim=(1, 2))
    torch.testing.assert_close(whole, slow, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(position_scores(passed, queries).sum(dim=-1), whole, rtol=1e-4, atol=1e-5)
    errors = []
    for rank in (1, 4, 9):
        thin = low_rank(queries, rank)
        found = sequence_scores(passed, thin)
        torch.testing.assert_close(position_scores(passed, thin).sum(dim=-1), found, rtol=1e-4, atol=1e-5)
        errors.append(float((found - whole).norm() / whole.norm()))
        lost = {x.name: queries[x.name] - thin[x.name].outputs @ thin[x.name].inputs for x in layers}
        for name, rest in lost.items():
            share = 1 - rest.square().sum(dim=(1, 2)) / queries[name].square().sum(dim=(1, 2))
            torch.testing.assert_close(thin[name].kept, share, rtol=1e-3, atol=1e-3)
    assert errors[0] > errors[1] > errors[2] < 1e-4
