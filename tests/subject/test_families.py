"""Hooked tensors of every family against a computation from the modules' weights, written out here."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import PreTrainedModel

from autointerp.models import LoadedModel
from autointerp.subject.forward import Subject
from tests.tiny import FAMILIES, LAYERS, NEURONS, START, VOCABULARY, WIDTH, tiny_model, tiny_tokenizer

Tensor = torch.Tensor
_TANH = partial(functional.gelu, approximate="tanh")

BLOCKS = {"gpt2": "transformer.h", "gpt_neox": "gpt_neox.layers", "opt": "model.decoder.layers"}
"""Where the blocks are; `model.layers` in every other family."""
FINAL_NORM = {
    "gpt2": "transformer.ln_f",
    "gpt_neox": "gpt_neox.final_layer_norm",
    "opt": "model.decoder.final_layer_norm",
    "phi": "model.final_layernorm",
}
"""What follows the last block; `model.norm` in every other family."""


def _weight(mlp: torch.nn.Module, name: str) -> Tensor:
    return mlp.get_parameter(f"{name}.weight")


def _gated(act: Callable[[Tensor], Tensor], mlp: torch.nn.Module, x: Tensor) -> Tensor:
    return act(x @ _weight(mlp, "gate_proj").T) * (x @ _weight(mlp, "up_proj").T)


def _fused(mlp: torch.nn.Module, x: Tensor) -> Tensor:
    both = x @ _weight(mlp, "gate_up_proj").T
    return functional.silu(both[..., :NEURONS]) * both[..., NEURONS:]


def _plain(act: Callable[[Tensor], Tensor], name: str, mlp: torch.nn.Module, x: Tensor) -> Tensor:
    return act(x @ _weight(mlp, name).T + mlp.get_parameter(f"{name}.bias"))


NEURONS_OF: dict[str, Callable[[torch.nn.Module, Tensor], Tensor]] = {
    "gpt2": lambda mlp, x: _TANH(x @ _weight(mlp, "c_fc") + mlp.get_parameter("c_fc.bias")),
    "gpt_neox": partial(_plain, functional.gelu, "dense_h_to_4h"),
    "llama": partial(_gated, functional.silu),
    "mistral": partial(_gated, functional.silu),
    "qwen2": partial(_gated, functional.silu),
    "qwen3": partial(_gated, functional.silu),
    "gemma": partial(_gated, _TANH),
    "gemma2": partial(_gated, _TANH),
    "gemma3": partial(_gated, _TANH),
    "phi": partial(_plain, _TANH, "fc1"),
    "phi3": _fused,
    "opt": partial(_plain, functional.relu, "fc1"),
}


def _out_of(family: str, mlp: torch.nn.Module, neurons: Tensor) -> Tensor:
    if family == "gpt2":
        return neurons @ _weight(mlp, "c_proj") + mlp.get_parameter("c_proj.bias")
    names = {"gpt_neox": "dense_4h_to_h", "phi": "fc2", "opt": "fc2"}
    down = getattr(mlp, names.get(family, "down_proj"))
    out: Tensor = neurons @ down.weight.T + (down.bias if down.bias is not None else 0)
    return out


def _record(model: PreTrainedModel, path: str, ids: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The first input of a module, and all hidden states, of a whole pass."""
    seen: list[Tensor] = []
    handle = model.get_submodule(path).register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    states = model(input_ids=ids, use_cache=False, output_hidden_states=True).hidden_states
    handle.remove()
    return seen[0], states


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("layer", [1, LAYERS - 1])
def test_the_three_short_names_against_the_weights(family: str, layer: int) -> None:
    model = tiny_model(family)
    tokens = np.random.default_rng(3).integers(2, VOCABULARY, size=(4, 7))
    names = [f"layers.{layer}.{what}" for what in ("resid", "mlp.neurons", "mlp.out")]
    subject = Subject(LoadedModel(model, tiny_tokenizer(), "tiny", torch.device("cpu")), names, START)
    resid, neurons, out = subject.activations(tokens).values()

    ids = torch.cat([torch.full((4, 1), START), torch.as_tensor(tokens)], dim=1)
    block = f"{BLOCKS.get(family, 'model.layers')}.{layer}"
    # OPT keeps its MLP's layers in the block itself.
    mlp_path, first = (block, f"{block}.fc1") if family == "opt" else (f"{block}.mlp", f"{block}.mlp")
    x, states = _record(model, first, ids)
    x = x.reshape(4, 8, WIDTH)
    mlp = model.get_submodule(mlp_path)
    expected = NEURONS_OF[family](mlp, x)

    assert subject.widths == dict(zip(names, (WIDTH, NEURONS, WIDTH), strict=True))
    torch.testing.assert_close(neurons, expected[:, 1:])
    torch.testing.assert_close(out, _out_of(family, mlp, expected)[:, 1:])
    if layer == LAYERS - 1:
        norm = model.get_submodule(FINAL_NORM.get(family, "model.norm"))
        torch.testing.assert_close(norm(resid), states[-1][:, 1:])
    else:
        torch.testing.assert_close(resid, states[layer + 1][:, 1:])
    assert neurons.std() > 0.01
    assert resid.std() > 0.1


def test_a_model_with_vision_is_read_at_its_text_part() -> None:
    from transformers import AutoModelForCausalLM, Gemma3Config, SiglipVisionConfig

    vision = SiglipVisionConfig(
        hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, image_size=28, patch_size=14
    )
    config = Gemma3Config(text_config=tiny_model("gemma3").config, vision_config=vision)
    model = AutoModelForCausalLM.from_config(config).eval()
    subject = Subject(
        LoadedModel(model, tiny_tokenizer(), "tiny", torch.device("cpu")), ["layers.1.mlp.neurons"], START
    )
    (neurons,) = subject.activations(np.array([[5, 6, 7]])).values()
    path = "model.language_model.layers.1.mlp"
    x, _ = _record(model, path, torch.tensor([[START, 5, 6, 7]]))
    torch.testing.assert_close(neurons, _gated(_TANH, model.get_submodule(path), x)[:, 1:].detach())
