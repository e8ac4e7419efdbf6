"""Scrambled subjects: what changes, what stays, what is shared."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch

from autointerp.study_inputs import ScrambledSubject
from autointerp.study_inputs import Subject as SubjectSettings
from autointerp.subject.forward import Subject, open_subject
from autointerp.subject.scrambling import WithScrambled, hook_of, scramble, split_hook
from tests.tiny import tiny_folder

FIRST, SECOND = "layers.0.mlp.neurons", "layers.1.mlp.neurons"
TOKENS = np.arange(24).reshape(2, 12) % 20


def opened(folder: Path, *hooks: str) -> Subject:
    return open_subject(SubjectSettings(model=str(tiny_folder(folder)), hooks=hooks, device="cpu"))


def scrambled(subject: Subject, scheme: Literal["permuted", "init"], seed: int = 0) -> Subject:
    return scramble(subject, ScrambledSubject(scheme=scheme, seed=seed))


def test_every_matrix_on_the_way_is_permuted_and_all_else_is_kept(tmp_path: Path) -> None:
    subject = opened(tmp_path, FIRST)
    before = {name: tensor.clone() for name, tensor in subject.model.named_parameters()}
    made = dict(scrambled(subject, "permuted").model.named_parameters())
    changed = {name for name, tensor in made.items() if not torch.equal(tensor, before[name])}
    embeddings = {id(subject.model.get_input_embeddings().weight), id(subject.model.get_output_embeddings().weight)}
    expected = {
        name
        for name, tensor in subject.model.named_parameters()
        if ".layers.0." in f".{name}" and tensor.ndim > 1 and id(tensor) not in embeddings
    }
    assert expected, "the tiny model has matrices in its first layer"
    assert changed == expected, "the layers after the hook, norms, biases and embeddings are as they were"
    for name in expected:
        assert torch.equal(made[name].flatten().sort().values, before[name].flatten().sort().values), name
    for name, tensor in subject.model.named_parameters():
        assert torch.equal(tensor, before[name]), "the subject itself is left alone"
        assert (made[name].data_ptr() == tensor.data_ptr()) == (name not in expected), "what is kept is shared"


@pytest.mark.parametrize("scheme", ["permuted", "init"])
def test_the_seed_says_which_and_it_names_the_weights(scheme: Literal["permuted", "init"], tmp_path: Path) -> None:
    subject = opened(tmp_path, SECOND)
    first, again, other = (scrambled(subject, scheme, seed) for seed in (0, 0, 1))
    read = [each.activations(TOKENS)[SECOND] for each in (first, again, other, subject)]
    assert torch.equal(read[0], read[1])
    assert not torch.allclose(read[0], read[2])
    assert not torch.allclose(read[0], read[3])
    assert first.identity == again.identity != other.identity
    assert first.identity.startswith(subject.identity)


def test_the_initialiser_draws_embeddings_too_and_leaves_the_subject_alone(tmp_path: Path) -> None:
    subject = opened(tmp_path, SECOND)
    before = {name: tensor.clone() for name, tensor in subject.model.named_parameters()}
    state = torch.random.get_rng_state()
    made = scrambled(subject, "init").model
    assert torch.equal(torch.random.get_rng_state(), state)
    for name, tensor in made.named_parameters():
        if tensor.ndim > 1:
            assert not torch.equal(tensor, before[name]), name
            spread = float(tensor.std())
            assert spread == pytest.approx(made.config.initializer_range, rel=0.3), name
    assert all(torch.equal(tensor, before[name]) for name, tensor in subject.model.named_parameters())


def test_read_together_each_keeps_its_own_activations(tmp_path: Path) -> None:
    subject = opened(tmp_path, FIRST, SECOND)
    other = scrambled(subject, "permuted")
    both = WithScrambled(subject, {"permuted-0": other})
    read = both.activations(TOKENS)
    assert list(read) == list(both.widths) == [FIRST, SECOND, f"{FIRST}@permuted-0", f"{SECOND}@permuted-0"]
    for hook in (FIRST, SECOND):
        assert torch.equal(read[hook], subject.activations(TOKENS)[hook])
        assert torch.equal(read[hook_of(hook, "permuted-0")], other.activations(TOKENS)[hook])
    assert split_hook(f"{FIRST}@permuted-0") == (FIRST, "permuted-0")
    assert split_hook(FIRST) == (FIRST, "")
