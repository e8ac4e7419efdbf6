"""Published SAEs by the names of SAELens' registry: what SAELens itself makes of such files, we do too.

The fixtures are files that SAELens' own loaders read (fixtures/make_published.py); the hub's download is replaced by
their folder.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

from sae.checkpoint import load, read_metadata, save
from sae.errors import SaeError
from sae.published.registry import every_published, published, published_like, registry_version
from tests.sae.written import FIXTURES, PUBLISHED, put_in_place_of_the_hub


@dataclass(frozen=True)
class Case:
    name: str
    model: str
    hook: str
    transcodes: bool = False


CASES = [
    Case(
        "gemma-scope-2b-pt-res-canonical/layer_20/width_16k/canonical",
        "google/gemma-2-2b", "blocks.20.hook_resid_post",
    ),
    Case("gemma-scope-2b-pt-res/embedding/width_4k/average_l0_6", "google/gemma-2-2b", "layers.0.resid_pre"),
    Case("gemma-scope-2b-pt-transcoders/layer_0/width_16k/average_l0_76", "google/gemma-2-2b", "", True),
    Case("gemma-scope-2-270m-pt-res/layer_5_width_16k_l0_medium", "google/gemma-3-270m", "blocks.5.hook_resid_post"),
    Case(
        "gemma-scope-2-4b-pt-transcoders-all/layer_9_width_262k_l0_small_affine",
        "google/gemma-3-4b-pt", "layers.9.mlp.in", True,
    ),
    Case("llama_scope_lxr_8x/l9r_8x", "meta-llama/Llama-3.1-8B", "blocks.9.hook_resid_post"),
    Case(
        "llama_scope_r1_distill/l3r_800m_slimpajama",
        "deepseek-ai/DeepSeek-R1-Distill-Llama-8B", "blocks.3.hook_resid_post",
    ),
    Case("qwen-scope-3-1.7b-base-w32k-l50/layer3", "Qwen/Qwen3-1.7B-Base", "blocks.3.hook_resid_post"),
    Case(
        "sae_bench_gemma-2-2b_topk_width-2pow12_date-1109/blocks.12.hook_resid_post__trainer_0",
        "google/gemma-2-2b", "resid_post_layer_12",
    ),
    Case("gpt2-small-res-jb/blocks.8.hook_resid_pre", "gpt2-small", "blocks.8.hook_resid_pre"),
    Case("gpt2-small-mlp-tm/blocks.4.hook_mlp_out", "gpt2-small", "blocks.4.hook_mlp_out"),
    Case("gpt2-small-resid-mid-v5-32k/blocks.6.hook_resid_mid", "gpt2-small", "blocks.6.hook_resid_mid"),
    Case("mistral-7b-res-wg/blocks.8.hook_resid_pre", "mistral-7b", "blocks.8.hook_resid_pre"),
    Case("mwhanna-qwen3-4b-transcoders/layer_0", "Qwen/Qwen3-4B", "layers.0.mlp.in", True),
    Case("mntss-gemma-2-2b-2.5m-clt-as-per-layer/layer_3", "google/gemma-2-2b", "blocks.3.hook_resid_mid", True),
]  # fmt: skip


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> None:
    put_in_place_of_the_hub(PUBLISHED, monkeypatch)


@pytest.mark.parametrize(("number", "case"), list(enumerate(CASES)), ids=[case.name for case in CASES])
@pytest.mark.usefixtures("hub")
def test_a_published_sae_encodes_as_the_fields_own_loader_does(number: int, case: Case, tmp_path: Path) -> None:
    expected = load_file(PUBLISHED / "expected.safetensors")
    x, activations, made = expected["x"], expected[f"{number}.activations"], expected[f"{number}.made"]
    found = load(f"saelens:{case.name}")
    chosen = torch.tensor([40, 3, 3, 17])
    assert_close(found.encode(x), activations, rtol=1e-5, atol=1e-5)
    assert_close(found.encode_sparse(x).dense(), activations, rtol=1e-5, atol=1e-5)
    assert_close(found.encode_latents(x, chosen), activations[:, chosen], rtol=1e-5, atol=1e-5)
    assert_close(found.reconstruct(x), made, rtol=1e-5, atol=2e-5)
    assert found.transcodes == case.transcodes
    said = read_metadata(f"saelens:{case.name}")
    assert (said["model_name"], said.get("hook_name", "")) == (case.model, case.hook)
    # A run keeps it in our own layout, and reads it from there.
    save(found, tmp_path / "kept", said)
    kept = load(tmp_path / "kept")
    assert_close(kept.encode(x), activations, rtol=1e-5, atol=1e-5)
    assert_close(kept.reconstruct(x), made, rtol=1e-5, atol=2e-5)
    assert kept.transcodes == case.transcodes
    assert read_metadata(tmp_path / "kept")["model_name"] == case.model


@pytest.mark.usefixtures("hub")
def test_the_place_on_the_hub_is_read_as_the_name_is() -> None:
    """What the registry alone knows (a factor, a normalisation, centred weights) belongs to the place too."""
    x = load_file(PUBLISHED / "expected.safetensors")["x"]
    for number, case in enumerate(CASES):
        known = published(f"saelens:{case.name}")
        by_place = load(f"{known.repo}/{known.path}").encode(x)
        assert_close(by_place, load(f"saelens:{case.name}").encode(x), msg=str(number))


def test_a_local_copy_lacks_what_the_registry_alone_knows(tmp_path: Path) -> None:
    for release, refused in (
        ("llama_scope_r1_distill/l3r_800m_slimpajama", "needs the factor of its vectors, which no file of it tells"),
        ("gpt2-small-mlp-tm/blocks.4.hook_mlp_out", "and its factor is not in the file"),
    ):
        known = published(f"saelens:{release}")
        copy = tmp_path / known.release
        shutil.copytree(PUBLISHED / known.repo / known.path.replace(":", "_"), copy)
        with pytest.raises(SaeError, match=refused) as error:
            load(copy)
        assert "saelens:RELEASE/ID" in error.value.remedy


def test_the_registry_is_whole_and_most_of_it_can_be_loaded() -> None:
    """10,003 of the 10,021 autoencoders, and every transcoder, by layout (13,857 in all)."""
    kinds = Counter((known.transcodes, known.layout is not None) for known in every_published())
    assert registry_version() == "6.54.12"
    assert kinds == {(False, True): 10_003, (False, False): 18, (True, True): 3_836}
    without_hook = Counter(known.conversion for known in every_published() if known.layout and known.hook is None)
    assert without_hook == {"gemma_2_transcoder": 26, "mntss_clt_layer_transcoder": 26}
    assert len(published_like("gemma-scope-2b-pt-res-canonical")) > 20
    assert {known.layout for known in published_like("qwen*layer3")} == {"qwen_scope"}
    assert published_like("no such thing") == []


def test_names_that_are_not_there_say_what_is_near() -> None:
    with pytest.raises(
        SaeError, match="release 'gpt2-small-res-jp' is not in SAELens' registry: did you mean 'gpt2-sma"
    ):
        load("saelens:gpt2-small-res-jp/blocks.8.hook_resid_pre")
    with pytest.raises(SaeError, match=r"has no SAE 'blocks.99.hook_resid_pre': did you mean 'blocks"):
        load("saelens:gpt2-small-res-jb/blocks.99.hook_resid_pre")
    with pytest.raises(SaeError, match=r"its layout \(goodfire\) can't be loaded"):
        load("saelens:goodfire-llama-3.1-8b-instruct/layer_19")


def copied(tmp_path: Path, path: str) -> Path:
    folder = tmp_path / path
    shutil.copytree(PUBLISHED / path, folder)
    return folder


def test_files_that_are_something_else_are_refused_in_a_line(tmp_path: Path) -> None:
    scope = copied(tmp_path, "google/gemma-scope-2b-pt-res/layer_20/width_16k/average_l0_71")
    arrays = dict(np.load(scope / "params.npz"))
    refusals: list[tuple[Callable[[], Any], str]] = [
        (lambda: np.savez(scope / "params.npz", **{**arrays, "scale": np.ones(1)}), r"not understood \(scale\)"),
        (lambda: np.savez(scope / "params.npz", **{**arrays, "b_enc": np.array([None])}), "not a file of plain arrays"),
        (lambda: np.savez(scope / "params.npz", **{**arrays, "W_enc": np.ones(3)}), r"shape \(3,\) for W_enc"),
        (lambda: np.savez(scope / "params.npz", W_dec=arrays["W_dec"]), "no tensor W_enc"),
        (
            lambda: np.savez(scope / "params.npz", **{**arrays, "b_dec": arrays["b_dec"] * np.nan}),
            "b_dec has 16 values",
        ),
        (lambda: (scope / "params.npz").write_bytes(b"PK\x03\x04 cut"), "not a file of plain arrays"),
    ]
    for spoil, message in refusals:
        spoil()
        with pytest.raises(SaeError, match=message) as error:
            load(scope)
        assert "\n" not in str(error.value)
    # A threshold of infinity is a latent that is never active.
    np.savez(scope / "params.npz", **{**arrays, "threshold": np.full(64, np.inf)})
    assert not load(scope).encode(torch.randn(4, 16)).any()


def test_a_number_of_active_latents_that_only_a_name_tells_is_not_guessed(tmp_path: Path) -> None:
    file = tmp_path / "mine" / "layer3.sae.pt"
    file.parent.mkdir()
    shutil.copy(PUBLISHED / "Qwen/SAE-Res-Qwen3-1.7B-Base-W32K-L0_50/layer3.sae.pt", file)
    with pytest.raises(SaeError, match="how many latents are active stands in the repository's name"):
        load(file)
    named = tmp_path / "SAE-Res-Qwen3-1.7B-Base-W32K-L0_50"
    file.parent.rename(named)
    assert load(named / "layer3.sae.pt").width == 64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"activation_fn_str": "tanh-relu"}, "activation_fn_str = 'tanh-relu' is not supported"),
        ({"activation_fn": "gelu"}, "activation_fn = 'gelu' is not supported"),
        ({"normalize_activations": "covariance_whitening"}, "normalize_activations = 'covariance_whitening' is not"),
        ({"hook_point_head_index": 3}, "hook_point_head_index = 3: the vectors of one head"),
        ({"model_from_pretrained_kwargs": {"fold_value_biases": True}}, "loaded with fold_value_biases = true"),
        (
            {
                "model_from_pretrained_kwargs": {"center_writing_weights": True},
                "normalize_activations": "constant_norm_rescale",
            },
            "constant_norm_rescale with center_writing_weights",
        ),
        ({"architecture": "temporal"}, "architecture 'temporal' can't be loaded"),
    ],
)
def test_what_we_do_not_compute_is_refused(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    folder = copied(tmp_path, "jbloom/GPT2-Small-SAEs-Reformatted/blocks.8.hook_resid_pre")
    config = json.loads((folder / "cfg.json").read_text())
    (folder / "cfg.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(SaeError, match=message):
        load(folder)


def test_the_decoder_of_compiled_kernels_is_read(tmp_path: Path) -> None:
    """One tensor [latent, d_in] in place of a linear layer's transposed one, in dictionary_learning's first months."""
    folder = copied(tmp_path, next(str(p.parent.relative_to(PUBLISHED)) for p in PUBLISHED.rglob("ae.pt")))
    x = torch.randn(8, 16)
    before = load(folder).reconstruct(x)
    state = torch.load(folder / "ae.pt", weights_only=True)
    state["decoder"] = state.pop("decoder.weight").t().contiguous()
    torch.save(state, folder / "ae.pt")
    assert_close(load(folder).reconstruct(x), before)


def test_a_run_of_sparsify_is_told_by_its_hookpoints(tmp_path: Path) -> None:
    run = tmp_path / "run"
    for hookpoint in ("layers.3.mlp", "layers.3"):
        shutil.copytree(FIXTURES / "sparsify" / "topk", run / hookpoint)
    (run / "config.json").write_text(
        json.dumps({"model": "HuggingFaceTB/SmolLM2-135M", "ctx_len": 2048, "dataset": "x"})
    )
    with pytest.raises(SaeError, match=r"holds several checkpoints: layers.3, layers.3.mlp: name one of them"):
        load(run)
    known = {"model_name": "HuggingFaceTB/SmolLM2-135M", "context_size": 2048, "dataset_path": "x"}
    assert read_metadata(run / "layers.3.mlp") == {**known, "hook_name": "layers.3.mlp.out"}
    assert read_metadata(run / "layers.3") == {**known, "hook_name": "layers.3.resid"}
    assert load(run / "layers.3.mlp").width == 48


def test_a_two_dimensional_skip_of_another_shape_is_named(tmp_path: Path) -> None:
    folder = copied(tmp_path, "google/gemma-scope-2-4b-pt/transcoder_all/layer_9_width_262k_l0_small_affine")
    tensors = load_file(folder / "params.safetensors")
    save_file({**tensors, "affine_skip_connection": torch.ones(16, 3)}, folder / "params.safetensors")
    with pytest.raises(SaeError, match=r"W_skip has shape \(16, 3\), not \(d_in, d_out\)"):
        load(folder)
