"""Own units against those of scrambled subjects: the estimator's coverage, and what a whole run says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from transformers import AutoConfig, AutoModelForCausalLM

import autointerp
from autointerp.compare.outcome import Outcome, read_outcome
from autointerp.compare.scrambled import (
    BASELINE,
    DIFFERENCE,
    FEATURES,
    OVER_REPLICATES,
    Draw,
    beats,
    hardest,
    hold_replicates_against_scrambled,
    welch,
)
from autointerp.compare.words import with_interval
from autointerp.report.scrambled import conditional, peak_entropy, section, sentences
from autointerp.run.replicates import redrawn
from autointerp.run.verify import verify
from autointerp.scrambled_rows import ScrambledRow
from autointerp.simulate.lookup import LOOKUP
from autointerp.study_file import parse_study
from autointerp.tables import read_arrow, read_table, write_table
from autointerp.units.arms import plain
from autointerp.units.scrambled import ScrambledFeatures, ScrambledNeurons, scrambled_arm
from tests.small import small_settings, small_study
from tests.tiny import tiny_folder

UNITS, OWN_UNITS = 24, 64


def draws(rng: np.random.Generator, count: int, units: int, tau: float, means: tuple[float, ...]) -> list[Draw]:
    """Skewed scores of the spread of ours (0.15 and 0.2) whose first arm moves from draw to draw."""
    found = []
    for _ in range(count):
        arms = []
        for place, mean in enumerate(means):
            spread = 0.2 if place else 0.15
            moved = mean + (0 if place else tau * rng.standard_normal())
            arms.append(moved + spread * (rng.gamma(4, size=units) - 4) / 2)
        found.append(tuple(arms))
    return found


@pytest.mark.parametrize(("tau", "seeds"), [(0.0, 3), (0.0, 5), (0.04, 3), (0.04, 5)])
@pytest.mark.parametrize("means", [(0.3,), (0.5, 0.3)])
def test_the_interval_covers_and_a_t_over_the_seeds_alone_does_not(
    tau: float, seeds: int, means: tuple[float, ...]
) -> None:
    rng = np.random.default_rng(7)
    truth = (means[0] - means[1]) if len(means) > 1 else means[0]
    covered, seeds_alone, repetitions = 0, 0, 1500
    for _ in range(repetitions):
        own = draws(rng, 1, OWN_UNITS, 0.0, tuple(2 * mean for mean in means))
        scrambled = draws(rng, seeds, UNITS, tau, means)
        found = welch(own, scrambled, 0.95)
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= truth <= found.high
        each = [_contrast(own[0]) - _contrast(draw) for draw in scrambled]
        reach = stats.t.ppf(0.975, seeds - 1) * np.std(each, ddof=1) / np.sqrt(seeds)
        seeds_alone += abs(np.mean(each) - truth) <= reach
    assert 0.93 <= covered / repetitions <= 0.975
    if tau == 0 and seeds == 5:  # the subject's own mean is the same in all of them
        assert seeds_alone / repetitions < 0.9


def _contrast(draw: Draw) -> float:
    return float(draw[0].mean() - (draw[1].mean() if len(draw) > 1 else 0))


def test_of_two_samples_it_is_welch_s_t() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.normal(0.4, 0.2, 20), rng.normal(0.3, 0.1, 9)
    found = welch([(first,)], [(second,)], 0.9)
    theirs = stats.ttest_ind(first, second, equal_var=False)
    interval = theirs.confidence_interval(0.9)
    assert (found.low, found.high, found.p) == pytest.approx((interval.low, interval.high, theirs.pvalue))


def test_of_five_seeds_it_is_welch_s_t_of_units_against_seeds() -> None:
    rng = np.random.default_rng(2)
    first = rng.normal(0.4, 0.2, 20)
    others: list[Draw] = [(rng.normal(0.3, 0.1, 9),) for _ in range(5)]
    found = welch([(first,)], others, 0.95)
    theirs = stats.ttest_ind(first, [values.mean() for (values,) in others], equal_var=False)
    assert found.p == pytest.approx(theirs.pvalue)


def test_what_has_no_interval_says_why() -> None:
    one, two = np.array([0.5]), np.array([0.4, 0.6])
    assert welch([(one,)], [(two,)], 0.95).note == "one unit alone has no variance"
    assert welch([(two[:0],)], [(two,)], 0.95).value is None
    same = welch([(np.full(4, 0.5),)], [(np.full(3, 0.25),)], 0.95)
    assert (same.value, same.low, same.note) == (0.25, None, "nothing varies")


@pytest.mark.parametrize(
    ("redraw", "replicates", "said"),
    [("explain", 3, "over replicates, of 1 scrambled subject"), ("sae", 3, ""), ("sae", 2, "over units alone: 2 sc")],
)
def test_over_replicates_the_note_says_how_many_scrambled_subjects_there_were(
    redraw: str, replicates: int, said: str, tmp_path: Path
) -> None:
    study = parse_study({"compare": {"replicates": replicates, "redraw": [redraw]}})
    rng, runs = np.random.default_rng(3), []
    for number in range(replicates):
        own, folder = redrawn(study, number) if number else study, tmp_path / str(number)
        (subject,) = (each.name for each in own.scrambled_subjects)
        arms = ["feature", "neuron", *(scrambled_arm(k.name, subject, "sae", False) for k in KINDS)]
        rows = [
            {
                "unit": f"{arm}/{unit}", "arm": arm, "pairing": "own", "explainer": "exemplars", "scorer": "reader",
                "metric": "pearson", "slice": "top-and-random", "replicate": 0, "value": float(rng.random()),
                "chance": 0.0, "n_tokens": 9, "n_contexts": 9, "status": "ok", "reason": "",
            }
            for arm in arms for unit in range(5)
        ]  # fmt: skip
        write_table("scores", folder / "scores.parquet", rows)
        runs.append((own, folder))
    hold_replicates_against_scrambled(runs)
    found = read_arrow(tmp_path / "0" / OVER_REPLICATES).to_pylist()
    (row,) = (row for row in found if row["measure"] == FEATURES and not row["subject"])
    assert row["note"] == said if not said or redraw == "explain" else row["note"].startswith(said)
    assert row["subjects"] == (1 if redraw == "explain" else replicates)
    assert row["n"] == row["n_scrambled"] == 5 * replicates


KINDS = (ScrambledFeatures, ScrambledNeurons)


def row(scheme: str, scrambled: float, low: float, p: float, subject: str = "") -> ScrambledRow:
    return ScrambledRow(
        "reader", "pearson", "top-and-random", "feature", "neuron", scheme, subject, FEATURES, 0.5, scrambled,
        0.5 - scrambled, low, 1 - low, p, 3, 20, 60,
    )  # fmt: skip


def test_the_hardest_scheme_decides() -> None:
    easy, hard = row("init", 0.03, 0.4, 0.0001), row("permuted", 0.45, -0.01, 0.2)
    assert hardest([easy, hard, row("permuted", 0.6, -0.3, 0.5, "permuted-0")]) is hard
    assert beats(easy, 0.95)
    assert not beats(hard, 0.95)
    assert not beats(replace(hard, low=0.01), 0.95), "interval and test must agree"
    assert hardest([]) is None


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """The tiny model has random weights: it is itself another draw of its initialiser."""
    return run_of(
        tmp_path_factory.mktemp("scrambled"), "scrambled.schemes=['init','permuted']", "units.directions=0",
        "units.controls=[]",
    )  # fmt: skip


def run_of(folder: Path, *overrides: str) -> Outcome:
    study = small_study(
        folder, "scrambled.seeds=[0,1,2]", "scrambled.features=5", "scrambled.neurons=4", "compare.derangements=2",
        "scrambled.derangements=1",
        *overrides,
    )  # fmt: skip
    return read_outcome(autointerp.run(study, folder / "run").folder)


def rows_of(outcome: Outcome, scheme: str, measure: str) -> Sequence[ScrambledRow]:
    found = outcome.against_scrambled(outcome.headline, "feature")
    return [row for row in found if row.scheme == scheme and row.measure == measure]


@pytest.mark.pipeline
def test_their_units_are_arms_of_the_run(outcome: Outcome) -> None:
    assert [check.name for check in verify(outcome.run_dir) if not check.ok] == []
    units = outcome.units[outcome.units["status"] != "excluded"]
    names = {f"{scheme}-{seed}" for scheme in ("init", "permuted") for seed in (0, 1, 2)}
    assert set(units["subject"]) == {"", *names}
    for name in names:
        sizes = units[units["subject"] == name].groupby("arm").size().to_dict()
        assert sizes == {f"scrambled-feature:{name}": 5, f"scrambled-neuron:{name}": 4}
    assert set(outcome.scores["subject"]) == {"", *names}
    assert {row.subject for row in outcome.rows if row.arm.startswith("scrambled")} == names
    assert {row.subject for row in outcome.rows if not row.arm.startswith("scrambled")} == {""}
    assert not any(row.baseline.startswith("scrambled") for row in outcome.rows), "their own table compares them"
    shuffled = read_table(outcome.run_dir / "shuffled.parquet")
    for unit, of_unit in shuffled.groupby("unit"):
        assert set(of_unit["derangement"]) == ({0} if str(unit).startswith("scrambled") else {0, 1})
    assert "2 seeded derangements, 1 in scrambled subjects" in (outcome.run_dir / "report.md").read_text("utf8")


@pytest.mark.pipeline
def test_another_initialisation_is_not_told_from_this_one(outcome: Outcome) -> None:
    (all_seeds,) = (row for row in rows_of(outcome, "init", DIFFERENCE) if not row.subject)
    assert all_seeds.subjects == 3
    assert all_seeds.low is not None
    assert all_seeds.high is not None
    assert all_seeds.low < 0 < all_seeds.high
    own = outcome.scores[(outcome.scores["pairing"] == "own") & (outcome.scores["scorer"] == outcome.headline.scorer)]
    own = own[(own["metric"] == "pearson") & (own["slice"] == outcome.headline.slice) & (own["status"] == "ok")]
    means = own.groupby("arm")["value"].mean()
    there = np.mean([means[f"scrambled-feature:init-{n}"] - means[f"scrambled-neuron:init-{n}"] for n in range(3)])
    assert all_seeds.difference == pytest.approx(means["feature"] - means["neuron"] - there)


@pytest.mark.pipeline
def test_the_report_says_it_and_its_claim_depends_on_it(outcome: Outcome) -> None:
    report = (outcome.run_dir / "report.md").read_text("utf8")
    assert "## Against scrambled weights" in report
    (line,) = sentences(outcome)
    assert line.startswith("Held against a subject with scrambled weights (")
    assert line.replace("_", r"\_") in report
    against = outcome.against_baseline(outcome.headline, "feature")
    assert against is not None
    told = conditional(outcome, against, "SAE features are more interpretable")
    worst = hardest(outcome.against_scrambled(outcome.headline, "feature"))
    assert worst is not None
    assert not beats(worst, 0.95)
    assert told.startswith("not shown to be more interpretable")


@pytest.mark.pipeline
@pytest.mark.parametrize(("low", "told"), [(-0.1, "is not shown to be larger than"), (0.02, "is larger than")])
def test_the_claim_says_whether_the_lead_is_larger_than_there(
    outcome: Outcome, monkeypatch: pytest.MonkeyPatch, low: float, told: str
) -> None:
    """Features may beat those of a scrambled subject, whose features lead its neurons by more all the same."""
    against = outcome.against_baseline(outcome.headline, "feature")
    assert against is not None
    set_to: dict[str, dict[str, Any]] = {
        FEATURES: {"difference": 0.2, "low": 0.2, "high": 0.2, "p": 0.001},
        DIFFERENCE: {"own": 0.3, "scrambled": 0.25, "difference": 0.05, "low": low, "high": 0.15, "p": 0.03},
    }
    rows = [
        replace(row, **set_to.get(row.measure, {})) for row in outcome.against_scrambled(outcome.headline, "feature")
    ]
    monkeypatch.setattr(Outcome, "against_scrambled", lambda *arguments: rows)
    claim = conditional(outcome, against, "SAE features are more interpretable")
    worst = hardest(rows)
    assert worst is not None
    assert claim == (
        f"SAE features are more interpretable; their lead over neurons {told} in a subject with scrambled weights "
        f"({worst.scheme}): 0.30 here, 0.25 there, {with_interval(0.05, low, 0.15)}, p = 0.030"
    )


@pytest.mark.pipeline
def test_the_section_has_every_number_in_its_column(outcome: Outcome) -> None:
    text = section(outcome)
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if "`" in line]
    rows = outcome.against_scrambled(outcome.headline, "feature")
    assert len(rows) == 2 * 3 * 4, "two schemes, three measures; each seed, and all together"
    told = {FEATURES: "SAE features", BASELINE: "neurons", DIFFERENCE: "SAE features minus neurons"}

    def shown(value: float | None) -> str:
        assert value is not None
        return f"{value:.2f}".replace("-0.00", "0.00").replace("-", "\u2212")

    for row in rows:
        expected = [
            "top and random contexts", f"`{row.subject or row.scheme}`", told[row.measure], shown(row.own),
            shown(row.scrambled), f"{shown(row.difference)} [{shown(row.low)}, {shown(row.high)}]",
        ]  # fmt: skip
        (line,) = [line for line in lines if line[:3] == expected[:3]]
        assert line[:6] == expected
        assert line[7] == f"{row.n} v {row.n_scrambled}"
    entropy = peak_entropy(outcome)
    for arm in ("feature", "neuron", "scrambled-feature:permuted-1", "scrambled-neuron:init-2"):
        table = outcome.row(replace(outcome.headline, scorer=LOOKUP), arm)
        assert table is not None
        assert f"| {plain(arm)} | {with_interval(table.mean, table.low, table.high)} | {entropy[arm]:.2f} |" in text


@pytest.mark.pipeline
def test_the_entropy_is_that_of_the_peaks_of_top_evidence(outcome: Outcome) -> None:
    of_arm: dict[str, list[float]] = {}
    arms = dict(zip(outcome.units["unit"], outcome.units["arm"], strict=True))
    contexts = read_table(outcome.run_dir / "contexts.parquet").to_dict("records")
    evidence = {row["context"]: row["tokens"] for row in contexts if row["split"] == "evidence"}
    of_unit: dict[str, list[int]] = {}
    for row in read_table(outcome.run_dir / "evidence.parquet").to_dict("records"):
        if row["kind"] == "top" and row["context"] in evidence:
            of_unit.setdefault(row["unit"], []).append(evidence[row["context"]][int(np.argmax(row["activations"]))])
    for unit, peaks in of_unit.items():
        counts = np.unique(peaks, return_counts=True)[1]
        of_arm.setdefault(arms[unit], []).append(float(stats.entropy(counts, base=2)))
    assert peak_entropy(outcome) == pytest.approx({arm: np.mean(values) for arm, values in of_arm.items()})
    assert max(peak_entropy(outcome).values()) > 0


@pytest.mark.pipeline
def test_without_scrambled_subjects_nothing_is_called_more_interpretable(tmp_path: Path) -> None:
    study = small_study(tmp_path, "compare.derangements=2", "units.directions=0", "units.controls=[]")
    run = autointerp.run(study, tmp_path / "run", until="compare").folder
    found = read_outcome(run)
    assert not (run / "scrambled.parquet").exists()
    assert list(sentences(found)) == []
    against = found.against_baseline(found.headline, "feature")
    assert against is not None
    assert conditional(found, against, "as it is").startswith("SAE features score higher; that is not called more")


def one_hot_model(folder: Path) -> Path:
    """The tiny model with as many dimensions as tokens, and for embeddings the unit matrix."""
    path = tiny_folder(folder)
    config = AutoConfig.from_pretrained(path)
    config.hidden_size = config.vocab_size - config.vocab_size % config.num_attention_heads
    config.head_dim = config.hidden_size // config.num_attention_heads
    config.tie_word_embeddings = False
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        model.get_input_embeddings().weight.copy_(torch.eye(config.vocab_size, config.hidden_size))
    model.save_pretrained(path)
    return path


@pytest.mark.pipeline
def test_where_the_layer_is_the_token_scrambled_units_reach_the_ceiling_and_nothing_is_claimed(tmp_path: Path) -> None:
    """Embeddings are kept, so that permuting what comes after them changes nothing: no claim can be about training."""
    settings = small_settings(tmp_path)
    one_hot_model(tmp_path)
    hook = "model.embed_tokens:out"
    settings["subject"]["hooks"] = [hook]
    settings["sae"] = [{"hook": hook, "train": {"width": 64, "k": 1, "passes": 12, "batch": 128, "lr": 0.01}}]
    settings["units"] |= {"controls": [], "min_contexts": 6, "features": 6, "neurons": 6}
    settings["scrambled"] = {"seeds": [0, 1, 2], "features": 6, "neurons": 6}
    settings["explain"] |= {"methods": ["exemplars"]}
    settings["simulate"] |= {"method": "literal"}
    outcome = read_outcome(autointerp.run(parse_study(settings), tmp_path / "run", until="compare").folder)
    table = replace(outcome.headline, scorer=LOOKUP)
    for arm in outcome.arms:
        ceiling, found = outcome.row(table, arm), outcome.row(outcome.headline, arm)
        assert ceiling is not None
        assert found is not None
        assert ceiling.mean == pytest.approx(1, abs=1e-3), "the token says all"
        assert found.mean is not None
        # Neurons of tokens that are a part of a word are named by no word.
        assert found.mean > (0.95 if "feature" in arm else 0.85), arm
    for measure in (FEATURES, DIFFERENCE):
        (row_of_all,) = (r for r in rows_of(outcome, "permuted", measure) if not r.subject)
        assert row_of_all.difference == pytest.approx(0, abs=0.15)
        assert not beats(row_of_all, 0.95)
    entropy = peak_entropy(outcome)
    assert entropy["neuron"] == entropy["scrambled-neuron:permuted-0"] == 0
