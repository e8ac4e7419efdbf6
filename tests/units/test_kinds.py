"""A kind of unit that another package registers goes through every stage; one that lacks a part is refused by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from jaxtyping import Float, Int
from torch import Tensor

import autointerp
from autointerp.contexts.reading import load_contexts
from autointerp.errors import BadInput
from autointerp.records import Unit, Unscored
from autointerp.run.verify import verify
from autointerp.study import Study
from autointerp.study_file import parse_study
from autointerp.subject.forward import open_subject
from autointerp.tables import read_table
from autointerp.units.arms import _plural, plain
from autointerp.units.interface import Activations, Candidates, Encoder, arm_name, kept_above
from autointerp.units.registry import KINDS, all_candidates, check_units
from tests.small import HOOK, small_settings

COMPONENTS = 4


@dataclass
class ComponentReadout:
    """Principal components of what it was prepared on; where it is read, values below the mean are 0."""

    arm: str
    hook: str
    indices: Int[np.ndarray, " unit"]
    thresholds: Float[np.ndarray, " unit"]
    seen: list[Tensor]
    sae: str = ""
    signs: Int[np.ndarray, " unit"] = field(init=False)

    def __post_init__(self) -> None:
        self.signs = np.ones(len(self.indices), dtype=np.int64)

    def prepare(self, activations: Activations) -> None:
        self.seen.append(activations.by_hook[self.hook].flatten(0, 1).double())

    def components(self) -> tuple[Tensor, Tensor]:
        vectors = torch.cat(self.seen)
        mean = vectors.mean(dim=0)
        _, _, rows = torch.linalg.svd(vectors - mean, full_matrices=False)
        return mean.float(), rows[torch.as_tensor(self.indices)].float()

    def read(self, activations: Activations) -> Float[Tensor, "context token unit"]:
        mean, rows = self.components()
        return kept_above(((activations.by_hook[self.hook] - mean) @ rows.T).clamp_min(0), self.thresholds)

    def writes(self, width: int) -> Float[Tensor, "unit width"] | Unscored:
        return Unscored("components write nothing")

    def narrowed(self, units: Sequence[Unit]) -> ComponentReadout:
        indices = np.array([unit.index for unit in units])
        return replace(self, indices=indices, thresholds=np.zeros(len(units)))

    def thresholded(self, arm: str, thresholds: Float[np.ndarray, " unit"]) -> ComponentReadout:
        return replace(self, arm=arm, thresholds=thresholds)


class Components:
    name = "component"
    plural = "principal components"
    oriented = False

    def candidates(
        self, study: Study, widths: Mapping[str, int], encoders: Mapping[str, tuple[Encoder, int]]
    ) -> Sequence[Candidates]:
        hooks = study.subject.hooks
        indices = np.arange(6)
        return [
            Candidates(
                ComponentReadout(arm_name(self.name, hook, len(hooks) > 1), hook, indices, np.zeros(6), []),
                study.units.kinds[self.name],
            )
            for hook in hooks
        ]


class WithoutCandidates:
    name, plural, oriented = "component", "parts", False


class WithBareReadout(Components):
    def candidates(self, *_: Any) -> Sequence[Candidates]:
        class Bare:
            arm, hook, sae = "component", HOOK, ""
            indices, signs, thresholds = np.arange(2), np.ones(2), np.zeros(2)

            def writes(self, width: int) -> Tensor:
                return torch.zeros(2, width)

        made: Any = SimpleNamespace(readout=Bare(), count=2)  # Candidates itself would refuse it in the tests
        return [made]


class UnderAnotherName(Components):
    name = "other"


class SaysItIsOriented(Components):
    oriented = True


class OfAnotherHook(Components):
    def candidates(
        self, study: Study, widths: Mapping[str, int], encoders: Mapping[str, tuple[Encoder, int]]
    ) -> Sequence[Candidates]:
        return [Candidates(ComponentReadout("component", "layers.9.resid", np.arange(6), np.zeros(6), []), 2)]


def _register(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autointerp.units.arms._plural", _plural.__wrapped__)  # what it remembers is of another package
    point = EntryPoint("component", f"{__name__}:{name}", KINDS.group)
    monkeypatch.setattr("autointerp.registry.entry_points", lambda group: [point] if group == KINDS.group else [])


@pytest.mark.pipeline
def test_a_registered_kind_goes_through_every_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _register("Components", monkeypatch)
    settings = small_settings(tmp_path)
    settings["units"] |= {"kinds": {"component": COMPONENTS}, "controls": ["component-sparse"]}
    study = parse_study(settings)
    run = autointerp.run(study, tmp_path / "run")
    assert [check.name for check in verify(run.folder) if not check.ok] == []

    units = run.table("units")
    sampled = units[units["status"] != "excluded"]
    assert sampled.groupby("arm").size().to_dict() == {
        "feature": 5, "neuron": 4, "component": COMPONENTS, "component-sparse": COMPONENTS,
    }  # fmt: skip
    assert set(sampled[sampled["arm"] == "component"]["unit"]) <= {f"component/{n}" for n in range(6)}
    scores = run.table("scores")
    for arm in ("component", "component-sparse"):
        own = scores[(scores["arm"] == arm) & (scores["pairing"] == "own") & (scores["status"] == "ok")]
        assert own["unit"].nunique() == COMPONENTS
    comparison = run.table("comparison")
    assert ("feature", "component") in set(zip(comparison["arm"], comparison["baseline"], strict=True))
    report = (run.folder / "report.md").read_text("utf8")
    assert "principal components at the features' density" in report

    _check_truth(study, run.folder, sampled[sampled["arm"] == "component"]["index"].tolist())


def _check_truth(study: Study, run: Path, indices: Sequence[int]) -> None:
    """What is in the table is an affine function of the hooked vectors where the unit is active, and not one of 0."""
    subject = open_subject(study.subject)
    evidence = read_table(run / "evidence.parquet")
    for index in indices:
        rows = evidence[evidence["unit"] == f"component/{index}"]
        contexts = load_contexts(run / "contexts.parquet", rows["context"])
        truth = np.stack(rows["activations"].tolist())
        tokens = np.stack([contexts[int(c)].tokens for c in rows["context"]])
        read = subject.activations(tokens)[HOOK].cpu().double().numpy()
        # A component is one direction and one offset: least squares finds them where the unit is active.
        active = truth > 0
        design = np.column_stack([read[active], np.ones(int(active.sum()))])
        weights, *_ = np.linalg.lstsq(design, truth[active], rcond=None)
        np.testing.assert_allclose(design @ weights, truth[active], atol=1e-4)
        assert np.linalg.norm(weights[:-1]) == pytest.approx(1, abs=1e-2)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("WithoutCandidates", r"unit kind 'component' lacks 'candidates'"),
        ("WithBareReadout", r"a readout of unit kind 'component' lacks 'narrowed', 'read'"),
        ("UnderAnotherName", r"unit kind 'component' calls itself 'other'"),
        ("SaysItIsOriented", r"unit kind 'component' says oriented = True"),
        ("OfAnotherHook", r"a readout of unit kind 'component' is of hook 'layers.9.resid'"),
        ("Missing", r"unit kind 'component' can't be imported"),
    ],
)
def test_a_kind_that_lacks_a_part_is_refused_by_name(name: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _register(name, monkeypatch)
    study = parse_study({"sae": [], "units": {"kinds": {"component": 2}, "features": 0, "controls": []}})
    with pytest.raises(BadInput, match=message):
        all_candidates(study, {study.subject.hooks[0]: 8}, {})


def test_kinds_and_controls_that_there_are_not_are_refused_before_anything_runs() -> None:
    for units, message in (
        ({"kinds": {"neurons": 2}}, "no unit kind 'neurons': did you mean 'neuron'"),
        ({"kinds": {"neuron": 2}}, "units.kinds names the built-in kind 'neuron'"),
        ({"controls": ["neuron-spars"]}, "no control 'neuron-spars': did you mean 'neuron-sparse'"),
        ({"controls": ["feature-sparse"]}, "no control 'feature-sparse'"),
    ):
        with pytest.raises(BadInput) as refused:
            check_units(parse_study({"units": units}))
        assert message in str(refused.value)


@pytest.mark.parametrize("name", [None, "Missing", "WithoutCandidates"])
def test_an_arm_of_a_package_that_is_gone_or_broken_keeps_its_name(
    name: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name is not None:
        _register(name, monkeypatch)
    assert plain("component-sparse:layers.3") == "component at the features' density (layers.3)"
