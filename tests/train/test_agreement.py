"""What a checkpoint says of itself is held against the study, key by key; what it doesn't say contradicts nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from autointerp.errors import BadInput
from autointerp.models import LoadedModel
from autointerp.study import Study
from autointerp.study_file import parse_study
from autointerp.subject.forward import Subject, open_subject
from autointerp.train.agreement import check_agreement
from tests.tiny import START, tiny_folder, tiny_model, tiny_tokenizer

HOOK = "layers.1.resid"
AGREES = {"model_name": "gpt2-small", "hook_name": "blocks.1.hook_resid_post", "context_size": 128, "prepend_bos": True}


def study(model: str = "openai-community/gpt2", *, context: int = 64, **sae: Any) -> Study:
    return parse_study(
        {
            "subject": {"model": model, "hooks": [HOOK]},
            "corpus": {"context": context},
            "sae": [{"name": "mine", "hook": HOOK, "checkpoint": "some/where", **sae}],
        }
    )


def check(given: Study, said: Mapping[str, Any], start: int | None = START, family: str = "gpt2") -> None:
    loaded = LoadedModel(tiny_model(family), tiny_tokenizer(), "tiny", torch.device("cpu"))
    check_agreement(given, Subject(loaded, [HOOK], start), given.sae[0], said)


@pytest.mark.parametrize(
    "said",
    [
        {}, AGREES, {"model_name": "gpt2"}, {"hook_name": "layers.1.resid"}, {"hook_name": "blocks.2.hook_resid_pre"},
        {"hook_name": "transformer.h.1:out"}, {"context_size": 64}, {"hook_name": "resid_post_layer_1"},
        {"model_name": "GPT2"}, {"model_name": None, "hook_name": None, "context_size": None, "prepend_bos": None},
    ],
)  # fmt: skip
def test_what_agrees_passes(said: dict[str, Any]) -> None:
    check(study(), said)


CONTRADICTIONS: list[tuple[str, dict[str, Any], str]] = [
    (
        "model",
        {"model_name": "gpt2-xl"},
        "is for model 'gpt2-xl', the study's is 'openai-community/gpt2': set subject.model",
    ),
    (
        "hook",
        {"hook_name": "blocks.1.hook_resid_pre"},
        "is for hook 'blocks.1.hook_resid_pre', the study's is 'layers.1.r",
    ),
    ("hook", {"hook_name": "blocks.1.ln2.hook_normalized"}, "is for hook 'blocks.1.ln2.hook_normalized'"),
    ("hook", {"hook_name": "blocks.9.hook_resid_pre"}, "is for hook 'blocks.9.hook_resid_pre'"),
    ("context", {"context_size": 63}, "contexts of at most 63 tokens, the study's have 64: set corpus.context = 63"),
    ("start_token", {"prepend_bos": False}, "contexts without a start token, .* set subject.start_token = 'none'"),
    (
        "dtype",
        {"model_from_pretrained_kwargs": {"torch_dtype": "torch.bfloat16"}},
        "a subject in bfloat16, the study's is in float32: set subject.dtype = 'bfloat16'",
    ),
    ("dtype", {"model_from_pretrained_kwargs": {"dtype": "fp16"}}, "set subject.dtype = 'float16'"),
]


@pytest.mark.parametrize(("key", "change", "told"), CONTRADICTIONS)
def test_a_contradiction_is_one_line_and_a_key_lets_it_through(
    key: str, change: dict[str, Any], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(BadInput, match=told) as caught:
        check(study(), {**AGREES, **change})
    assert "\n" not in str(caught.value)
    assert f"sae.despite = ['{key}']" in str(caught.value)
    check(study(despite=[key]), {**AGREES, **change})
    assert "let through by sae.despite: its checkpoint is for" in capsys.readouterr().err
    others = sorted({known for known, *_ in CONTRADICTIONS} - {key})
    with pytest.raises(BadInput, match=told):
        check(study(despite=others), {**AGREES, **change})


def test_a_subject_without_a_start_token_contradicts_the_other_way_round() -> None:
    with pytest.raises(BadInput, match="with a start token before each, the study's are without a start token"):
        check(study(), AGREES, start=None)
    check(study(), {**AGREES, "prepend_bos": False}, start=None)


def test_on_gemma_the_output_and_the_contribution_are_two_hooks() -> None:
    given = parse_study(
        {
            "subject": {"model": "google/gemma-2-2b", "hooks": ["layers.1.mlp.out"]},
            "sae": [{"hook": "layers.1.mlp.out", "checkpoint": "some/where"}],
        }
    )
    loaded = LoadedModel(tiny_model("gemma2"), tiny_tokenizer(), "tiny", torch.device("cpu"))
    with pytest.raises(BadInput, match="is for hook 'blocks.1.hook_mlp_out'"):
        check_agreement(
            given, Subject(loaded, ["layers.1.mlp.out"], 0), given.sae[0], {"hook_name": "blocks.1.hook_mlp_out"}
        )


def test_a_local_folder_counts_by_the_names_in_its_path(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path, "gpt2")
    named = tmp_path / "models--openai-community--gpt2" / "snapshots" / "abc"
    named.mkdir(parents=True)
    check(study(str(folder)), {"model_name": "pythia-70m-deduped"})  # 'tiny-gpt2' is no model that the registry knows
    check(study(str(named)), {"model_name": "gpt2-small"})
    with pytest.raises(BadInput, match="is for model 'pythia-70m-deduped'"):
        check(study(str(named)), {"model_name": "pythia-70m-deduped"})
    with pytest.raises(BadInput, match="is for model 'gpt2-small', the study's is 'builtin'"):
        check(study("builtin"), {"model_name": "gpt2-small"})
    check(study("builtin"), {"model_name": "HuggingFaceTB/SmolLM2-135M-Instruct"})


def test_a_copy_of_what_only_the_registry_knows_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = study(checkpoint=str(tmp_path))
    check(given, {**AGREES, "hook_name": "blocks.1.hook_resid_pre"} | {"hook_name": "blocks.2.hook_resid_pre"})
    told = capsys.readouterr().err
    assert (
        "looks like a copy of saelens:gpt2-small-res-jb/blocks.2.hook_resid_pre, of which SAELens' registry says "
        in told
    )
    check(given, {**AGREES, "hook_name": "blocks.2.hook_resid_pre", "model_from_pretrained_kwargs": {"center": True}})
    assert "looks like" not in capsys.readouterr().err


def test_the_hook_comes_with_a_name_of_the_registry() -> None:
    name = "saelens:gpt2-small-res-jb/blocks.8.hook_resid_pre"
    given = parse_study({"subject": {"model": "gpt2"}, "sae": [{"checkpoint": name}]})
    assert given.sae[0].hook == "layers.8.resid_pre"
    assert given.subject.hooks == ("layers.8.resid_pre",)
    two = [{"name": "a", "checkpoint": name}, {"name": "b", "hook": "blocks.3.hook_mlp_out", "checkpoint": "x/y"}]
    assert parse_study({"sae": two}).subject.hooks == ("layers.8.resid_pre", "layers.3.mlp.contribution")
    own = {"subject": {"hooks": ["layers.7.resid"]}, "sae": [{"hook": "layers.7.resid", "checkpoint": name}]}
    assert parse_study(own).sae[0].hook == "layers.7.resid"
    with pytest.raises(BadInput, match="is not in subject.hooks"):
        parse_study({"subject": {"hooks": ["layers.7.resid"]}, "sae": [{"checkpoint": name}]})
    with pytest.raises(BadInput, match="has no SAE 'blocks.99"):
        parse_study({"sae": [{"checkpoint": "saelens:gpt2-small-res-jb/blocks.99.hook_resid_pre"}]})
    with pytest.raises(BadInput, match="the registry does not say where it reads: set sae.hook"):
        parse_study({"sae": [{"checkpoint": "saelens:gemma-scope-2b-pt-transcoders/layer_0/width_16k/average_l0_76"}]})


def test_the_start_token_of_a_study(tmp_path: Path) -> None:
    folder = str(tiny_folder(tmp_path, "gpt2"))
    settings: dict[str, Any] = {"subject": {"model": folder, "hooks": [HOOK]}, "sae": []}
    tokenizer = tiny_tokenizer()
    known = {"bos": tokenizer.bos_token_id, "eos": tokenizer.eos_token_id, "none": None}
    for key, expected in (known | {"auto": tokenizer.bos_token_id}).items():
        assert open_subject(parse_study(settings, [f"subject.start_token={key}"]).subject).start_token == expected
    with pytest.raises(BadInput, match="a subject that is trained has its own"):
        parse_study({"subject": {"train": {}, "start_token": "none"}})
