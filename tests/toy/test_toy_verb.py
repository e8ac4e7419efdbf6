"""`autointerp toy`: SAEs find known features, nulls don't, and a finished folder is only read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from autointerp.__main__ import main
from autointerp.tables import read_table
from autointerp.toy.matching import FoundDirections, Truth, cosines, f1_of, recovery_rows
from autointerp.toy.toy_figures import FIGURES
from autointerp.toy.toy_study import ToyStudy, dump_toy_study, load_toy_study
from tests.toy.test_toy_models import trained

STUDY = """
[sweep]
densities = [1.0, 0.03]
seeds = 2
steps = 60
[plateaus]
features = 8
hidden = 3
densities = [0.5, 0.1]
seeds = 2
steps = 60
[phases]
densities = [1.0, 0.1]
ratios = [0.1, 1.0]
seeds = 2
steps = 60
[recovery]
features = 8
width = 8
hidden = 5
density = 0.12
toys = 2
steps = 1000
batch = 256
architectures = ["standard", "gated"]
vectors = 16384
passes = 4
held_out = 2048
"""


def call(monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> int | str | None:
    monkeypatch.setattr("sys.argv", ["autointerp", "toy", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("toy")
    (made / "study.toml").write_text(STUDY, encoding="utf8")
    with pytest.MonkeyPatch.context() as patch:
        assert not call(patch, made / "study.toml", "--out", made / "out")
    return made


def test_saes_find_the_features_and_nulls_do_not(folder: Path) -> None:
    table = read_table(folder / "out" / "toy.parquet")
    rows = table[(table["part"] == "recovery") & (table["toy"] == "trained")]
    value = rows.set_index(["what", "measure"])["value"]
    for architecture in ("standard", "gated"):
        assert value[architecture, "recovered"] > 0.7
        assert value[architecture, "correlation"] > 0.7
        assert abs(value[architecture, "other"]) < 0.15
        assert value[architecture, "again"] > 0.85
        for null in ("random directions", "frozen decoder"):
            assert value[architecture, "recovered"] > value[null, "recovered"] + 0.4
            assert value[architecture, "cosine"] > value[null, "cosine"] + 0.1
    assert value["true directions", "recovered"] == 1
    assert set(rows["n"]) == {2}


def test_a_finished_folder_is_not_trained_again_and_redrawn_alike(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_training(*_: object, **__: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr("autointerp.toy.experiment.train_toys", no_training)
    out = folder / "out"
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert not call(monkeypatch, folder / "study.toml", "--out", out)
    assert not call(monkeypatch, "--redraw", "--out", out)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_report_and_figures_open(folder: Path) -> None:
    report = (folder / "out" / "report.md").read_text("utf8")
    for name in FIGURES:
        assert f"(figures/{name}.svg)" in report
        with Image.open(folder / "out" / "figures" / f"{name}.png") as picture:
            assert picture.width > 500
            assert len(picture.convert("RGB").getcolors(1 << 24) or []) > 10
        assert "</svg>" in (folder / "out" / "figures" / f"{name}.svg").read_text("utf8")
    assert "random directions" in report


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[recovery]\nwidht = 9", "unknown key 'recovery.widht' in the study: did you mean 'width'?"),
        ("sed = 1", "unknown key 'sed' in the study: did you mean 'seed'?"),
        ("[sweep]\ndensities = [1.5]", "study: sweep.densities.0 = 1.5: "),
        ("[recovery]\nk = 30", "study: k = 30 of 20 latents: lower k or raise width"),
        ("[sweep", "is not readable TOML"),
    ],
)
def test_a_study_that_cannot_be_used_is_refused_in_one_line(
    text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.toml").write_text(text, encoding="utf8")
    assert call(monkeypatch, tmp_path / "bad.toml", "--out", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_a_folder_without_results_cannot_be_redrawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "--redraw", "--out", tmp_path) == 2
    assert "holds no finished toy models" in capsys.readouterr().err


def test_the_example_is_a_study_and_a_study_is_read_back_as_written(tmp_path: Path) -> None:
    example = load_toy_study(Path(__file__).parents[2] / "examples" / "toy" / "superposition.toml")
    assert example == ToyStudy()
    (tmp_path / "again.toml").write_text(dump_toy_study(example), encoding="utf8")
    assert load_toy_study(tmp_path / "again.toml").identity == example.identity
    assert example.model_copy(update={"seed": 1}).identity != example.identity


def test_matching_is_one_to_one_and_scores_are_those_of_a_loop() -> None:
    rng = np.random.default_rng(0)
    weights = np.array([[1.0, 0.0, 0.1], [0.0, 1.0, 0.0]])
    values = (rng.random((500, 3)) * (rng.random((500, 3)) < 0.3)).astype(np.float32)
    truth = Truth.of(0, weights, values)
    activations = np.stack([values[:, 1], np.zeros(500)], axis=1)
    rows = list(
        recovery_rows(truth, FoundDirections("x", "trained", 0, np.array([[0.1, 1.0], [0.3, 1.0]]), activations))
    )
    assert [row.feature for row in rows] == [0, 1]
    assert [row.latent for row in rows] == [1, 0]
    assert [row.recovered for row in rows] == [False, True]
    assert rows[0].correlation is None
    assert rows[1].correlation == pytest.approx(1)
    assert rows[1].other == pytest.approx(np.corrcoef(values[:, 1], values[:, 0])[0, 1])
    assert rows[1].f1 == 1
    present, fires = np.array([True, True, False]), np.array([True, False, True])
    assert f1_of(present, fires) == 0.5
    slow = [[a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in weights.T] for a in truth.directions]
    np.testing.assert_allclose(cosines(truth.directions, weights.T), slow)


def test_one_model_trains_as_it_would_alone() -> None:
    """The batched program is held against a loop with autograd and Adam for a single model."""
    import torch

    from autointerp.toy.toy_models import ToySpec, start_of

    spec = ToySpec(0.5, (1.0, 0.5, 0.2), 3)
    made = trained([spec, ToySpec(0.1, (1.0, 1.0, 1.0), 4)], 2, 25)
    weights, bias = start_of([spec], 2, 7)[0].clone().requires_grad_(), torch.zeros(3, requires_grad=True)
    adam = torch.optim.Adam([weights, bias], lr=0.03)
    rate = torch.optim.lr_scheduler.OneCycleLR(adam, 0.03, total_steps=25, pct_start=0.05)
    generator = torch.Generator().manual_seed((8 * 1_000_003 + 3) % 2**63)
    for _ in range(25):
        values, chances = torch.rand(2, 256, 3, generator=generator)
        x = values * (chances < 0.5)
        made_of = torch.relu(x @ weights.T @ weights + bias)
        loss = sum(
            (spec.importance[i] * (x[:, i] - made_of[:, i]).square().mean() for i in range(3)), torch.tensor(0.0)
        )
        adam.zero_grad()
        loss.backward()
        adam.step()
        rate.step()
    torch.testing.assert_close(made.weights[0], weights.detach(), rtol=1e-3, atol=1e-4)
