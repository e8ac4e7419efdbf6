"""Losses with a hook's tensor replaced, against computations written out by hand on the same tiny models."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from autointerp.errors import BadInput
from autointerp.models import LoadedModel
from autointerp.subject import splicing
from autointerp.subject.forward import Subject
from autointerp.subject.splicing import Splicing
from tests.tiny import FAMILIES, NEURONS, POSITIONS, START, VOCABULARY, tiny_model, tiny_tokenizer

Tensor = torch.Tensor
TOKENS = np.random.default_rng(0).integers(2, VOCABULARY, size=(3, 7))


def open_splicing(model: PreTrainedModel, hook: str, start: int | None = START) -> tuple[Splicing, Subject]:
    subject = Subject(LoadedModel(model, tiny_tokenizer(), "tiny", torch.device("cpu")), [hook], start)
    return Splicing(subject, hook), subject


def ids_of(start: int | None = START) -> Tensor:
    tokens = torch.as_tensor(TOKENS)
    return tokens if start is None else torch.cat([torch.full((len(tokens), 1), start), tokens], dim=1)


def slow_losses(logits: Tensor, start: int | None = START) -> list[float]:
    """Minus the log-probability of every token but the first, one by one, averaged per context."""
    skipped = 0 if start is None else 1
    found = []
    for context, tokens in enumerate(TOKENS.tolist()):
        nats = []
        for place in range(1, len(tokens)):
            row = [float(v) for v in logits[context, skipped + place - 1]]
            top = max(row)
            total = math.log(sum(math.exp(v - top) for v in row)) + top
            nats.append(total - row[tokens[place]])
        found.append(sum(nats) / len(nats))
    return found


def identity(x: Tensor) -> Tensor:
    return x.clone()


def noting(seen: list[Tensor], change: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The change, of which every argument is kept."""

    def noted(x: Tensor) -> Tensor:
        seen.append(x)
        return change(x)

    return noted


@pytest.mark.parametrize("start", [START, None])
def test_the_clean_loss_is_the_mean_over_all_predictions_of_text(start: int | None) -> None:
    model = tiny_model()
    found = open_splicing(model, "layers.1.resid", start)[0].losses(TOKENS)
    assert found.tolist() == pytest.approx(slow_losses(model(ids_of(start)).logits, start), abs=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_identity_changes_nothing_and_another_value_does(family: str) -> None:
    model = tiny_model(family)
    for hook in ("layers.1.mlp.neurons", "layers.1.mlp.out", "layers.2.resid"):
        spliced, _ = open_splicing(model, hook)
        clean = spliced.losses(TOKENS)
        assert spliced.losses(TOKENS, identity).tolist() == pytest.approx(clean.tolist(), abs=1e-5)
        assert np.abs(spliced.losses(TOKENS, lambda x: 3 * x.flip(1)) - clean).max() > 1e-3
        assert spliced.losses(TOKENS).tolist() == clean.tolist()


@pytest.mark.parametrize(
    "hook", ["model.layers.1.self_attn:out", "model.layers.1.self_attn:in", "model.layers.2:in", "lm_head:in"]
)
def test_module_paths_with_tuple_outputs_and_keyword_inputs(hook: str) -> None:
    spliced, subject = open_splicing(tiny_model(), hook)
    clean = spliced.losses(TOKENS)
    seen: list[Tensor] = []
    found = spliced.losses(TOKENS, noting(seen, lambda x: 0.5 * x))
    torch.testing.assert_close(seen[0], subject.activations(TOKENS)[hook].flatten(0, 1))
    assert spliced.losses(TOKENS, identity).tolist() == pytest.approx(clean.tolist(), abs=1e-5)
    assert np.abs(found - clean).max() > 1e-3


def zeroed_after_start(model: PreTrainedModel, path: str) -> Tensor:
    """Logits when a linear layer gives nothing but its bias everywhere but at the start token."""
    module = model.get_submodule(path)
    plain = type(module).forward

    def forward(x: Tensor) -> Tensor:
        out = plain(module, x)
        nothing = plain(module, torch.zeros_like(x))
        return torch.cat([out[:, :1], nothing[:, 1:]], dim=1)

    module.forward = forward
    try:
        logits: Tensor = model(ids_of()).logits
        return logits
    finally:
        del module.forward


def test_zero_ablation_of_neurons_is_a_down_projection_of_nothing() -> None:
    for family, path in (("llama", "model.layers.1.mlp.down_proj"), ("gpt2", "transformer.h.1.mlp.c_proj")):
        model = tiny_model(family)
        by_hand = zeroed_after_start(model, path)
        found = open_splicing(model, "layers.1.mlp.neurons")[0].losses(TOKENS, torch.zeros_like)
        assert found.tolist() == pytest.approx(slow_losses(by_hand), abs=1e-5)


def test_a_replaced_last_residual_goes_through_final_norm_and_head() -> None:
    model = tiny_model()
    spliced, subject = open_splicing(model, "layers.2.resid")
    vectors = torch.randn(TOKENS.size, 16, generator=torch.Generator().manual_seed(1))
    by_hand = model.lm_head(model.model.norm(vectors.reshape(*TOKENS.shape, 16)))
    rows = torch.cat([by_hand[:, :1], by_hand], dim=1)  # the start token's own prediction does not count
    assert spliced.losses(TOKENS, lambda _: vectors).tolist() == pytest.approx(slow_losses(rows), abs=1e-5)
    assert subject.widths == {"layers.2.resid": 16}


def test_the_start_token_keeps_its_vector_and_vectors_are_those_of_activations() -> None:
    model = tiny_model()
    spliced, subject = open_splicing(model, "layers.0.mlp.neurons")
    seen: list[Tensor] = []
    inputs: list[Tensor] = []
    handle = model.model.layers[0].mlp.down_proj.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    spliced.losses(TOKENS, noting(seen, torch.ones_like))
    handle.remove()
    assert seen[0].shape == (TOKENS.size, NEURONS)
    torch.testing.assert_close(seen[0], subject.activations(TOKENS)["layers.0.mlp.neurons"].flatten(0, 1))
    before = inputs[0]  # this hook was put there first, so it saw what came in
    torch.testing.assert_close(before[:, 1:].flatten(0, 1), seen[0])
    assert float(before[:, 0].abs().max()) > 0


def test_opt_flattens_its_vectors_and_takes_them_back() -> None:
    model = tiny_model("opt")
    spliced, subject = open_splicing(model, "layers.1.mlp.neurons")
    seen: list[Tensor] = []
    spliced.losses(TOKENS, noting(seen, lambda x: x))
    torch.testing.assert_close(seen[0], subject.activations(TOKENS)["layers.1.mlp.neurons"].flatten(0, 1))


def test_a_batch_run_in_parts_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    spliced, _ = open_splicing(tiny_model(), "layers.1.resid")
    whole = spliced.losses(TOKENS, lambda x: 0.5 * x)
    seen: list[Tensor] = []
    monkeypatch.setattr(splicing, "_LOGITS", 2 * 8 * VOCABULARY)
    parts = spliced.losses(TOKENS, noting(seen, lambda x: 0.5 * x))
    assert [len(x) for x in seen] == [14, 7]
    assert parts.tolist() == pytest.approx(whole.tolist(), abs=1e-6)


def test_half_precision_is_replaced_in_its_own_dtype() -> None:
    model = tiny_model().bfloat16()
    spliced, _ = open_splicing(model, "layers.1.resid")
    seen: list[Tensor] = []
    found = spliced.losses(TOKENS, noting(seen, lambda x: x))
    assert [x.dtype for x in seen] == [torch.float32]
    assert found.tolist() == spliced.losses(TOKENS).tolist()


def test_the_model_is_as_it_was_also_after_an_error() -> None:
    model = tiny_model()
    spliced, _ = open_splicing(model, "layers.1.resid")
    hooks = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())
    with pytest.raises(ZeroDivisionError):
        spliced.losses(TOKENS, lambda x: x * (1 // 0))
    assert sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()) == hooks


def test_contexts_that_cant_be_used() -> None:
    spliced, _ = open_splicing(tiny_model(), "layers.1.resid")
    with pytest.raises(BadInput, match="one token"):
        spliced.losses(TOKENS[:, :1])
    with pytest.raises(BadInput, match=f"a model of {POSITIONS} positions"):
        spliced.losses(np.full((1, POSITIONS), 5))
