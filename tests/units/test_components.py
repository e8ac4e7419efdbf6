"""Principal and independent components: what they find of known sources, and how they go through a run."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

import autointerp
from autointerp.compare.outcome import read_outcome
from autointerp.compare.words import number
from autointerp.contexts.reading import load_contexts, read_batches
from autointerp.errors import BadInput
from autointerp.plot.by_layer import layer_points
from autointerp.records import Split
from autointerp.report.components import section, weighted_mean
from autointerp.run.folder import Run
from autointerp.run.hashed import settings_of, units_of
from autointerp.run.manifest import read_manifest
from autointerp.run.verify import verify
from autointerp.study_file import load_study, parse_study
from autointerp.subject.forward import Subject, open_subject
from autointerp.tables import TRAIN
from autointerp.units.arms import plain
from autointerp.units.components import Components
from autointerp.units.independent import RESTARTS, fast_ica, fit_independent
from autointerp.units.interface import kind_of
from autointerp.units.principal import SecondMoments, fit_principal
from autointerp.units.registry import check_units
from tests.small import HOOK, small_settings, small_study

SOURCES = 6


def mixed(vectors: int = 6000) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of independent super-Gaussian sources, and the columns by which these were mixed."""
    rng = np.random.default_rng(3)
    sources = rng.laplace(size=(vectors, SOURCES)) ** 3
    columns = rng.standard_normal((SOURCES, SOURCES))
    columns /= np.linalg.norm(columns, axis=1, keepdims=True)
    return (sources / sources.std(axis=0)) @ columns + 5, columns


def best_cosines(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Of each true direction with the nearest one that was found."""
    found = found / np.linalg.norm(found, axis=1, keepdims=True)
    return np.asarray(np.abs(found @ true.T).max(axis=0))


def moments_of(vectors: np.ndarray) -> SecondMoments:
    moments = SecondMoments.of_width(vectors.shape[1])
    for part in np.array_split(vectors, 7):
        moments.add(torch.from_numpy(part))
    return moments


def test_ica_finds_known_sources_and_pca_does_not() -> None:
    vectors, columns = mixed()
    independent = fit_independent(vectors, SOURCES, 0, "h")
    principal, _ = fit_principal(moments_of(vectors))
    assert best_cosines(independent.components.written, columns).min() > 0.95
    assert best_cosines(principal.written, columns).min() < 0.9
    assert independent.converged.all()
    assert (independent.restarts == RESTARTS).all()
    assert independent.variance.sum() == pytest.approx(1)
    values = (vectors - independent.components.centre) @ independent.components.reads.T
    np.testing.assert_allclose(np.cov(values.T, ddof=0), np.eye(SOURCES), atol=1e-8)
    np.testing.assert_allclose(values @ independent.components.written, vectors - vectors.mean(axis=0), atol=1e-8)


def whitened(vectors: np.ndarray) -> np.ndarray:
    centred = vectors - vectors.mean(axis=0)
    values, columns = np.linalg.eigh(centred.T @ centred / len(centred))
    return np.asarray(centred @ columns / np.sqrt(values))


def nearest_orthogonal(rows: np.ndarray) -> np.ndarray:
    inner, turn = np.linalg.eigh(rows @ rows.T)
    return np.asarray(turn @ np.diag(inner**-0.5) @ turn.T @ rows)


def test_where_whole_steps_swing_for_ever_parts_of_them_arrive() -> None:
    """Whole steps by the formula, 400 of them, come to no end; what is found stays where it is under a small step."""
    rng = np.random.default_rng(0)
    white, start = whitened(rng.standard_normal((400, 8))), rng.standard_normal((8, 8))
    directions = nearest_orthogonal(start)
    for _ in range(400):
        values = np.tanh(white @ directions.T)
        moved = nearest_orthogonal(values.T @ white / 400 - (1 - values**2).mean(axis=0)[:, None] * directions)
        changes = 1 - np.abs((moved * directions).sum(axis=1))
        directions = moved
    assert changes.max() > 0.01
    found = fast_ica(white, start)
    assert found.converged.all()
    values = np.tanh(white @ found.directions.T)
    own = (values * (white @ found.directions.T)).mean(axis=0)
    gradient = values.T @ white / 400 - own[:, None] * found.directions
    newton = gradient / ((1 - values**2).mean(axis=0) - own)[:, None]
    again = nearest_orthogonal(found.directions - 0.25 * newton)
    assert (1 - np.abs((again * found.directions).sum(axis=1))).max() < 1e-5


def test_of_gaussian_vectors_there_is_nothing_to_find_again() -> None:
    vectors = np.random.default_rng(0).standard_normal((3000, 12))
    fit = fit_independent(vectors, 3, 0, "h")
    assert (fit.restarts < RESTARTS).any()
    assert len(fit.components.reads) == fit.converged.sum()
    assert not (np.diff(fit.converged.astype(int)) > 0).any(), "those that converged come first"
    kept = fit.variance[fit.converged]
    assert (np.diff(kept) <= 0).all()


def test_what_has_not_converged_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autointerp.units.independent._ITERATIONS", 2)
    fit = fit_independent(np.random.default_rng(0).standard_normal((500, 8)), 2, 0, "h")
    assert not fit.converged.any()
    assert fit.components.reads.shape == (0, 8)


def test_it_is_whitened_to_four_times_the_wanted_number() -> None:
    vectors = np.random.default_rng(1).standard_normal((800, 12)) * np.arange(12, 0, -1)
    fit = fit_independent(vectors, 2, 0, "h")
    assert len(fit.variance) == 8
    variances = np.sort(np.linalg.eigvalsh(np.cov(vectors.T, ddof=0)))[::-1]
    assert fit.variance.sum() == pytest.approx(variances[:8].sum() / variances.sum())


def test_a_step_is_the_formula_of_fast_ica() -> None:
    """The slow twin: sums over single vectors and directions, and an inverse square root of a matrix."""
    vectors, _ = mixed(60)
    white = whitened(vectors)
    directions = np.linalg.qr(np.random.default_rng(4).standard_normal((SOURCES, SOURCES)))[0]
    slow = directions.copy()
    for _ in range(200):
        moved = np.zeros_like(slow)
        for row, direction in enumerate(slow):
            for x in white:
                y = float(np.tanh(direction @ x))
                moved[row] += (x * y - (1 - y**2) * direction) / 60
        moved = nearest_orthogonal(moved)
        still = 1 - np.abs(np.sum(moved * slow, axis=1))
        slow = moved
        if (still < 1e-4).all():
            break
    found = fast_ica(white, directions)
    np.testing.assert_allclose(found.directions, slow, atol=1e-9)
    assert found.converged.tolist() == (still < 1e-4).tolist()


def test_latents_are_both_orientations() -> None:
    rng = np.random.default_rng(5)
    made = Components(rng.standard_normal(4), rng.standard_normal((3, 4)), rng.standard_normal((3, 4)))
    x = torch.from_numpy(rng.standard_normal((7, 4)))
    values = (x.numpy() - made.centre) @ made.reads.T
    codes = made.encode(x).numpy()
    np.testing.assert_allclose(codes[:, 0::2], np.maximum(values, 0))
    np.testing.assert_allclose(codes[:, 1::2], np.maximum(-values, 0))
    np.testing.assert_allclose(made.W_dec[1::2].numpy(), -made.written, rtol=1e-6)


SETTINGS = (
    "units.principal=4", "units.independent=3", "units.directions=0", "compare.derangements=2",
    "units.controls=['principal-sparse','independent-sparse']",
)  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("components")
    return autointerp.run(small_study(folder, *SETTINGS), folder / "run")


def trained_on(run: Run, subject: Subject) -> np.ndarray:
    batches = read_batches(run.folder / TRAIN, Split.TRAIN, 8)
    return np.concatenate([subject.activations(b.tokens)[HOOK].flatten(0, 1).numpy() for b in batches])


@pytest.mark.pipeline
def test_they_are_arms_of_a_run_and_the_fit_is_that_of_the_training_split(run: Run) -> None:
    assert [check.name for check in verify(run.folder) if not check.ok] == []
    units = run.table("units")
    sampled = units[units["status"] == "ok"].groupby("arm").size().to_dict()
    assert sampled == {
        "feature": 5, "neuron": 4, "principal": 4, "principal-sparse": 4, "independent": 3, "independent-sparse": 3
    }  # fmt: skip
    vectors = trained_on(run, open_subject(run.study.subject)).astype(np.float64)
    variances = np.sort(np.linalg.eigvalsh(np.cov(vectors.T, ddof=0)))[::-1]
    table = run.table("components")
    principal = table[table["kind"] == "principal"]
    np.testing.assert_allclose(principal["variance"], (variances / variances.sum())[: len(principal)], rtol=1e-6)
    assert set(principal["vectors"]) == {len(vectors)}
    independent = table[table["kind"] == "independent"]
    assert len(independent) == 12
    assert independent["restarts"].between(1, RESTARTS).all()


@pytest.mark.pipeline
def test_their_truth_is_the_signed_projection(run: Run) -> None:
    subject, evidence = open_subject(run.study.subject), run.table("evidence")
    vectors = trained_on(run, subject).astype(np.float64)
    _, columns = np.linalg.eigh(np.cov(vectors.T, ddof=0))
    units = run.table("units")
    drawn = units[(units["arm"] == "principal") & (units["status"] == "ok")]
    for unit, index, sign in zip(drawn["unit"], drawn["index"], drawn["sign"], strict=True):
        axis = columns[:, -1 - index] * np.sign(columns[:, -1 - index][np.abs(columns[:, -1 - index]).argmax()])
        rows = evidence[evidence["unit"] == unit]
        contexts = load_contexts(run.folder / "contexts.parquet", rows["context"])
        read = subject.activations(np.stack([contexts[int(c)].tokens for c in rows["context"]]))[HOOK].numpy()
        truth = np.maximum(sign * ((read - vectors.mean(axis=0)) @ axis), 0)
        np.testing.assert_allclose(np.stack(rows["activations"].tolist()), truth, atol=1e-4)
        assert unit == f"principal/{index}{'+' if sign > 0 else '-'}"


@pytest.mark.pipeline
def test_the_fit_is_made_once_and_what_changes_it_makes_it_anew(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    before = read_manifest(run.folder)["decompose"]
    autointerp.run(run.study, run.folder, until="collect")
    assert "..." not in capsys.readouterr().err
    assert read_manifest(run.folder)["decompose"] == before
    assert set(before.outputs) == {"components.parquet", "work/components"}
    assert before.bulk == ("work/components",)


def test_studies_without_them_hash_as_before(tmp_path: Path) -> None:
    study = small_study(tmp_path)
    assert {"principal", "independent"} & set(units_of(settings_of(study))) == set()
    assert units_of(settings_of(small_study(tmp_path, "units.principal=4")))["principal"] == 4


def test_without_a_training_split_they_are_refused_before_anything_runs() -> None:
    study = parse_study({
        "scrambled": {"seeds": []},
        "units": {"independent": 4}, "corpus": {"train": 0, "evidence": 0.6, "held_out": 0.4},
        "sae": [{"checkpoint": "x"}],
    })  # fmt: skip
    with pytest.raises(BadInput, match=r"fitted to the training split, and corpus\.train = 0"):
        check_units(study)


@pytest.mark.pipeline
def test_the_report_says_how_stable_they_are_and_weights_them_by_variance(run: Run) -> None:
    outcome, table = read_outcome(run.folder), run.table("components")
    text = section(outcome)
    assert text in (run.folder / "report.md").read_text("utf8")
    ica = table[table["kind"] == "independent"]
    stable = int((ica["kept"] & (ica["restarts"] == RESTARTS)).sum())
    assert f"{stable} of {int(ica['kept'].sum())} components were found in all 3 restarts" in text
    assert f"{int((~ica['kept']).sum())} of 12 did not converge and were dropped" in text
    scores, units = run.table("scores"), run.table("units").set_index("unit")
    share = table.set_index(["kind", "component"])["variance"]
    for arm in ("principal", "independent-sparse"):
        own = scores[
            (scores["arm"] == arm) & (scores["pairing"] == "own") & (scores["scorer"] == "lift")
            & (scores["metric"] == "pearson") & (scores["slice"] == "top-and-random") & (scores["status"] == "ok")
        ]  # fmt: skip
        weights = [share[arm.removesuffix("-sparse"), units["index"][unit]] for unit in own["unit"]]
        expected = np.average(own["value"], weights=weights)
        assert weighted_mean(outcome, table, arm).value == pytest.approx(expected)
        (line,) = [line for line in text.splitlines() if line.startswith(f"| {plain(arm)} |")]
        assert line.split("|")[5].split()[0] == number(expected)


@pytest.mark.pipeline
def test_where_too_few_converge_it_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autointerp.units.independent._TOLERANCE", -1.0)
    with pytest.raises(
        BadInput, match=rf"of 12 independent components of {HOOK} 0 converged, and units.independent = 3"
    ):
        autointerp.run(small_study(tmp_path, *SETTINGS), tmp_path / "run", until="decompose")


EXAMPLE = Path(__file__).parents[2] / "examples" / "cunningham.toml"
LAYERS = ("layers.0.resid", "layers.1.resid", "layers.1.mlp.out")


@pytest.mark.pipeline
def test_the_example_study_has_five_arms_at_every_layer_and_a_figure_of_them(tmp_path: Path) -> None:
    """As it stands but for the sizes, and the model and its hooks."""
    small = small_settings(tmp_path)
    model = small["subject"]["model"]
    places = [f"sae.{n}.{key}" for n, hook in enumerate(LAYERS) for key in (
        f"hook='{hook}'", "train.width=24", "train.k=4", "train.batch=128",
    )]  # fmt: skip
    made = load_study(EXAMPLE, [
        f"subject.model='{model}'", f"subject.hooks={list(LAYERS)}", *places,
        *(f"corpus.{key}={json.dumps(value)}" for key, value in small["corpus"].items()),
        *(f"evidence.{key}={value}" for key, value in small["evidence"].items()),
        *(f"units.{kind}=3" for kind in ("features", "neurons", "directions", "principal")), "units.independent=3",
        f"llm.explainer.model='{model}'", f"llm.simulator.model='{model}'", "units.min_contexts=4",
        "explain.methods=['exemplars']", "explain.candidates=4", "simulate.method='literal'", "compare.resamples=1000",
        "compare.derangements=2", "simulate.lookup=false", "simulate.literal=false", "simulate.both_kinds=false",
        "score.slices=['top-and-random']",
    ])  # fmt: skip
    run = autointerp.run(made, tmp_path / "run")
    points = layer_points(read_outcome(run.folder))
    kinds = ("feature", "neuron", "direction", "principal", "independent")
    found = Counter((point.hook, kind_of(point.row.arm)) for point in points)
    assert found == {(hook, kind): 1 for hook in LAYERS for kind in kinds}
    assert (run.folder / "figures" / "layers.png").is_file()
    assert "(figures/layers.png)" in (run.folder / "report.md").read_text("utf8")
    against = run.table("comparison").query("baseline != ''")["baseline"]
    assert {f"{kind}:{hook}" for hook in LAYERS for kind in kinds[1:]} <= set(against), "each of its own layer"
    for name in ("shuffled.parquet", "by_kind.parquet"):
        (run.folder / name).unlink(missing_ok=True)
    assert [check.name for check in verify(run.folder) if not check.ok] == [], "a published folder may leave them out"
