"""Output effects of every family against the logits that the model itself gives, its norms held still."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from transformers import OPTConfig, OPTForCausalLM, PreTrainedModel, XGLMConfig, XGLMForCausalLM

from autointerp.models import LoadedModel
from autointerp.records import Effects, Unscored
from autointerp.subject.effects import TOKENS, OutputEffects, legible_tokens, to_residual, to_unembedding
from autointerp.subject.forward import Subject
from autointerp.subject.hooks import HookPoint, resolve
from tests.subject.test_families import BLOCKS, FINAL_NORM, _out_of
from tests.tiny import FAMILIES, NEURONS, START, VOCABULARY, WIDTH, tiny_model, tiny_tokenizer

Tensor = torch.Tensor
WIDTHS = {"resid": WIDTH, "mlp.neurons": NEURONS, "mlp.out": WIDTH}


def _subject(model: PreTrainedModel, *hooks: str) -> Subject:
    return Subject(LoadedModel(model, tiny_tokenizer(), "tiny", torch.device("cpu")), hooks, START)


def _directions(width: int, count: int = 3) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(5))


def _held_still(norm: torch.nn.Module, at: Tensor) -> Callable[[Tensor], Tensor]:
    """The norm, made to divide by the size of `at` whatever it is given."""
    centred = isinstance(norm, torch.nn.LayerNorm)
    bias = norm.bias if centred else 0

    def size(x: Tensor) -> Tensor:
        x = x - x.mean(dim=-1, keepdim=True) if centred else x
        return x.pow(2).mean(dim=-1, keepdim=True).add(1e-5 if centred else 1e-6).sqrt()

    return lambda x: (norm(x) - bias) * size(x) / size(at) + bias


def _twin(family: str, model: PreTrainedModel, what: str, directions: Tensor) -> Tensor:
    """How each logit grows when a little of a direction is added to what the model computes."""
    ids = torch.tensor([[START, 7, 30, 90, 12]])
    block = model.get_submodule(f"{BLOCKS.get(family, 'model.layers')}.1")
    mlp = block if family == "opt" else block.get_submodule("mlp")
    last: list[Tensor] = []
    final = model.get_submodule(FINAL_NORM.get(family, "model.norm"))
    handle = final.register_forward_pre_hook(lambda _, args: last.append(args[0][0, -1]))
    model(input_ids=ids, use_cache=False)
    handle.remove()
    after = getattr(block, "post_feedforward_layernorm", None)
    rows = []
    for direction in directions:
        step = direction
        if what == "mlp.neurons":
            step = _out_of(family, mlp, direction) - _out_of(family, mlp, torch.zeros(NEURONS))
        if what != "resid" and after is not None:
            at = torch.linspace(-1, 2, WIDTH)
            still = _held_still(after, at)
            step = still(at + step) - still(at)
        norm = _held_still(final, last[0])
        head = model.get_output_embeddings()
        rows.append(head(norm(last[0] + 0.5 * step)) - head(norm(last[0])))
    return torch.stack(rows)


def _effects(model: PreTrainedModel, hook: HookPoint, directions: Tensor) -> Tensor:
    written = to_residual(model, hook, directions)
    assert isinstance(written, Tensor)
    arriving = to_unembedding(model, written)
    assert isinstance(arriving, Tensor)
    logits: Tensor = arriving @ model.get_output_embeddings().weight.T
    return logits


def _shape(rows: Tensor) -> Tensor:
    shape: Tensor = rows / rows.norm(dim=1, keepdim=True)
    return shape


@pytest.mark.parametrize("what", WIDTHS)
@pytest.mark.parametrize("family", FAMILIES)
def test_an_effect_is_the_change_of_the_logits(family: str, what: str) -> None:
    model = tiny_model(family)
    hook = resolve(model, f"layers.1.{what}")
    directions = _directions(WIDTHS[what])
    expected = _twin(family, model, what, directions)
    torch.testing.assert_close(_shape(_effects(model, hook, directions)), _shape(expected), atol=2e-4, rtol=1e-3)
    told = OutputEffects(_subject(model, hook.name)).of(hook.name, directions)
    legible, texts = legible_tokens(tiny_tokenizer(), VOCABULARY)
    for effects, logits in zip(told, _shape(expected)[:, legible], strict=True):
        assert isinstance(effects, Effects)
        order = logits.argsort(descending=True).tolist()
        assert [texts[int(legible[i])] for i in order[:TOKENS]] == list(effects.promoted)
        assert [texts[int(legible[i])] for i in order[::-1][:TOKENS]] == list(effects.suppressed)


def test_both_tied_and_untied_unembeddings_are_among_the_families() -> None:
    tied = {tiny_model(family).config.tie_word_embeddings for family in FAMILIES}
    assert tied == {True, False}


def test_an_effect_does_not_depend_on_how_many_rows_are_read_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = _subject(tiny_model(), "layers.0.resid")
    directions = _directions(WIDTH, 40)
    whole = OutputEffects(subject).of("layers.0.resid", directions)
    monkeypatch.setattr("autointerp.subject.effects._ROWS", 3)
    assert OutputEffects(subject).of("layers.0.resid", directions) == whole
    opposite = OutputEffects(subject).of("layers.0.resid", -directions)
    for one, other in zip(whole, opposite, strict=True):
        assert isinstance(one, Effects)
        assert isinstance(other, Effects)
        assert (one.promoted, one.suppressed) == (other.suppressed, other.promoted)


@pytest.mark.parametrize(
    ("name", "like"),
    [
        ("model.layers.1.mlp.down_proj:in", "layers.1.mlp.neurons"),
        ("model.layers.1.mlp.down_proj:out", "layers.1.mlp.out"),
        ("model.layers.1.mlp:out", "layers.1.mlp.out"),
        ("model.layers.1:out", "layers.1.resid"),
        ("model.layers.2:in", "layers.1.resid"),
    ],
)
def test_paths_are_read_as_the_short_names_of_the_same_place(name: str, like: str) -> None:
    model = tiny_model("gemma2")
    directions = _directions(WIDTHS[like.removeprefix("layers.1.")])
    expected = _effects(model, resolve(model, like), directions)
    torch.testing.assert_close(_effects(model, resolve(model, name), directions), expected)


@pytest.mark.parametrize(
    "name",
    [
        "model.layers.1.self_attn:out", "model.layers.1.self_attn.q_proj:out", "model.layers.1.mlp:in",
        "model.layers.1.mlp.up_proj:out", "model.layers.1.mlp.down_proj.weightless:in", "model.embed_tokens:out",
        "model.norm:out", "lm_head:out",
    ],
)  # fmt: skip
def test_what_does_not_write_into_the_residual_stream_has_no_effect_and_says_why(name: str) -> None:
    path, _, side = name.rpartition(":")
    hook = HookPoint(name, path, "in" if side == "in" else "out")
    reason = to_residual(tiny_model(), hook, _directions(WIDTH))
    assert isinstance(reason, Unscored)
    assert reason.reason.startswith("what is hooked does not write into the residual stream")


def test_every_unit_of_such_a_hook_has_the_reason() -> None:
    name = "model.layers.1.self_attn:out"
    found = OutputEffects(_subject(tiny_model(), name)).of(name, _directions(WIDTH))
    assert len(found) == 3
    assert all(isinstance(each, Unscored) for each in found)


def test_a_direction_that_comes_to_nothing_has_no_effect() -> None:
    model = tiny_model()
    model.get_parameter("model.layers.1.mlp.down_proj.weight")[:, 4] = 0
    found = OutputEffects(_subject(model, "layers.1.mlp.neurons")).of("layers.1.mlp.neurons", torch.eye(NEURONS))
    assert found[4] == Unscored("the unit's output direction is zero")
    assert all(isinstance(each, Effects) for place, each in enumerate(found) if place != 4)


def test_models_whose_norms_are_not_known_say_so() -> None:
    unknown = XGLMForCausalLM(XGLMConfig(vocab_size=20, d_model=WIDTH, ffn_dim=8, num_layers=1, attention_heads=1))
    reason = to_residual(unknown, resolve(unknown, "model.layers.0:out"), _directions(WIDTH))
    assert reason == Unscored("where this type of model has its blocks is not known")
    config = OPTConfig(
        vocab_size=20, hidden_size=WIDTH, ffn_dim=NEURONS, num_hidden_layers=1, num_attention_heads=2,
        word_embed_proj_dim=8, do_layer_norm_before=False, max_position_embeddings=16,
    )  # fmt: skip
    model = OPTForCausalLM(config).eval()
    reason = to_unembedding(model, _directions(WIDTH))
    assert reason == Unscored("the model has no final norm that is known")


def test_tokens_without_a_text_of_their_own_are_left_out() -> None:
    tokenizer = tiny_tokenizer()
    ids, texts = legible_tokens(tokenizer, 10_000)
    assert set(tokenizer.all_special_ids).isdisjoint(ids.tolist())
    assert int(ids.max()) < len(tokenizer)
    assert not any("\ufffd" in text or not text for text in texts.values())
    assert " the" in texts.values()
    assert legible_tokens(tokenizer, 100)[0].max() < 100
    assert all(tokenizer.decode([i]) == texts[i] for i in np.random.default_rng(0).choice(ids.numpy(), 20).tolist())


def test_models_of_half_precision_are_read_too() -> None:
    model, half = tiny_model("gemma2"), tiny_model("gemma2").bfloat16()
    hook = resolve(model, "layers.1.mlp.neurons")
    exact = _effects(model, hook, _directions(NEURONS))
    written = to_residual(half, hook, _directions(NEURONS))
    assert isinstance(written, Tensor)
    arriving = to_unembedding(half, written)
    assert isinstance(arriving, Tensor)
    rough = arriving @ half.get_output_embeddings().weight.float().T
    assert torch.nn.functional.cosine_similarity(exact, rough).min() > 0.999
