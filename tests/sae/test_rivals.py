"""What we write, read by the libraries themselves: their encodings are ours.

Each library runs in its own environment, in a folder that the variable AUTOINTERP_RIVALS names; fixtures/make.py says
how to make them.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

from sae.base import SparseAutoencoder
from sae.checkpoint import load, save
from sae.streams.vectors import MemoryVectors
from sae.training.train import train
from tests.sae.planted import planted
from tests.sae.recipes import recipe_of
from tests.sae.written import FIXTURES, METADATA, PUBLISHED, SOURCES, put_in_place_of_the_hub, source

ENVIRONMENTS = {"saelens": "sae-lens", "dictionary_learning": "dictionary-learning", "sparsify": "sparsify"}
ARCHITECTURES = ["batchtopk", "topk", "matryoshka", "standard", "gated", "jumprelu"]


def rival(layout: str) -> Path:
    """The interpreter of the library's environment; skips the test where there is none."""
    root = os.environ.get("AUTOINTERP_RIVALS")
    if root is None:
        pytest.skip("AUTOINTERP_RIVALS names no folder of environments with the other libraries")
    return Path(root) / ENVIRONMENTS[layout] / "bin" / "python"


def encoded_by(
    python: Path, layout: str, saes: Mapping[str, SparseAutoencoder], x: torch.Tensor, folder: Path
) -> dict[str, torch.Tensor]:
    """Write the autoencoders and have the library load and run them."""
    for name, sae in saes.items():
        save(sae, folder / "written" / name, METADATA, layout)
    save_file({"x": x}, folder / "x.safetensors")
    paths = (folder / "written", folder / "x.safetensors", folder / "result")
    command = [str(python), str(FIXTURES / "encode.py"), layout, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    assert done.returncode == 0, done.stderr
    return load_file(folder / "result")


def check(layout: str, saes: Mapping[str, SparseAutoencoder], x: torch.Tensor, folder: Path) -> None:
    theirs = encoded_by(rival(layout), layout, saes, x, folder)
    for name, sae in saes.items():
        activations = sae.encode(x)
        assert activations.any(), name
        about = partial("{}: {}".format, name)
        assert_close(theirs[f"{name}.activations"], activations, rtol=1e-5, atol=1e-5, msg=about)
        assert_close(theirs[f"{name}.reconstruction"], sae.reconstruct(x), rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("layout", list(SOURCES))
def test_the_library_reads_what_we_write(layout: str, tmp_path: Path) -> None:
    x = 3 * torch.randn(64, 16, generator=torch.Generator().manual_seed(1))
    check(layout, {name: source(layout, name) for name in SOURCES[layout]}, x, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["saelens", "dictionary_learning"])
def test_the_library_reads_what_we_train(layout: str, tmp_path: Path) -> None:
    rival(layout)
    vectors, _ = planted(2000, d_in=12, atoms=20, active=2, seed=0)
    saes = {}
    for architecture in ARCHITECTURES:
        recipe = recipe_of(architecture, width=24, k=2, batch=100, lr=1e-3)
        saes[architecture] = train(recipe, MemoryVectors(vectors), passes=1, seed=0).sae
    check(layout, saes, vectors[:64], tmp_path)


@pytest.mark.slow
def test_the_library_reads_what_we_keep_of_published_saes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Normalised vectors and transcoders, as a run's folder has them."""
    rival("saelens")
    put_in_place_of_the_hub(PUBLISHED, monkeypatch)
    names = {
        "layer_norm": "gpt2-small-resid-mid-v5-32k/blocks.6.hook_resid_mid",
        "constant_norm": "mistral-7b-res-wg/blocks.8.hook_resid_pre",
        "relu-transcoder": "mwhanna-qwen3-4b-transcoders/layer_0",
        "jumprelu-transcoder": "gemma-scope-2b-pt-transcoders/layer_0/width_16k/average_l0_76",
        "factor": "llama_scope_lxr_8x/l9r_8x",
    }
    x = 3 * torch.randn(64, 16, generator=torch.Generator().manual_seed(4)) + 1
    check("saelens", {name: load(f"saelens:{known}") for name, known in names.items()}, x, tmp_path)
