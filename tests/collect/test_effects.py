"""The table of output effects holds, for every kind of unit, what its own direction promotes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import Float, Int

from autointerp.collect.effects_table import read_effects, write_effects
from autointerp.errors import BadInput
from autointerp.models import LoadedModel
from autointerp.records import Effects, Unit, Unscored
from autointerp.subject.effects import OutputEffects
from autointerp.subject.forward import Subject
from autointerp.units.directions import Centre, DirectionReadout
from autointerp.units.features import FeatureReadout
from autointerp.units.interface import Readout
from autointerp.units.neurons import NeuronReadout
from tests.tiny import NEURONS, START, WIDTH, tiny_model, tiny_tokenizer

HOOK, NOWHERE = "layers.1.mlp.neurons", "model.layers.1.self_attn:out"
Tensor = torch.Tensor


class Decoder:
    """An SAE of which the decoder alone is asked."""

    def __init__(self) -> None:
        self.W_dec = torch.randn(9, NEURONS, generator=torch.Generator().manual_seed(1))

    def encode(self, x: Float[Tensor, "vector d_in"]) -> Float[Tensor, "vector latent"]:
        raise AssertionError("not asked")

    def encode_latents(
        self, x: Float[Tensor, "vector d_in"], latents: Int[Tensor, " chosen"]
    ) -> Float[Tensor, "vector chosen"]:
        raise AssertionError("not asked")


def _units(arm: str, indices: list[int], signs: list[int]) -> list[Unit]:
    return [
        Unit(f"{arm}/{i}{'-' if s < 0 else ''}", 0, arm, HOOK, "", i, s, 0.0, 0.1, 2.0, 0.5)
        for i, s in zip(indices, signs, strict=True)
    ]


def test_rows_are_of_decoder_neurons_with_their_sign_and_directions(tmp_path: Path) -> None:
    subject = Subject(LoadedModel(tiny_model(), tiny_tokenizer(), "t", torch.device("cpu")), [HOOK, NOWHERE], START)
    sae = Decoder()
    indices, signs = np.array([3, 3]), np.array([1, -1])
    vectors = torch.randn(2, NEURONS, generator=torch.Generator().manual_seed(2))
    drawn: list[tuple[Readout, list[Unit]]] = [
        (FeatureReadout("feature", HOOK, "sae", np.array([7, 2]), sae, False), _units("feature", [7, 2], [1, 1])),
        (NeuronReadout("neuron", HOOK, indices, signs, np.zeros(2)), _units("neuron", [3, 3], [1, -1])),
        (
            DirectionReadout("direction", HOOK, np.arange(2), vectors, np.zeros(2), Centre(torch.zeros(NEURONS))),
            _units("direction", [0, 1], [1, 1]),
        ),
        (
            DirectionReadout(
                "attention", NOWHERE, np.arange(1), vectors[:1, :WIDTH], np.zeros(1), Centre(torch.zeros(WIDTH))
            ),
            [replace(_units("attention", [0], [1])[0], hook=NOWHERE)],
        ),
    ]
    write_effects(tmp_path / "effects.parquet", subject, drawn)
    found = read_effects(tmp_path / "effects.parquet")
    assert list(found) == [unit.unit for _, units in drawn for unit in units]

    one = torch.zeros(NEURONS)
    one[3] = 1
    expected = OutputEffects(subject).of(HOOK, torch.stack([sae.W_dec[7], sae.W_dec[2], one, -one, *vectors]))
    assert list(found.values())[:6] == expected
    assert len({each.promoted for each in expected if isinstance(each, Effects)}) == 6
    reason = found["attention/0"]
    assert isinstance(reason, Unscored)
    assert "does not write into the residual stream" in reason.reason


def test_a_missing_table_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no table"):
        read_effects(tmp_path / "effects.parquet")
