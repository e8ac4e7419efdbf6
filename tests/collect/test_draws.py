"""What is left to chance is fair: which units, which random contexts, which contexts of a band."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from autointerp.collect.gather import Gatherer, Wanted
from autointerp.collect.stage import collect
from autointerp.contexts.sharing import read_exemplars
from autointerp.study_file import parse_study
from autointerp.tables import CANDIDATES, EVIDENCE, HELD_OUT, read_table
from tests.collect.doubles import CONTROLS, LENGTH, KnownSubject, Relu, write_contexts

LATENTS, STRATA = 300, 5


def p_of_strata(stratum: np.ndarray, drawn: np.ndarray) -> float:
    """Of a draw without replacement from `stratum` (one number per unit): chi-square, for a finite population."""
    whole, found = np.bincount(stratum), np.bincount(stratum[drawn], minlength=stratum.max() + 1)
    expected = whole * len(drawn) / len(stratum)
    left = (len(stratum) - 1) / (len(stratum) - len(drawn))
    return float(stats.chi2.sf(left * ((found - expected) ** 2 / expected).sum(), len(whole) - 1))


def strata_of(values: np.ndarray) -> np.ndarray:
    """Which fifth each value is in."""
    return np.asarray(np.argsort(np.argsort(values, kind="stable")) * STRATA // len(values))


@pytest.mark.parametrize("seed", [0, 1])
def test_units_are_drawn_evenly_whatever_their_number_and_their_density(tmp_path: Path, seed: int) -> None:
    """A third of 300 latents. All of them are read once more, so as to know those that were not drawn."""
    write_contexts(tmp_path, 120)

    def densities(features: int) -> dict[int, float]:
        study = parse_study({
            "scrambled": {"seeds": []},
            "seed": seed,
            "corpus": {"context": LENGTH},
            "subject": {"batch": 500},
            "units": {"features": features, "neurons": 0, "controls": [], "min_contexts": 2},
            "evidence": {"top": 2, "quantiles": 0, "random": 2, "random_only": 1, "held_out_random": 1},
        })  # fmt: skip
        collect(study, KnownSubject(), {"sae": (Relu(LATENTS), LATENTS)}, tmp_path)
        units = read_table(tmp_path / CANDIDATES)
        return dict(units.loc[units["status"] == "ok", ["index", "density"]].itertuples(index=False))

    known = densities(100)
    units = read_table(tmp_path / CANDIDATES)
    eligible = sorted(set(range(LATENTS)) - set(units.loc[units["status"] == "excluded", "index"]))
    every = densities(len(eligible))
    assert sorted(every) == eligible
    drawn = np.array([eligible.index(index) for index in known])
    assert len(set(drawn.tolist())) == 100
    values = np.array([every[index] for index in eligible])
    assert np.ptp(values) > 0.2
    assert p_of_strata(strata_of(values), drawn) > 0.001
    assert p_of_strata(strata_of(np.array(eligible)), drawn) > 0.001
    order = np.argsort(-values)
    assert p_of_strata(strata_of(values), order[:100]) < 1e-6, "the densest are found to be no fair draw"


UNITS, CONTEXTS = 400, 60


@pytest.fixture(scope="module")
def gathered() -> Gatherer:
    """Units with names of their own and the same activations: what differs is drawn."""
    generator = torch.Generator().manual_seed(0)
    peaks = 1 + torch.randperm(CONTEXTS, generator=generator).float()
    values = torch.zeros(CONTEXTS, 3, UNITS)
    values[:, 1, :] = peaks[:, None]
    gatherer = Gatherer([f"u{n}" for n in range(UNITS)], Wanted(4, 12, 2, 3), np.arange(CONTEXTS), seed=0)
    for first in range(0, CONTEXTS, 7):
        part = slice(first, first + 7)
        gatherer.add(values[part], torch.arange(CONTEXTS)[part], torch.zeros(CONTEXTS, 3, dtype=torch.int64)[part])
    return gatherer


@pytest.mark.parametrize(("kind", "each", "among"), [("random", 12, 60), ("quantile-0", 3, 28), ("quantile-1", 3, 28)])
def test_contexts_are_drawn_evenly(gathered: Gatherer, kind: str, each: int, among: int) -> None:
    """Of all contexts, or of those in a band; no context of a unit twice."""
    counts = np.zeros(CONTEXTS)
    for unit in range(UNITS):
        contexts = [e.context for e in gathered.exemplars(unit, "u") if e.kind == kind]
        assert len(set(contexts)) == len(contexts) == each
        counts[contexts] += 1
    possible = counts[counts > 0]
    assert len(possible) == among
    expected = UNITS * each / among
    without_replacement = (among - 1) / (among - each)
    statistic = without_replacement * ((possible - expected) ** 2 / expected).sum()
    assert stats.chi2.sf(statistic, among - 1) > 0.001


def test_a_full_reservoir_still_draws_evenly_from_all_active_contexts() -> None:
    """More active contexts than are kept: early and late ones have the same chance."""
    units, contexts = 150, 400
    gatherer = Gatherer([f"u{n}" for n in range(units)], Wanted(1, 1, 1, 4), np.arange(contexts), seed=1)
    for first in range(0, contexts, 50):
        ids = torch.arange(first, first + 50)
        values = torch.ones(50, 2, units) + (ids.flip(0)[:, None, None] % 50) / 100
        gatherer.add(values, ids, torch.zeros(50, 2, dtype=torch.int64))
    tenths = np.zeros(10)
    for unit in range(units):
        for exemplar in gatherer.exemplars(unit, "u"):
            if exemplar.kind == "quantile-0":
                tenths[exemplar.context // 40] += 1
    assert tenths.sum() == 4 * units
    assert stats.chisquare(tenths).pvalue > 0.001


def test_orientations_and_sparse_twins_draw_alike_and_other_units_and_splits_do_not(tmp_path: Path) -> None:
    write_contexts(tmp_path)
    study = parse_study({
        "scrambled": {"seeds": []},
        "corpus": {"context": LENGTH},
        "subject": {"batch": 500},
        "units": {"features": 4, "neurons": 4, "directions": 3, "min_contexts": 3, "controls": CONTROLS},
        "evidence": {"top": 4, "quantiles": 2, "per_quantile": 1, "random": 6, "random_only": 8},
    })  # fmt: skip
    collect(study, KnownSubject(), {"sae": (Relu(), 9)}, tmp_path)
    for name in (EVIDENCE, HELD_OUT):
        drawn: dict[str, set[tuple[int, ...]]] = {}
        for unit, rows in read_exemplars(tmp_path / name).items():
            base = unit.replace("-sparse", "").rstrip("+-")
            drawn.setdefault(base, set()).add(tuple(e.context for e in rows if e.kind == "random"))
        assert len(drawn) == 4 + 4 + 3
        assert all(len(draws) == 1 for draws in drawn.values())
        assert len(set.union(*drawn.values())) == len(drawn)
