"""Our autoencoders, written in other libraries' layouts: one list for what is recorded and what the libraries check.

The record in `fixtures/written` is what the libraries themselves were seen to read rightly (test_rivals.py), so that a
change in what is written shows where they are not installed. After a change that they have approved, it is renewed by

    python -m tests.sae.written
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub.errors import EntryNotFoundError

import sae.locations
from sae.base import SparseAutoencoder
from sae.checkpoint import load, save

FIXTURES = Path(__file__).parent / "fixtures"
PUBLISHED = FIXTURES / "published"
"""Small files in the layouts of published SAEs, where the hub has those (fixtures/make_published.py)."""
RECORD = FIXTURES / "written"
METADATA = {"model_name": "tiny", "hook_name": "layers.0:out", "context_size": 64}


def put_in_place_of_the_hub(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked of the hub is looked for at `root/REPOSITORY/PATH`."""

    def download(repo: str, name: str, revision: str | None = None) -> str:
        found = root / repo / name.replace(":", "_")
        if not found.is_file():
            raise EntryNotFoundError(f"no {name}")
        return str(found)

    monkeypatch.setattr(sae.locations, "hf_hub_download", download)


_CENTRED = {"subtract": True, "plain": False}

SOURCES: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "saelens": {
        "standard": ("dictionary_learning/AutoEncoder", "subtract"),
        "standard-plain": ("dictionary_learning/AutoEncoderNew", "plain"),
        "gated": ("dictionary_learning/GatedAutoEncoder", "subtract"),
        "jumprelu": ("dictionary_learning/JumpReluAutoEncoder", "plain"),
        "batchtopk": ("dictionary_learning/BatchTopKSAE", "subtract"),
        "topk": ("sparsify/topk", "subtract"),
        "topk-plain": ("sparsify/topk", "plain"),
    },
    "dictionary_learning": {
        "standard": ("dictionary_learning/AutoEncoder", "subtract"),
        "standard-long-rows": ("saelens/standard", "subtract"),
        "standard-plain": ("dictionary_learning/AutoEncoder", "plain"),
        "gated": ("saelens/gated", "subtract"),
        "gated-plain": ("saelens/gated", "plain"),
        "jumprelu": ("saelens/training-batchtopk", "subtract"),
        "jumprelu-plain": ("saelens/jumprelu", "plain"),
        "topk": ("saelens/topk", "subtract"),
        "topk-plain": ("saelens/topk", "plain"),
    },
    "sparsify": {
        "topk": ("saelens/topk", "subtract"),
        "topk-plain": ("saelens/topk", "plain"),
    },
}
"""By layout and name: the fixture to write, and whether its encoder subtracts `b_dec` or reads the plain input."""


def source(layout: str, name: str) -> SparseAutoencoder:
    """The autoencoder of a case."""
    path, input_bias = SOURCES[layout][name]
    return replace(load(FIXTURES / path), apply_b_dec_to_input=_CENTRED[input_bias])


def write(layout: str, root: Path) -> None:
    """Write every case of a layout into a folder of its name."""
    for name in SOURCES[layout]:
        save(source(layout, name), root / name, METADATA, layout)


def renew() -> None:
    """Write the record again."""
    shutil.rmtree(RECORD, ignore_errors=True)
    for layout in SOURCES:
        write(layout, RECORD / layout)


if __name__ == "__main__":
    renew()
