"""Other libraries' checkpoints: theirs give their numbers, and ours are what they were seen to read.

The fixtures are written by the libraries themselves (fixtures/make.py).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

import sae.locations
from sae.architectures.gated import GatedSae
from sae.architectures.jumprelu import JumpReluSae
from sae.architectures.standard import StandardSae
from sae.architectures.topk import TopKSae
from sae.base import SparseAutoencoder
from sae.checkpoint import convert, load, read_metadata, save
from sae.errors import SaeError
from sae.formats.equivalent import with_centring
from tests.sae.written import FIXTURES, METADATA, RECORD, SOURCES, source, write

READ: Mapping[str, type[SparseAutoencoder]] = {
    "dictionary_learning/AutoEncoder": StandardSae,
    "dictionary_learning/AutoEncoder-long-rows": StandardSae,
    "dictionary_learning/AutoEncoderNew": StandardSae,
    "dictionary_learning/GatedAutoEncoder": GatedSae,
    "dictionary_learning/JumpReluAutoEncoder": JumpReluSae,
    "dictionary_learning/AutoEncoderTopK": TopKSae,
    "dictionary_learning/BatchTopKSAE": JumpReluSae,
    "dictionary_learning/MatryoshkaBatchTopKSAE": JumpReluSae,
    "sparsify/topk": TopKSae,
    "sparsify/by-factor": TopKSae,
    "sparsify/old": TopKSae,
    "sparsify/transcoder": TopKSae,
}
CASES = [(layout, name) for layout, names in SOURCES.items() for name in names]


def expected(path: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The vectors, and what the library itself makes of them: activations and reconstructions."""
    library, name = path.split("/")
    stored = load_file(FIXTURES / library / "expected.safetensors")
    return stored["x"], stored[f"{name}.activations"], stored[f"{name}.reconstruction"]


@pytest.mark.parametrize("path", READ)
def test_their_files_give_their_numbers(path: str) -> None:
    x, activations, reconstruction = expected(path)
    found = load(FIXTURES / path)
    assert isinstance(found, READ[path])
    assert float((activations > 0).float().mean()) > 0.05
    chosen = torch.tensor([40, 3, 3, 17])
    assert_close(found.encode(x), activations, rtol=1e-5, atol=1e-5)
    assert_close(found.encode_sparse(x).dense(), activations, rtol=1e-5, atol=1e-5)
    assert_close(found.encode_latents(x, chosen), activations[:, chosen], rtol=1e-5, atol=1e-5)
    assert_close(found.reconstruct(x), reconstruction, rtol=1e-5, atol=1e-5)


def test_what_they_say_of_the_training_is_kept() -> None:
    said = read_metadata(FIXTURES / "dictionary_learning" / "BatchTopKSAE")
    assert said == {"model_name": "tiny", "hook_name": "resid_post_layer_0", "context_size": 64}
    assert read_metadata(FIXTURES / "dictionary_learning" / "AutoEncoderNew") == {"model_name": "tiny"}
    assert read_metadata(FIXTURES / "sparsify" / "topk") == {}


@pytest.mark.parametrize(("layout", "name"), CASES)
def test_what_we_write_is_what_the_libraries_were_seen_to_read(layout: str, name: str, tmp_path: Path) -> None:
    write(layout, tmp_path)
    files = sorted(path.name for path in (RECORD / layout / name).iterdir())
    assert sorted(path.name for path in (tmp_path / name).iterdir()) == files
    for file in files:
        ours, recorded = tmp_path / name / file, RECORD / layout / name / file
        if file.endswith(".json"):
            assert ours.read_bytes() == recorded.read_bytes()
            continue
        read: Callable[[Path], dict[str, torch.Tensor]] = load_file if file.endswith("safetensors") else torch.load
        assert list(read(ours)) == list(read(recorded))
        for key, tensor in read(recorded).items():
            # Exact but for the last digit of a bias that takes in another, a sum whose order depends on the machine.
            assert_close(read(ours)[key], tensor, rtol=2e-7, atol=1e-7)


@pytest.mark.parametrize(("layout", "name"), CASES)
def test_written_and_read_again_it_computes_the_same(layout: str, name: str, tmp_path: Path) -> None:
    before = source(layout, name)
    x = 3 * torch.randn(50, 16, generator=torch.Generator().manual_seed(2))
    save(before, tmp_path / "again", METADATA, layout)
    after = load(tmp_path / "again")
    assert_close(after.encode(x), before.encode(x), rtol=1e-5, atol=1e-5)
    assert_close(after.reconstruct(x), before.reconstruct(x), rtol=1e-5, atol=1e-5)
    if layout != "sparsify":
        assert {key: value for key, value in read_metadata(tmp_path / "again").items() if key in METADATA} == METADATA


@pytest.mark.parametrize("path", ["saelens/standard", "saelens/gated", "saelens/jumprelu", "saelens/topk"])
@pytest.mark.parametrize("subtract", [True, False])
def test_another_centring_computes_the_same(path: str, subtract: bool) -> None:
    before = replace(load(FIXTURES / path), apply_b_dec_to_input=not subtract)
    after = with_centring(before, subtract)
    x = 3 * torch.randn(50, 16, generator=torch.Generator().manual_seed(3))
    assert after.apply_b_dec_to_input == subtract
    assert float((replace(after, apply_b_dec_to_input=not subtract).encode(x) - before.encode(x)).abs().max()) > 0.1
    assert_close(after.encode(x), before.encode(x), rtol=1e-5, atol=1e-5)
    assert_close(after.reconstruct(x), before.reconstruct(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("path", "name"), [("saelens/gated", "gated"), ("saelens/jumprelu", "jumprelu")])
def test_what_a_layout_cannot_hold_is_refused_and_nothing_is_left(path: str, name: str, tmp_path: Path) -> None:
    with pytest.raises(SaeError, match=f"sparsify's layout can't hold {name}: it knows topk alone"):
        convert(FIXTURES / path, tmp_path / "new", "sparsify")
    assert list(tmp_path.iterdir()) == []


def test_conversion_keeps_activations_and_metadata(tmp_path: Path) -> None:
    (tmp_path / "saelens").mkdir()
    made = convert(FIXTURES / "dictionary_learning" / "JumpReluAutoEncoder", tmp_path / "saelens", "saelens")
    x, activations, _ = expected("dictionary_learning/JumpReluAutoEncoder")
    assert_close(made.encode(x), activations, rtol=1e-5, atol=1e-5)
    assert_close(load(tmp_path / "saelens").encode(x), activations, rtol=1e-5, atol=1e-5)
    assert read_metadata(tmp_path / "saelens")["hook_name"] == "resid_post_layer_0"


def test_conversion_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "letter").write_text("dear")
    for target in (tmp_path, tmp_path / "letter"):
        with pytest.raises(SaeError, match="exists: give a folder that does not exist yet, or is empty"):
            convert(FIXTURES / "sparsify" / "topk", target, "saelens")
    assert (tmp_path / "letter").read_text() == "dear"
    with pytest.raises(SaeError, match="layout 'gguf' is not known: valid: saelens, dictionary_learning, sparsify"):
        convert(FIXTURES / "sparsify" / "topk", tmp_path / "new", "gguf")


def test_other_precisions_become_single(tmp_path: Path) -> None:
    folder, halves = tmp_path / "sparsify", tmp_path / "halves"
    shutil.copytree(FIXTURES / "sparsify" / "topk", folder)
    path = folder / "sae.safetensors"
    save_file({name: tensor.bfloat16() for name, tensor in load_file(path).items()}, path)
    shutil.copytree(FIXTURES / "dictionary_learning" / "AutoEncoder", halves)
    whole = torch.load(halves / "ae.pt", weights_only=True)
    torch.save({name: tensor.half() for name, tensor in whole.items()}, halves / "ae.pt")
    for found in (load(folder), load(halves)):
        assert {tensor.dtype for tensor in found.tensors().values()} == {torch.float32}


@pytest.mark.parametrize("path", ["dictionary_learning/AutoEncoderTopK", "sparsify/topk", "saelens/topk"])
@pytest.mark.parametrize("offline", [False, True])
def test_the_hub_is_asked_for_each_layout(path: str, offline: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(repository: str, asked: str, *, revision: str | None) -> str:
        assert (repository, revision) == ("owner/name", "v1")
        found = FIXTURES / path / asked.removeprefix("layer/")
        if not found.exists():
            raise LocalEntryNotFoundError("not in the cache") if offline else EntryNotFoundError("404")
        return str(found)

    monkeypatch.setattr(sae.locations, "hf_hub_download", answer)
    assert isinstance(load("owner/name/layer@v1"), TopKSae)
