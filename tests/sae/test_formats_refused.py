"""Files of other libraries that can't be used, or mean harm: the error names what is wrong, and nothing is run."""

from __future__ import annotations

import io
import json
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sae.checkpoint import load
from sae.errors import SaeError
from tests.sae.bomb import Bomb
from tests.sae.written import FIXTURES


def changed(tmp_path: Path, path: str, change: Callable[[dict[str, Any]], None]) -> Path:
    """A copy of a fixture with a changed configuration."""
    folder = tmp_path / "changed"
    shutil.copytree(FIXTURES / path, folder)
    config = folder / ("config.json" if path.startswith("dictionary_learning") else "cfg.json")
    known = json.loads(config.read_text())
    change(known)
    config.write_text(json.dumps(known))
    return folder


def refused(folder: Path, message: str) -> None:
    with pytest.raises(SaeError, match=message) as caught:
        load(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("topk", {"skip_connection": True}, "skip_connection = True"),
        ("topk", {"signed": True}, "signed = True: latents with negative activations"),
        ("groupmax", {}, "activation = 'groupmax' is not supported"),
        ("transcoder", {"transcode": False}, "skip_connection = True: a skip connection adds what no latent says"),
        ("transcoder", {"skip_connection": False}, r"not understood \(W_skip\)"),
        ("transcoder", {"transcode": False, "skip_connection": False}, r"not understood \(W_skip\)"),
        ("topk", {"num_latents": 0}, r"encoder.weight has shape \(48, 16\), not \(num_latents, d_in\) = \(512, 16\)"),
        ("topk", {"num_latents": -1}, "num_latents = -1"),
        ("old", {"expansion_factor": None}, "expansion_factor = None"),
        ("topk", {"k": 49}, "k = 49"),
        ("topk", {"d_in": None}, "d_in = None"),
    ],
)
def test_sparsify_files_that_are_something_else(
    name: str, change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    refused(changed(tmp_path, f"sparsify/{name}", lambda config: config.update(change)), message)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("AutoEncoder", {"dict_class": "IdentityDict"}, "dict_class = 'IdentityDict' can't be loaded: valid: AutoEnc"),
        ("AutoEncoder", {"dict_class": None}, "dict_class = 'None' can't be loaded"),
        (
            "AutoEncoder",
            {"dict_class": "GatedAutoEncoder"},
            r"no tensor decoder_bias of shape \(activation_dim\) = \(16",
        ),
        ("AutoEncoderTopK", {"dict_class": "AutoEncoder"}, r"no tensor bias of shape \(activation_dim\) = \(16,\)"),
        ("AutoEncoderTopK", {"k": 6}, "trainer.k = 6, but k = 5 in ae.pt"),
        ("AutoEncoderTopK", {"dict_size": None}, "dict_size = None"),
        ("JumpReluAutoEncoder", {"dict_size": 49}, r"W_enc has shape \(16, 48\), not \(activation_dim, dict_size\)"),
        ("BatchTopKSAE-unset", {}, "threshold = -1, which means that training has not set it"),
    ],
)
def test_dictionaries_that_are_something_else(name: str, change: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = f"dictionary_learning/{name}"
    refused(changed(tmp_path, path, lambda config: config["trainer"].update(change)), message)


def with_tensors(tmp_path: Path, name: str, change: Callable[[dict[Any, Any]], Any]) -> Path:
    """A copy of a dictionary_learning fixture in which `ae.pt` holds something else."""
    folder = tmp_path / "changed"
    shutil.copytree(FIXTURES / "dictionary_learning" / name, folder)
    found = torch.load(folder / "ae.pt", weights_only=True)
    torch.save(change(found), folder / "ae.pt")
    return folder


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda d: {k: v for k, v in d.items() if k != "b_dec"},
            r"no tensor b_dec of shape \(activation_dim\) = \(16,\)",
        ),
        (
            lambda d: {**d, "decoder.weight": d["decoder.weight"].t()},
            r"decoder.weight has shape \(48, 16\), not \(activation_dim, dict_size\) = \(16, 48\)",
        ),
        (lambda d: {**d, "threshold": torch.ones(48)}, r"threshold has shape \(48,\), not \(\)"),
        (lambda d: {**d, "W_skip": torch.ones(1)}, r"not understood \(W_skip\)"),
        (lambda d: {**d, "k": torch.tensor(float("nan"))}, "k = 5, but k = nan"),
        (lambda d: {**d, "k": torch.tensor(5.0)}, "topk with k = 5.0"),
        (lambda d: {**d, "k": 5}, "k is no plain tensor"),
        (lambda d: {**d, 3: d["b_dec"]}, "3 is no plain tensor"),
        (lambda d: {**d, "b_dec": d["b_dec"].to_sparse()}, "b_dec is no plain tensor"),
        (lambda d: list(d.values()), "holds a list, not a dictionary"),
    ],
)
def test_wrong_tensors_are_named(change: Callable[[dict[Any, Any]], Any], message: str, tmp_path: Path) -> None:
    refused(with_tensors(tmp_path, "AutoEncoderTopK", change), message)


def test_a_backup_of_a_training_is_told_apart(tmp_path: Path) -> None:
    def backup(state: dict[Any, Any]) -> dict[str, Any]:
        weight = torch.nn.Parameter(state["encoder.weight"])
        optimiser = torch.optim.Adam([weight]).state_dict()
        return {"step": 7, "ae": state, "optimizer": optimiser, "config": {"lr": 0.1}, "norm_factor": 12.5}

    refused(with_tensors(tmp_path, "BatchTopKSAE", backup), "backup of a training that was interrupted at step 7")


def _plain(payload: Any) -> bytes:
    return pickle.dumps(payload)


def _zipped(payload: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(payload, stream)
    return stream.getvalue()


def _legacy(payload: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(payload, stream, _use_new_zipfile_serialization=False)
    return stream.getvalue()


@pytest.mark.parametrize("form", [_plain, _zipped, _legacy])
@pytest.mark.parametrize("inside", [False, True])
def test_a_malicious_pickle_is_refused_and_runs_nothing(
    form: Callable[[Any], bytes], inside: bool, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    payload = form({"encoder.weight": Bomb(trace)} if inside else Bomb(trace))
    folder = tmp_path / "changed"
    shutil.copytree(FIXTURES / "dictionary_learning" / "AutoEncoder", folder)
    (folder / "ae.pt").write_bytes(payload)
    refused(folder, r"ae\.pt is damaged, or not a file of plain tensors \(UnpicklingError\): nothing in it was run")
    assert not trace.exists()
    # The payload is a live one: another reader would have run it.
    if form is _plain:
        pickle.loads(payload)
        assert trace.exists()


def test_a_program_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "changed"
    shutil.copytree(FIXTURES / "dictionary_learning" / "AutoEncoder", folder)
    with zipfile.ZipFile(folder / "ae.pt", "w") as archive:
        archive.writestr("ae/constants.pkl", pickle.dumps(()))
        archive.writestr("ae/code/__torch__.py", "raise SystemExit")
        archive.writestr("ae/data.pkl", pickle.dumps(()))
    refused(folder, r"ae\.pt is damaged, or not a file of plain tensors")


@pytest.mark.parametrize(
    ("path", "file"), [("dictionary_learning/AutoEncoder", "ae.pt"), ("sparsify/topk", "sae.safetensors")]
)
def test_cut_off_files_are_named(path: str, file: str, tmp_path: Path) -> None:
    folder = tmp_path / "changed"
    shutil.copytree(FIXTURES / path, folder)
    whole = (folder / file).read_bytes()
    for share in range(0, 100, 7):
        (folder / file).write_bytes(whole[: len(whole) * share // 100])
        refused(folder, f"{file} is (damaged|not a readable safetensors file)")


@pytest.mark.parametrize("path", ["dictionary_learning/BatchTopKSAE", "sparsify/topk"])
def test_configurations_that_are_none_are_named(path: str, tmp_path: Path) -> None:
    folder = changed(tmp_path, path, lambda config: config.clear())
    with pytest.raises(SaeError, match="= None|= 'None'"):
        load(folder)
    next(folder.glob("*.json")).write_text("[1]")
    refused(folder, "holds no JSON object")
    next(folder.glob("*.json")).unlink()
    refused(folder, "holds no checkpoint")
