"""On a GPU: a language model, what is collected of it, and what it answers are what they are on the processor."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch.testing import assert_close

from autointerp.collect.stage import collect
from autointerp.collect.token_table import read_token_tables
from autointerp.contexts.sharing import read_exemplars
from autointerp.errors import BadInput
from autointerp.llm.local.model import LocalModel
from autointerp.llm.request import Response
from autointerp.models import LoadedModel, device_of, load_model
from autointerp.records import Context, Split
from autointerp.study import Study
from autointerp.study_file import parse_study
from autointerp.study_inputs import SubjectTraining
from autointerp.subject.effects import OutputEffects
from autointerp.subject.forward import Subject
from autointerp.subject.making import Making, blank_model, held_out_loss
from autointerp.subject.splicing import Splicing
from autointerp.tables import CANDIDATES, read_table, write_table
from sae.architectures.jumprelu import JumpReluSae
from tests.llm.doubles import completion
from tests.on_cuda import ON_CUDA
from tests.tiny import NEURONS, START, VOCABULARY, tiny_loaded, tiny_model, tiny_tokenizer

pytestmark = ON_CUDA

HOOK = "layers.1.mlp.neurons"
LENGTH, LATENTS = 16, 40
TOKENS = np.random.default_rng(0).integers(2, VOCABULARY, size=(9, LENGTH))
TEXTS = ("A river runs to the sea", "A river", "A river runs to the rain; one, two", "def area(width, height): return")


def on(device: str, family: str = "llama") -> LoadedModel:
    model: Any = tiny_model(family)
    return replace(tiny_loaded(family), model=model.to(device), device=torch.device(device))


def subject_on(device: str, family: str = "llama") -> Subject:
    return Subject(on(device, family), [HOOK, "layers.2.resid"], START)


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma3", "opt"])
def test_activations_and_losses_are_those_of_the_processor(family: str) -> None:
    ours, theirs = subject_on("cpu", family), subject_on("cuda", family)
    expected, got = ours.activations(TOKENS), theirs.activations(TOKENS)
    for hook, values in expected.items():
        assert got[hook].device.type == "cuda"
        assert_close(got[hook].cpu(), values, rtol=1e-3, atol=1e-4 * float(values.abs().max()))
    for edit in (None, torch.zeros_like):
        losses = Splicing(ours, HOOK).losses(TOKENS, edit)
        np.testing.assert_allclose(Splicing(theirs, HOOK).losses(TOKENS, edit), losses, rtol=1e-4)
    rows = torch.randn(5, NEURONS, generator=torch.Generator().manual_seed(1))
    assert OutputEffects(theirs).of(HOOK, rows) == OutputEffects(ours).of(HOOK, rows)


def _study() -> Study:
    return parse_study(
        {
            "corpus": {"context": LENGTH},
            "subject": {"hooks": [HOOK], "batch": 7},
            "sae": [{"name": "sae", "hook": HOOK, "checkpoint": "made by hand"}],
            "units": {"features": 8, "neurons": 6, "directions": 4, "min_contexts": 3},
            "evidence": {"top": 6, "quantiles": 2, "per_quantile": 2, "random": 6, "random_only": 8},
        }
    )


def _sae() -> JumpReluSae:
    generator = torch.Generator().manual_seed(2)
    rows = torch.randn(LATENTS, NEURONS, generator=generator)
    return JumpReluSae(
        W_enc=rows.t().contiguous(), W_dec=rows, b_dec=torch.zeros(NEURONS), apply_b_dec_to_input=False,
        b_enc=torch.zeros(LATENTS), threshold=torch.full((LATENTS,), 0.5),
    )  # fmt: skip


def _collected(folder: Path, device: str) -> Path:
    """A run folder with what was collected of the same contexts, subject and SAE."""
    rng = np.random.default_rng(3)
    folder.mkdir()
    rows = [
        Context(n, Split.EVIDENCE if n % 3 else Split.HELD_OUT, n, f"s{n}", 0, tokens, tuple(f" w{t}" for t in tokens))
        for n, tokens in enumerate(rng.integers(2, VOCABULARY, size=(300, LENGTH)))
    ]
    write_table("contexts", folder / "contexts.parquet", rows)
    collect(_study(), subject_on(device), {"sae": (_sae().to(device), LATENTS)}, folder)
    return folder


def _units(run: Path) -> pd.DataFrame:
    return read_table(run / CANDIDATES).set_index("unit")


def test_what_is_collected_is_what_the_processor_collects_and_the_same_bytes_every_time(tmp_path: Path) -> None:
    ours, theirs, again = (
        _collected(tmp_path / name, device) for name, device in (("a", "cpu"), ("b", "cuda"), ("c", "cuda"))
    )
    expected, got = _units(ours), _units(theirs)
    assert list(got.index) == list(expected.index), "the same units are drawn, in the same order"
    numbers = ["density", "max_activation", "single_token", "threshold"]
    np.testing.assert_allclose(got[numbers], expected[numbers], rtol=1e-3, atol=1e-6)
    for name in ("evidence", "held-out"):
        here, there = (read_exemplars(run / "work" / f"{name}.parquet") for run in (ours, theirs))
        assert here.keys() == there.keys()
        for unit, exemplars in here.items():
            assert [(e.context, e.kind) for e in there[unit]] == [(e.context, e.kind) for e in exemplars], unit
            for mine, other in zip(exemplars, there[unit], strict=True):
                np.testing.assert_allclose(other.activations, mine.activations, rtol=1e-3, atol=1e-4)
    tables = [read_token_tables(run / "work" / "token_tables.safetensors") for run in (ours, theirs)]
    for arm, table in tables[0].items():
        np.testing.assert_array_equal(tables[1][arm].tokens, table.tokens)
        np.testing.assert_allclose(tables[1][arm].means, table.means, rtol=1e-3, atol=1e-4)
    for file in sorted((theirs / "work").iterdir()):
        assert file.read_bytes() == (again / "work" / file.name).read_bytes(), file.name


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma3"])
def test_a_model_in_the_process_answers_as_on_the_processor(family: str) -> None:
    ours, theirs = (LocalModel(on(device, family), batch=3) for device in ("cpu", "cuda"))
    for mine, other in zip(ours.next_token_logprobs(TEXTS), theirs.next_token_logprobs(TEXTS), strict=True):
        assert_close(other.cpu(), mine, rtol=0, atol=1e-3)
    prompts: list[list[int]] = [tiny_tokenizer()(text)["input_ids"] for text in TEXTS]
    wanted = [5, 90, 300]
    after = [model.logprobs_after(prompts, wanted).cpu() for model in (ours, theirs)]
    assert_close(after[1], after[0], rtol=0, atol=1e-3)
    at = [model.logprobs_at(prompts[2], [0, 3, 5], wanted).cpu() for model in (ours, theirs)]
    assert_close(at[1], at[0], rtol=0, atol=1e-3)
    answer = {"properties": {"yes": {"type": "boolean"}}, "required": ["yes"], "additionalProperties": False}
    schema = json.dumps({"type": "object", **answer})
    requests = [
        *(completion(text, max_tokens=6, temperature=0.0, beginning=True, top_logprobs=2) for text in TEXTS),
        completion("Yes or no?", max_tokens=40, temperature=0.0, schema=schema),
    ]
    for here, there in zip(ours.generate(requests), theirs.generate(requests), strict=True):
        assert isinstance(here, Response)
        assert isinstance(there, Response)
        assert there.text == here.text
        for one, two in zip(here.logprobs, there.logprobs, strict=True):
            assert two.logprob == pytest.approx(one.logprob, abs=1e-3)


def test_a_subject_trained_there_learns_as_much_and_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    recipe = SubjectTraining(width=16, neurons=24, heads=2, vocabulary=300, passes=4, batch=8, lr=0.02)
    contexts = np.random.default_rng(1).zipf(1.6, size=(160, 12)).clip(1, 299)

    def making(device: str) -> Making:
        model: Any = blank_model(recipe, 300, 12, seed=4)
        return Making(model.to(device), recipe, contexts, seed=4)

    ours, theirs = making("cpu"), making("cuda")
    for one in (ours, theirs):
        for _ in range(20):
            one.step()
    theirs.save(tmp_path / "state.safetensors", "of the test")
    resumed = making("cuda")
    assert resumed.restore(tmp_path / "state.safetensors", "of the test")
    for one in (ours, theirs, resumed):
        while len(one.losses) < one.steps:
            one.step()
    np.testing.assert_allclose(theirs.losses[:20], ours.losses[:20], rtol=0.03)  # products in bfloat16 there
    ends = [held_out_loss(one.model, contexts) for one in (ours, theirs, resumed)]
    assert ends[1:] == pytest.approx([ends[0]] * 2, rel=0.03)


def test_a_gpu_that_there_is_not_is_an_error_in_one_line_and_harms_nothing() -> None:
    with pytest.raises(BadInput, match=r"^device 'cuda:77' can't be used \([^\n]*\): give auto, cpu or cuda$"):
        load_model("builtin", device="cuda:77")
    assert device_of("auto") == torch.device("cuda")
    assert float(torch.ones(2, device="cuda").sum()) == 2.0
