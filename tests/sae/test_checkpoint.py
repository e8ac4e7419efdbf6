"""Checkpoints: SAELens' own files give SAELens' own numbers, ours come back whole, and bad ones are named."""

from __future__ import annotations

import json
import pickle
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError, RemoteEntryNotFoundError, RepositoryNotFoundError
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

import sae.formats.tensors
import sae.locations
from sae.checkpoint import load, read_metadata, save
from sae.errors import SaeError
from sae.streams.vectors import MemoryVectors
from sae.training.train import train
from tests.sae.bomb import Bomb
from tests.sae.planted import planted
from tests.sae.recipes import recipe_of

FIXTURES = Path(__file__).parent / "fixtures" / "saelens"
IN_USE = ["standard", "standard-plain-input", "gated", "jumprelu", "topk", "topk-rescaled", "old-topk"]
IN_TRAINING = [f"training-{name}" for name in ("batchtopk", "matryoshka", "topk", "jumprelu", "gated")]
NAMES = IN_USE + IN_TRAINING


@cache
def expected() -> dict[str, torch.Tensor]:
    """What SAELens computes: see fixtures/make.py."""
    return load_file(FIXTURES / "expected.safetensors")


@pytest.mark.parametrize("name", NAMES)
def test_saelens_files_give_saelens_numbers(name: str) -> None:
    sae = load(FIXTURES / name)
    x = expected()["x"]
    assert_close(sae.encode(x), expected()[f"{name}.activations"], rtol=1e-5, atol=1e-5)
    assert_close(sae.reconstruct(x), expected()[f"{name}.reconstruction"], rtol=1e-5, atol=1e-5)
    assert read_metadata(FIXTURES / name)["hook_name"] == "blocks.0.hook_resid_post"
    assert read_metadata(FIXTURES / name)["context_size"] == 64


@pytest.mark.parametrize("name", NAMES)
def test_saved_again_it_is_the_same(name: str, tmp_path: Path) -> None:
    before = load(FIXTURES / name)
    save(before, tmp_path / "again", read_metadata(FIXTURES / name))
    after = load(tmp_path / "again")
    assert type(after) is type(before)
    assert after.settings == before.settings
    assert after.apply_b_dec_to_input == before.apply_b_dec_to_input
    for key, tensor in before.tensors().items():
        assert torch.equal(tensor, after.tensors()[key])
    assert read_metadata(tmp_path / "again")["model_name"] == "tiny"


@pytest.mark.parametrize(
    ("architecture", "name", "names"),
    [
        ("batchtopk", "jumprelu", {"W_enc", "W_dec", "b_enc", "b_dec", "threshold"}),
        ("topk", "topk", {"W_enc", "W_dec", "b_enc", "b_dec"}),
    ],
)
def test_trained_ones_are_saved_for_raw_vectors(architecture: str, name: str, names: set[str], tmp_path: Path) -> None:
    vectors, _ = planted(2000, d_in=12, atoms=20, active=2, seed=0)
    recipe = recipe_of(architecture, width=24, k=2, batch=100, lr=1e-3)
    sae, _ = train(recipe, MemoryVectors(vectors), passes=2, seed=0)
    save(sae, tmp_path / "sae", {"hook_name": "layers.5.mlp.neurons"})
    config = json.loads((tmp_path / "sae" / "cfg.json").read_text())
    assert (config["architecture"], config["d_in"], config["d_sae"]) == (name, 12, 24)
    assert (config["normalize_activations"], config["apply_b_dec_to_input"]) == ("none", True)
    assert config["metadata"]["sae_lens_version"] >= "6"
    assert config["metadata"]["hook_name"] == "layers.5.mlp.neurons"
    stored = load_file(tmp_path / "sae" / "sae_weights.safetensors")
    assert set(stored) == names
    assert stored["W_enc"].shape == (12, 24)
    # What a reader of the file alone would compute:
    pre = (vectors - stored["b_dec"]) @ stored["W_enc"] + stored["b_enc"]
    if name == "topk":
        active = torch.zeros_like(pre).scatter(1, pre.topk(config["k"], dim=1).indices, 1.0)
    else:
        active = (pre > stored["threshold"]).float()
    again = load(tmp_path / "sae")
    assert_close(again.encode(vectors), pre.relu() * active)
    assert_close(again.encode(vectors), sae.encode(vectors))


def test_earlier_trainings_kept_the_logarithm_of_the_threshold(tmp_path: Path) -> None:
    folder = changed(tmp_path, "training-jumprelu")
    path = folder / "sae_weights.safetensors"
    tensors = load_file(path)
    tensors["log_threshold"] = tensors.pop("threshold").log()
    save_file(tensors, path)
    x = expected()["x"]
    assert_close(load(folder).encode(x), expected()["training-jumprelu.activations"], rtol=1e-5, atol=1e-5)


def test_factors_of_one_are_dropped_and_others_refused(tmp_path: Path) -> None:
    folder = changed(tmp_path, "old-topk")
    path = folder / "sae_weights.safetensors"
    tensors = load_file(path)
    save_file({**tensors, "scaling_factor": torch.ones(48)}, path)
    assert torch.equal(load(folder).encode(expected()["x"]), load(FIXTURES / "old-topk").encode(expected()["x"]))
    save_file({**tensors, "scaling_factor": torch.full((48,), 1.5)}, path)
    with pytest.raises(SaeError, match="scaling_factor differs from 1"):
        load(folder)


def test_saving_replaces_whole_folders_and_leaves_nothing_else(tmp_path: Path) -> None:
    save(load(FIXTURES / "jumprelu"), tmp_path / "sae", {})
    save(load(FIXTURES / "topk"), tmp_path / "sae", {})
    assert load(tmp_path / "sae").architecture == "topk"
    assert [path.name for path in tmp_path.iterdir()] == ["sae"]
    assert sorted(path.name for path in (tmp_path / "sae").iterdir()) == ["cfg.json", "sae_weights.safetensors"]


def test_an_interrupted_save_keeps_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(load(FIXTURES / "jumprelu"), tmp_path / "sae", {})

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sae.formats.tensors, "save_file", stop)
    with pytest.raises(KeyboardInterrupt):
        save(load(FIXTURES / "topk"), tmp_path / "sae", {})
    assert load(tmp_path / "sae").architecture == "jumprelu"
    assert [path.name for path in tmp_path.iterdir()] == ["sae"]


def changed(tmp_path: Path, name: str, **config: Any) -> Path:
    """A copy of a fixture with other values in its cfg.json."""
    folder = tmp_path / "changed"
    shutil.copytree(FIXTURES / name, folder)
    known = json.loads((folder / "cfg.json").read_text())
    (folder / "cfg.json").write_text(json.dumps({**known, **config}))
    return folder


@pytest.mark.parametrize(
    ("name", "config", "message"),
    [
        ("topk", {"d_in": 17}, r"W_enc has shape \(16, 48\), not \(d_in, d_sae\) = \(17, 48\)"),
        ("topk", {"architecture": "jumprelu"}, r"no tensor threshold of shape \(d_sae\) = \(48,\)"),
        (
            "topk",
            {"architecture": "crosscoder"},
            "can't be loaded: valid: gated, jumprelu, standard, topk",
        ),
        ("jumprelu", {"architecture": "standard"}, r"holds tensors that are not understood \(threshold\)"),
        ("training-batchtopk", {"architecture": "jumprelu"}, r"no tensor threshold of shape \(d_sae\) = \(48,\)"),
        ("jumprelu", {"architecture": "batchtopk"}, r"no tensor topk_threshold of shape \(\)"),
        ("topk", {"k": None}, "topk with k = None"),
        ("topk", {"k": 49}, "topk with k = 49"),
        ("standard", {"d_sae": "48"}, "d_sae = 48"),
        ("standard", {"normalize_activations": "expected_average_only_in"}, "its factor is not in the file"),
        ("standard", {"normalize_activations": True}, "its factor is not in the file"),
        ("standard", {"normalize_activations": "constant_scalar"}, "'constant_scalar' is not supported"),
    ],
)
def test_what_cannot_be_honoured_is_refused(tmp_path: Path, name: str, config: dict[str, Any], message: str) -> None:
    with pytest.raises(SaeError, match=message) as caught:
        load(changed(tmp_path, name, **config))
    assert "\n" not in str(caught.value)


def test_a_pickle_is_refused_and_runs_nothing(tmp_path: Path) -> None:
    folder, trace = changed(tmp_path, "topk"), tmp_path / "trace"
    (folder / "sae_weights.safetensors").write_bytes(pickle.dumps(Bomb(trace)))
    with pytest.raises(SaeError, match="is not a readable safetensors file"):
        load(folder)
    (folder / "sae_weights.safetensors").rename(folder / "sae_weights.pt")
    with pytest.raises(SaeError, match=r"holds no checkpoint \(it holds cfg\.json, sae_weights\.pt\)"):
        load(folder)
    assert not trace.exists()


def test_damaged_and_missing_files_are_named(tmp_path: Path) -> None:
    folder = changed(tmp_path, "topk")
    (folder / "cfg.json").write_text("{")
    with pytest.raises(SaeError, match=r"cfg\.json is not readable JSON"):
        load(folder)
    (folder / "cfg.json").write_text("[]")
    with pytest.raises(SaeError, match="no JSON object"):
        load(folder)
    with pytest.raises(SaeError, match="no folder"):
        load(tmp_path / "absent")


def test_an_unwritable_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SaeError, match="can't write"):
        save(load(FIXTURES / "topk"), tmp_path / "file" / "sae", {})


def test_other_precisions_become_single(tmp_path: Path) -> None:
    folder = changed(tmp_path, "standard")
    path = folder / "sae_weights.safetensors"
    save_file({name: tensor.bfloat16() for name, tensor in load_file(path).items()}, path)
    loaded = load(folder)
    assert {tensor.dtype for tensor in loaded.tensors().values()} == {torch.float32}


@pytest.mark.parametrize(
    ("where", "asked"),
    [
        ("owner/name", ("owner/name", "", None)),
        ("owner/name/layer_3/width_16k@v1", ("owner/name", "layer_3/width_16k/", "v1")),
        ("owner/name@v1", ("owner/name", "", "v1")),
    ],
)
def test_hub_ids_are_asked_of_the_hub(
    where: str, asked: tuple[str, str, str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = set()

    def answer(repository: str, path: str, *, revision: str | None) -> str:
        folder, _, name = path.rpartition("/")
        seen.add((repository, f"{folder}/" if folder else "", revision))
        return str(FIXTURES / "topk" / name)

    monkeypatch.setattr(sae.locations, "hf_hub_download", answer)
    assert load(where).architecture == "topk"
    assert seen == {asked}


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (LocalEntryNotFoundError("offline"), "can't be reached: check the network"),
        (RemoteEntryNotFoundError, "has no checkpoint there: name what holds cfg.json with"),
        (RepositoryNotFoundError, "refuses owner/name"),
    ],
)
def test_what_the_hub_refuses_is_one_line(error: Any, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if isinstance(error, type):
        error = error("404\nnot found", response=_response())

    def refuse(*_: object, **__: object) -> str:
        raise error

    monkeypatch.setattr(sae.locations, "hf_hub_download", refuse)
    with pytest.raises(SaeError, match=message) as caught:
        load("owner/name")
    assert "\n" not in str(caught.value)


def _response() -> Any:
    import httpx2

    return httpx2.Response(404, request=httpx2.Request("GET", "http://127.0.0.1"))
