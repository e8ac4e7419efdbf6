"""Every short name in every family: the parts of a block add up to what the block makes of its input.

None of these equations is of our own code: they are what the words mean. What TransformerLens calls these tensors, and
what it computes there on the same weights, is in `transformer_lens/` (make.py, in an environment of its own).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.testing import assert_close
from transformers.pytorch_utils import Conv1D

from autointerp.errors import BadInput
from autointerp.hook_names import PARTS, SHORT_NAMES, short_name
from autointerp.models import LoadedModel
from autointerp.subject.forward import Subject
from autointerp.subject.hooks import block_of, family_of, same_tensor
from tests.tiny import EVERY_FAMILY, HEADS, LAYERS, START, VOCABULARY, WIDTH, tiny_model, tiny_tokenizer

PARALLEL = {"gpt_neox", "phi", "gptj", "falcon"}
"""Families whose attention and MLP read the same vector."""
EXPERTS = {"mixtral", "qwen2_moe", "qwen3_moe", "olmoe", "gpt_oss"}
POST_NORMS = {"gemma2", "gemma3", "olmo2"}
"""Families with norms between attention or MLP and the residual stream."""
TOKENS = np.random.default_rng(5).integers(2, VOCABULARY, size=(3, 6))
LENS = Path(__file__).parent / "transformer_lens"


def opened(family: str, *hooks: str) -> Subject:
    return Subject(LoadedModel(tiny_model(family), tiny_tokenizer(), "tiny", torch.device("cpu")), hooks, START)


def parts_of(family: str, layer: int) -> dict[str, torch.Tensor]:
    """Every part that the family has, by its name."""
    lacking = {"resid_mid"} if family in PARALLEL else set()
    lacking |= {"mlp.neurons"} if family in EXPERTS else set()
    names = [part for part in PARTS if part not in lacking]
    found = opened(family, *(f"layers.{layer}.{part}" for part in names)).activations(TOKENS)
    for part in lacking:
        with pytest.raises(BadInput, match=rf"layers.{layer}.{part}': models of type .* have no {part}"):
            opened(family, f"layers.{layer}.{part}")
    return {part: found[f"layers.{layer}.{part}"] for part in names}


@pytest.mark.parametrize("family", EVERY_FAMILY)
def test_the_parts_of_a_block_add_up(family: str) -> None:
    layer = LAYERS - 1
    found = parts_of(family, layer)
    before = opened(family, f"layers.{layer - 1}.resid").activations(TOKENS)[f"layers.{layer - 1}.resid"]
    assert_close(found["resid_pre"], before)
    middle = found["resid_pre"] + found["attn.contribution"]
    if family not in PARALLEL:
        assert_close(found["resid_mid"], middle)
    assert_close(found["resid"], middle + found["mlp.contribution"])
    assert all(part.std() > 0.01 for part in found.values())
    for what in ("attn", "mlp"):
        same = torch.allclose(found[f"{what}.out"], found[f"{what}.contribution"])
        assert same == (family not in POST_NORMS)


@pytest.mark.parametrize("family", EVERY_FAMILY)
def test_what_the_parts_read_and_give(family: str) -> None:
    """The projections by their weights, the MLP by being called on what it is said to read."""
    layer = 1
    found = parts_of(family, layer)
    model = tiny_model(family)
    kind = family_of(model)
    assert kind is not None
    block = block_of(model, kind, str(layer))
    assert block is not None
    assert block.projection is not None
    modules = model.get_submodule(f"{kind.blocks}.{layer}")

    def linear(path: str, x: torch.Tensor) -> torch.Tensor:
        module = modules.get_submodule(path)
        weight = module.get_parameter("weight")
        bias = dict(module.named_parameters()).get("bias", torch.zeros(()))
        return x @ (weight if isinstance(module, Conv1D) else weight.T) + bias

    assert found["attn.z"].shape[2] == WIDTH or family in ("gpt_oss", "gemma", "gemma2", "gemma3", "qwen3", "qwen3_moe")
    assert found["attn.z"].shape[2] % HEADS == 0
    assert_close(found["attn.out"], linear(block.projection, found["attn.z"]))
    if kind.down is not None:
        assert_close(found["mlp.out"], linear(kind.down, found["mlp.neurons"]))
    if family in ("bloom", "mpt"):  # whose MLP is given the residual stream too, and adds it
        mlp = modules.get_submodule(kind.reads or kind.mlp)
        assert_close(mlp(found["mlp.in"], torch.zeros(())), found["mlp.out"])
    elif family != "opt":  # which has no MLP module
        made = modules.get_submodule(kind.reads or kind.mlp)(found["mlp.in"])
        assert_close(made[0] if isinstance(made, tuple) else made, found["mlp.out"])


def test_other_tools_names_mean_our_own() -> None:
    names = {
        "blocks.3.hook_resid_pre": "layers.3.resid_pre",
        "blocks.3.hook_resid_mid": "layers.3.resid_mid",
        "blocks.3.hook_resid_post": "layers.3.resid",
        "blocks.3.attn.hook_z": "layers.3.attn.z",
        "blocks.3.hook_attn_out": "layers.3.attn.contribution",
        "blocks.3.hook_mlp_out": "layers.3.mlp.contribution",
        "blocks.3.mlp.hook_post": "layers.3.mlp.neurons",
        "layers.3.resid_post": "layers.3.resid",
        "resid_post_layer_3": "layers.3.resid",
    }
    assert {name: short_name(name) for name in names} == names
    for unknown in ("blocks.3.ln2.hook_normalized", "blocks.3.hook_mlp_in", "hook_embed", "model.layers.3:out"):
        assert short_name(unknown) == unknown
    assert len(SHORT_NAMES) == len(PARTS) == 10


def test_two_names_of_one_tensor() -> None:
    model = tiny_model()
    for one, other in (
        ("layers.2.resid_pre", "layers.1.resid"),
        ("blocks.2.hook_resid_pre", "model.layers.1:out"),
        ("layers.1.mlp.out", "layers.1.mlp.contribution"),
        ("model.layers.1.mlp.down_proj:in", "blocks.1.mlp.hook_post"),
    ):
        assert same_tensor(model, one, other)
    assert not same_tensor(model, "layers.1.resid_pre", "layers.1.resid")
    assert not same_tensor(tiny_model("gemma2"), "layers.1.mlp.out", "blocks.1.hook_mlp_out")
    assert not same_tensor(model, "layers.0.resid_pre", "layers.0.resid")


@pytest.mark.parametrize("file", sorted(LENS.glob("*.safetensors")), ids=lambda file: file.stem)
def test_transformer_lens_computes_the_same_at_its_names(file: Path) -> None:
    stored = load_file(file)
    model = tiny_model(file.stem)
    model.load_state_dict(
        {name.removeprefix("weights."): t for name, t in stored.items() if name.startswith("weights.")}
    )
    names = [name for name in stored if name.startswith("blocks.")]
    loaded = LoadedModel(model, tiny_tokenizer(), "tiny", torch.device("cpu"))
    found = Subject(loaded, names, None).activations(stored["tokens"].numpy())
    for name in names:
        assert_close(found[name], stored[name], rtol=1e-4, atol=1e-5, msg=name)
    # A model with centred weights has this one's streams, less their mean over the dimensions.
    centred = [name for name in stored if name.startswith("centred.")]
    assert bool(centred) == (file.stem == "gpt2")
    for name in centred:
        ours = found[name.removeprefix("centred.")]
        assert_close(ours - ours.mean(dim=-1, keepdim=True), stored[name], rtol=1e-4, atol=1e-5)
        assert float(ours.mean(dim=-1).abs().max()) > 0.01
