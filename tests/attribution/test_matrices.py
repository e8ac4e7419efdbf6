"""The whole matrix: every method against what a loop over tokens and steps finds, on a tiny model of every family."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from autointerp.attribution.gradients import baseline, equal_steps, gradient_times_input, integrated_gradients
from autointerp.attribution.latents import attribute_to_latents
from autointerp.attribution.passages import Passage, passage_of, pieces_of
from autointerp.attribution.removal import TokenMasks, left_out, lime_of_tokens, occluded
from autointerp.attribution.rollout import rollout
from autointerp.attribution.targets import Outputs, plain_attention
from autointerp.errors import BadInput
from sae.architectures.standard import StandardSae
from tests.tiny import EVERY_FAMILY, tiny_loaded

pytestmark = pytest.mark.usefixtures("one_thread")
PROMPT, OUTPUT = "A river runs", " to the sea"


def outputs_of(family: str, place: str = "embeddings") -> Outputs:
    loaded = tiny_loaded(family)
    return Outputs(loaded, passage_of(loaded, PROMPT, output=OUTPUT, chat="no"), place)


def random_sae(width: int, latents: int, normalisation: Any = "none") -> StandardSae:
    draw = torch.Generator().manual_seed(4)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=draw)

    return StandardSae(
        random(width, latents), random(latents, width) / 3, random(width) / 3, True, random(latents) - 0.5,
        normalisation=normalisation,
    )  # fmt: skip


def log_probability(outputs: Outputs, ids: list[int], target: int) -> float:
    """Of the last of `ids`, by the plainest pass that there is."""
    with torch.no_grad():
        logits = outputs.loaded.model(input_ids=torch.tensor([ids[:-1]]), use_cache=False).logits
    return float(logits[0, -1].double().log_softmax(dim=0)[ids[-1]])


@pytest.mark.parametrize("family", EVERY_FAMILY)
def test_scores_are_those_of_a_plain_pass_and_the_future_is_not_seen(family: str) -> None:
    outputs = outputs_of(family)
    passage = outputs.passage
    for target in range(passage.targets):
        read = list(passage.ids[: passage.before(target) + 1])
        assert float(outputs.scores[target]) == pytest.approx(log_probability(outputs, read, target), abs=2e-5)
    assert_allclose(outputs.replaced(outputs.tensor[None])[0].detach(), outputs.scores, atol=1e-5)
    found = equal_steps(outputs, baseline(outputs, "mean"), 8)
    for target in range(passage.targets):
        assert not found.signed()[passage.before(target) :, target].any()
    assert np.abs(found.signed()[passage.fixed : passage.prompt]).max() > 0
    assert not found.signed()[: passage.fixed].any()


@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma2", "opt"])
def test_integrated_gradients_are_complete_and_those_of_a_loop(family: str) -> None:
    outputs = outputs_of(family)
    base = baseline(outputs, "mean")
    exact = integrated_gradients(outputs, base, 600, 1e-3)
    assert np.abs(exact.delta).max() < 1e-3
    assert_allclose(exact.signed().sum(axis=0), exact.change, atol=1.1e-3)
    cheap = integrated_gradients(outputs, base, 24)
    assert_allclose(cheap.signed().sum(axis=0) - cheap.change, cheap.delta, atol=1e-5)
    found = equal_steps(outputs, base, 12)
    points, weights = np.polynomial.legendre.leggauss(12)
    slow = torch.zeros(outputs.passage.targets, *base.shape)
    for target in range(outputs.passage.targets):
        for point, weight in zip((points + 1) / 2, weights / 2, strict=True):
            row = (base + point * (outputs.tensor - base)).float().requires_grad_()
            (gradient,) = torch.autograd.grad(outputs.replaced(row[None])[0, target], row)
            slow[target] += weight * gradient
    expected = (slow * (outputs.tensor - base)).sum(dim=2).t()
    assert_allclose(found.signed(), expected, atol=1e-5)
    assert_allclose(found.sizes(), torch.linalg.vector_norm(slow * (outputs.tensor - base), dim=2).t(), atol=1e-5)
    small = replace(outputs, memory=1e-9)
    assert small.rows == 1
    assert_allclose(equal_steps(small, base, 12).signed(), found.signed(), atol=1e-5)


def test_a_jump_on_the_line_is_found_where_equal_steps_miss_it() -> None:
    """A score that jumps within a thousandth of the line: what equal points see of it is all or nothing."""

    class Jumping(Outputs):
        def replaced(self, tensors: torch.Tensor) -> torch.Tensor:
            along = (tensors[:, 1, 0] - base[1, 0]) / (self.tensor[1, 0] - base[1, 0])
            return 3.0 * torch.sigmoid((along - 0.31) * 4000)[:, None].expand(-1, self.passage.targets)

    plain = outputs_of("gpt2")
    base = baseline(plain, "zero")
    outputs = Jumping(plain.loaded, plain.passage)
    outputs.__dict__["rows"] = 64
    found, equal = integrated_gradients(outputs, base, 192), equal_steps(outputs, base, 192)
    assert np.abs(found.delta).max() < 0.05
    assert np.abs(equal.delta).max() > 0.5
    assert_allclose(found.signed()[1], 3.0, atol=0.05)


@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma3"])
def test_half_precision_gives_nearly_the_same_matrix(family: str) -> None:
    whole = outputs_of(family)
    model = copy.deepcopy(whole.loaded.model).to(torch.bfloat16)  # type: ignore[arg-type]
    half = Outputs(replace(whole.loaded, model=model, precision="bfloat16"), whole.passage)
    for method in (occluded, lambda outputs, base: equal_steps(outputs, base, 24).signed()):
        one, other = (method(each, baseline(each, "end")) for each in (whole, half))
        assert one.dtype == other.dtype == np.float64
        assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.97


def test_gradient_times_input_is_the_slope_along_the_input() -> None:
    outputs = outputs_of("gpt2")
    found = gradient_times_input(outputs)
    step = 1e-2
    for position in range(outputs.passage.fixed, len(outputs.passage.ids) - 1):
        ends = []
        for sign in (1, -1):
            moved = outputs.tensor.clone()
            moved[position] *= 1 + sign * step
            ends.append(outputs.replaced(moved[None])[0].detach().double())
        assert_allclose(found[position], (ends[0] - ends[1]) / (2 * step), atol=2e-3)


def test_attention_kernels_give_the_same_gradients() -> None:
    outputs = outputs_of("llama")
    base = baseline(outputs, "zero")
    fast = equal_steps(outputs, base, 6).signed()
    with plain_attention(outputs.loaded):
        plain = equal_steps(outputs, base, 6).signed()
    assert_allclose(fast, plain, atol=1e-5)
    assert outputs.loaded.model.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("family", ["gpt2", "gemma", "gpt_neox"])
def test_occlusion_and_leave_one_out_are_what_a_loop_over_tokens_finds(family: str) -> None:
    outputs = outputs_of(family)
    passage = outputs.passage
    base = baseline(outputs, "end")
    hidden, deleted = occluded(outputs, base), left_out(outputs)
    end = outputs.loaded.tokenizer.eos_token_id
    for position in range(len(passage.ids) - 1):
        for target in range(passage.targets):
            read = list(passage.ids[: passage.before(target) + 1])
            if position < passage.fixed or position >= passage.before(target):
                assert hidden[position, target] == deleted[position, target] == 0
                continue
            whole = log_probability(outputs, read, target)
            replaced = [end if place == position else token for place, token in enumerate(read)]
            gone = [token for place, token in enumerate(read) if place != position]
            assert hidden[position, target] == pytest.approx(
                whole - log_probability(outputs, replaced, target), abs=5e-5
            )
            assert deleted[position, target] == pytest.approx(whole - log_probability(outputs, gone, target), abs=5e-5)


def test_lime_agrees_with_occlusion_where_tokens_do_not_interact() -> None:
    outputs = outputs_of("gpt2")
    base = baseline(outputs, "mean")
    near = outputs.tensor + 0.99 * (base - outputs.tensor)  # so near that the model is all but linear
    narrow = Outputs(outputs.loaded, outputs.passage)
    narrow.__dict__["tensor"] = near
    hidden = occluded(narrow, base)
    found = lime_of_tokens(narrow, base, 600, np.random.default_rng(0))
    assert np.corrcoef(hidden.ravel(), found.ravel())[0, 1] > 0.9
    assert not found[: outputs.passage.fixed].any()


def test_rollout_is_a_share_and_is_what_a_loop_over_layers_finds() -> None:
    outputs = outputs_of("gpt2")
    found = rollout(outputs)
    with torch.no_grad(), plain_attention(outputs.loaded):
        layers = outputs.loaded.model(input_ids=outputs.ids, output_attentions=True).attentions
    reached = np.eye(outputs.ids.shape[1])
    for layer in layers:
        reached = (0.5 * layer[0].mean(dim=0).double().numpy() + 0.5 * np.eye(len(reached))) @ reached
    for target in range(outputs.passage.targets):
        row = reached[outputs.passage.before(target) - 1]
        assert row.sum() == pytest.approx(1.0)
        assert_allclose(found[outputs.passage.fixed :, target], row[outputs.passage.fixed :], atol=1e-9)


@pytest.mark.parametrize("normalisation", ["none", "layer_norm"])
def test_latents_and_error_add_up_to_the_change_of_the_score(normalisation: str) -> None:
    outputs = outputs_of("llama", "layers.1.resid")
    sae = random_sae(16, 40, normalisation)
    found = attribute_to_latents(outputs, sae, 600, 1e-3)
    total = found.value.sum(axis=0) + found.error.sum(axis=0)
    assert_allclose(total - found.change, found.delta, atol=1e-5)
    assert np.abs(found.delta).max() < 2e-3
    read = outputs.tensor[outputs.passage.fixed :]
    dense = sae.encode(read)
    assert len(found.latent) == int((dense > 0).sum())
    assert_allclose(found.activation, dense[found.position - outputs.passage.fixed, found.latent], atol=1e-6)
    assert_allclose(found.by_position().sum(axis=0) + found.error.sum(axis=0), total, atol=1e-9)
    assert ((found.error_share() > 0) & (found.error_share() < 1)).all()
    with pytest.raises(BadInput, match="the SAE reads vectors of 12 numbers"):
        attribute_to_latents(outputs, random_sae(12, 40), 2)


def test_masked_scores_are_probabilities_where_asked() -> None:
    outputs = outputs_of("gpt2")
    masks = np.ones((1, outputs.passage.parts), dtype=bool)
    found = TokenMasks(outputs, baseline(outputs, "mean"), probability=True)(masks)
    assert_allclose(found[0], outputs.scores.double().exp(), rtol=1e-5)


def test_passages_are_token_by_token_and_refuse_what_is_none() -> None:
    loaded = tiny_loaded("llama")
    passage = passage_of(loaded, PROMPT, tokens=3, chat="no")
    assert passage.fixed == 1
    assert 1 <= passage.targets <= 3
    assert "".join(passage.pieces) == loaded.tokenizer.decode(list(passage.ids))
    again = passage_of(loaded, PROMPT, tokens=3, chat="no")
    assert again == passage
    loaded.tokenizer.chat_template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:"
    asked = passage_of(loaded, PROMPT, output=OUTPUT)
    assert "".join(asked.pieces) == f"user: {PROMPT}\nassistant:{OUTPUT}"
    assert passage_of(loaded, PROMPT, tokens=3, chat="no") == passage
    loaded.tokenizer.chat_template = None
    emoji = loaded.tokenizer("x ✨ y", add_special_tokens=False)["input_ids"]
    pieces = pieces_of(emoji, loaded.tokenizer)
    assert "".join(pieces) == "x ✨ y"
    assert "" in pieces
    for wrong in ({"prompt": ""}, {"prompt": PROMPT, "output": ""}, {"prompt": PROMPT, "chat": "yes"}):
        with pytest.raises(BadInput):
            passage_of(loaded, **wrong)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="the model has 2048 positions"):
        passage_of(loaded, "a b " * 3000, chat="no")
    assert Passage((1, 2, 3), 2, ("a", "b", "c"), 0).parts == 2
