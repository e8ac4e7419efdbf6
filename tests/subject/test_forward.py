"""One pass for all hooks, stopped early; nothing left on the model; honest errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from autointerp import study_inputs
from autointerp.errors import BadInput
from autointerp.models import LoadedModel
from autointerp.subject.forward import NotFinite, Subject, open_subject
from tests.tiny import END, NEURONS, POSITIONS, START, VOCABULARY, WIDTH, tiny_folder, tiny_model, tiny_tokenizer

TOKENS = np.random.default_rng(0).integers(2, VOCABULARY, size=(3, 5))


def _subject(model: PreTrainedModel, *hooks: str, start: int | None = START) -> Subject:
    return Subject(LoadedModel(model, tiny_tokenizer(), "tiny", torch.device("cpu")), hooks, start)


def _hooks_on(model: PreTrainedModel) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def _count_runs(model: PreTrainedModel, paths: list[str]) -> dict[str, int]:
    runs = dict.fromkeys(paths, 0)

    def counter(path: str) -> None:
        def count(*_: object) -> None:
            runs[path] += 1

        model.get_submodule(path).register_forward_hook(count)

    for path in paths:
        counter(path)
    return runs


@pytest.mark.parametrize("order", [1, -1])
def test_later_layers_are_not_run_whatever_the_order_of_the_hooks(order: int) -> None:
    model = tiny_model()
    subject = _subject(model, *["layers.0.resid", "layers.1.mlp.neurons"][::order])
    runs = _count_runs(
        model,
        ["model.layers.0", "model.layers.1.mlp.up_proj", "model.layers.1.mlp.down_proj", "model.layers.2", "lm_head"],
    )
    subject.activations(TOKENS)
    assert list(runs.values()) == [1, 1, 0, 0, 0]


def test_hooks_in_one_pass_equal_hooks_one_by_one() -> None:
    model = tiny_model("gpt2")
    names = ["layers.2.mlp.out", "layers.0.mlp.neurons", "transformer.h.1.attn:out", "transformer.h.1.attn:in"]
    together = _subject(model, *names).activations(TOKENS)
    assert list(together) == names
    for name in names:
        torch.testing.assert_close(together[name], _subject(model, name).activations(TOKENS)[name], rtol=0, atol=0)


def test_a_module_path_with_keyword_inputs_and_tuple_outputs() -> None:
    model = tiny_model()
    seen: list[torch.Tensor] = []
    attention = model.get_submodule("model.layers.1.self_attn")
    attention.register_forward_hook(
        lambda _, args, kwargs, output: seen.extend([kwargs["hidden_states"], output[0]]), with_kwargs=True
    )
    found = _subject(model, "model.layers.1.self_attn:in", "model.layers.1.self_attn:out").activations(TOKENS)
    ids = torch.cat([torch.full((3, 1), START), torch.as_tensor(TOKENS)], dim=1)
    seen.clear()
    model(input_ids=ids, use_cache=False)
    torch.testing.assert_close(found["model.layers.1.self_attn:in"], seen[0][:, 1:])
    torch.testing.assert_close(found["model.layers.1.self_attn:out"], seen[1][:, 1:])


def test_the_start_token_changes_what_is_read_and_its_position_is_dropped() -> None:
    model = tiny_model()
    name = "layers.1.resid"
    with_start = _subject(model, name).activations(TOKENS)[name]
    without = _subject(model, name, start=None).activations(TOKENS)[name]
    by_hand = np.concatenate([np.full((3, 1), START), TOKENS], axis=1)
    assert with_start.shape == without.shape == (3, 5, WIDTH)
    assert not torch.allclose(with_start, without)
    torch.testing.assert_close(_subject(model, name, start=None).activations(by_hand)[name][:, 1:], with_start)


def test_the_model_is_as_it_was_afterwards() -> None:
    model = tiny_model()
    ids = torch.as_tensor(TOKENS)
    before, hooks = model(ids, output_hidden_states=True), _hooks_on(model)
    subject = _subject(model, "layers.0.mlp.neurons", "layers.1.resid")
    subject.activations(TOKENS)
    after = model(ids, output_hidden_states=True)
    assert _hooks_on(model) == hooks
    assert len(after.hidden_states) == len(before.hidden_states)
    torch.testing.assert_close(after.logits, before.logits, rtol=0, atol=0)


def test_an_error_in_the_pass_is_not_swallowed_and_leaves_no_hook() -> None:
    model = tiny_model()
    subject, hooks = _subject(model, "layers.1.resid"), _hooks_on(model)
    with pytest.raises(IndexError):
        subject.activations(TOKENS - VOCABULARY)
    assert _hooks_on(model) == hooks


def test_activations_are_copies_that_a_trainer_can_use() -> None:
    model = tiny_model()
    subject = _subject(model, "model.layers.1:out", "layers.1.resid")
    first, second = subject.activations(TOKENS).values()
    weight = torch.ones(WIDTH, requires_grad=True)
    (first * weight).sum().backward()
    torch.testing.assert_close(weight.grad, first.sum((0, 1)))
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    first.zero_()
    assert second.abs().sum() > 0


def test_what_is_no_number_is_named_with_its_hook_context_and_precision() -> None:
    model = tiny_model()
    with torch.no_grad():
        model.get_input_embeddings().weight[int(TOKENS[1, 1])] = float("inf")  # type: ignore[operator]
    clean = np.where(TOKENS[1, 1] == TOKENS, TOKENS[0, 0], TOKENS)
    assert TOKENS[0, 0] != TOKENS[1, 1]
    batch = np.concatenate([clean, TOKENS[1:2]])
    hooks = _subject(model, "layers.0.mlp.neurons", "layers.1.mlp.neurons")
    with pytest.raises(NotFinite, match=rf"hook 'layers\.0\.mlp\.neurons' .* context {len(clean)} .*dtype = 'float32'"):
        hooks.activations(batch)
    hooks.activations(clean)


def test_a_token_that_the_model_has_no_embedding_of_is_one_line() -> None:
    tokens = TOKENS.copy()
    tokens[1, 2] = VOCABULARY
    with pytest.raises(BadInput, match=f"gives id {VOCABULARY}, the model has embeddings of {VOCABULARY} tokens alone"):
        _subject(tiny_model(), "layers.1.mlp.neurons").activations(tokens)


def test_half_precision_models_give_float32() -> None:
    model = tiny_model().bfloat16()
    (found,) = _subject(model, "layers.1.mlp.neurons").activations(TOKENS).values()
    (exact,) = _subject(tiny_model(), "layers.1.mlp.neurons").activations(TOKENS).values()
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, exact, rtol=0.1, atol=0.1)


@pytest.mark.parametrize(
    ("hook", "told"),
    [
        (
            "layers.1.mlp.neuron",
            r"unknown: did you mean 'layers\.N\.mlp\.neurons'\?.*layers\.N\.resid.*':in' or ':out'",
        ),
        ("blocks/4", r"unknown: valid: layers\.N\.attn\.contribution, layers\.N\.attn\.out, .*layers\.N\.resid_pre"),
        ("layers.3.resid", "out of range: the layers of this model are 0 to 2"),
        ("model.layers.1.mlp.down_prj:in", "no module 'down_prj': did you mean 'down_proj'"),
        ("model.layers.7:out", "'model.layers' has no module '7': valid: 0 to 2"),
        ("transformer.h.0:out", "the model has no module 'transformer': valid: lm_head, model"),
        ("model.norm.scale:out", "'model.norm' has no parts"),
        ("model.norm:output", "side 'output': end a module path with ':in' or ':out'"),
        (":out", "names no module"),
        ("model.layers:out", "runs 'model.layers' 0 times"),
        ("model.embed_tokens:in", r"is int64 of shape \(2, 4\) for 2 contexts of 4 tokens"),
        ("model.rotary_emb:out", r"is float32 of shape \(1, 4, 8\)"),
        ("model:out", "the output of 'model' is no tensor"),
    ],
)
def test_bad_hooks(hook: str, told: str) -> None:
    model = tiny_model()
    hooks = _hooks_on(model)
    with pytest.raises(BadInput, match=told) as caught:
        _subject(model, "layers.0.resid", hook)
    assert "\n" not in str(caught.value)
    assert _hooks_on(model) == hooks


def test_no_hooks() -> None:
    with pytest.raises(BadInput, match="no hooks"):
        _subject(tiny_model())


def test_a_module_that_runs_twice_is_refused() -> None:
    model = tiny_model()
    model.model.layers[1].mlp = model.model.layers[0].mlp
    with pytest.raises(BadInput, match=r"runs 'model\.layers\.0\.mlp' 2 times"):
        _subject(model, "model.layers.0.mlp:out")


def test_an_unknown_family_asks_for_a_module_path() -> None:
    from transformers import AutoModelForCausalLM, XGLMConfig

    config = XGLMConfig(vocab_size=VOCABULARY, d_model=8, ffn_dim=8, num_layers=1, attention_heads=1)
    model = AutoModelForCausalLM.from_config(config)
    told = r"type 'xglm' have no short names: .* for example 'model\.layers\.0:out'"
    with pytest.raises(BadInput, match=told):
        _subject(model.eval(), "layers.0.resid")
    assert _subject(model.eval(), "model.layers.0:out").widths == {"model.layers.0:out": 8}


def test_contexts_longer_than_the_model() -> None:
    subject = _subject(tiny_model("gpt2"), "layers.0.resid")
    subject.activations(np.full((1, POSITIONS - 1), 5))
    with pytest.raises(BadInput, match=f"{POSITIONS} tokens are too long .* corpus.context to {POSITIONS - 1} or less"):
        subject.activations(np.full((1, POSITIONS), 5))


@pytest.mark.parametrize(("removed", "start"), [([], START), (["bos_token"], END), (["bos_token", "eos_token"], None)])
def test_a_study_opens_its_subject(tmp_path: Path, removed: list[str], start: int | None) -> None:
    folder = tiny_folder(tmp_path)
    tokenizer = tiny_tokenizer()
    for name in removed:
        setattr(tokenizer, name, None)
    tokenizer.save_pretrained(folder)
    subject = open_subject(study_inputs.Subject(model=str(folder), hooks=("layers.1.mlp.neurons",), device="cpu"))
    assert subject.start_token == start
    assert subject.widths == {"layers.1.mlp.neurons": NEURONS}
    assert subject.tokenizer("words of the list")["input_ids"] == tiny_tokenizer()("words of the list")["input_ids"]
    torch.testing.assert_close(
        subject.activations(TOKENS)["layers.1.mlp.neurons"],
        _subject(tiny_model(), "layers.1.mlp.neurons", start=start).activations(TOKENS)["layers.1.mlp.neurons"],
    )
