from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autointerp.collect.gather import Gatherer, Wanted
from autointerp.collect.survey import TOP, Surveyor, TopContexts
from autointerp.collect.token_table import TokenSums, read_token_tables, write_token_tables


def _data(seed: int, contexts: int = 60, units: int = 5) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Sparse non-negative values with ties, in contexts of 7 tokens."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(contexts, 7, units, generator=generator).sub_(1.2).clamp_min_(0).mul_(8).round_().div_(8)
    values[:, :, 0] = 0
    tokens = torch.randint(0, 9, (contexts, 7), generator=generator)
    return values, torch.arange(contexts) * 3 + 1, tokens


def _feed(adder: Surveyor | Gatherer, data: tuple[torch.Tensor, ...], size: int) -> None:
    values, ids, tokens = data
    for start in range(0, len(ids), size):
        part = slice(start, start + size)
        adder.add(values[part], ids[part], tokens[part])


@pytest.mark.parametrize("size", [1, 7, 60])
def test_survey_equals_plain_loops(size: int) -> None:
    data = values, _, tokens = _data(0)
    surveyor = Surveyor(5)
    _feed(surveyor, data, size)
    survey = surveyor.finish()
    for unit in range(5):
        v = values[:, :, unit].numpy()
        assert survey.density[unit] == (v > 0).mean()
        assert survey.contexts[unit] == (v > 0).any(axis=1).sum()
        assert survey.peak[unit] == v.max()
        order = sorted((c for c in range(60) if v[c].max() > 0), key=lambda c: (-v[c].max(), c))[:TOP]
        peaks = [int(tokens[c, v[c].argmax()]) for c in order]
        share = Counter(peaks).most_common(1)[0][1] / len(peaks) if peaks else 0.0
        assert survey.single_token[unit] == pytest.approx(share)


def test_the_share_of_one_token_is_of_the_contexts_that_a_unit_is_active_in() -> None:
    """Of 24 contexts; a unit that is active in fewer than twenty is not held against twenty."""
    values, tokens = torch.zeros(24, 3, 4), torch.arange(72).reshape(24, 3)
    tokens[:, 1] = 1000  # the same token in the middle of every context
    values[:5, 1, 0] = 1.0  # five contexts, all of them on it: 5 of 5
    values[:3, 1, 1], values[3, 2, 1] = 2.0, 3.0  # three on it, one with the highest peak elsewhere: 3 of 4
    values[:, 1, 2] = 1.0
    values[:6, 0, 2] = 4.0  # the twenty strongest of 24 are the six that peak elsewhere and 14: 14 of 20
    surveyor = Surveyor(4)
    _feed(surveyor, (values, torch.arange(24), tokens), 7)
    survey = surveyor.finish()
    assert survey.single_token.tolist() == [1.0, 0.75, 0.7, 0.0]
    assert survey.contexts.tolist() == [5, 4, 24, 0]


@pytest.mark.parametrize("density", [0.0, 0.003, 0.05, 0.2])
def test_thresholds_meet_the_density(density: float) -> None:
    values = torch.rand(200, 10, 3, generator=torch.Generator().manual_seed(1)) ** 4 * torch.tensor([1.0, 1e-3, 1e3])
    surveyor = Surveyor(3, histogram=True)
    _feed(surveyor, (values, torch.arange(200), torch.zeros(200, 10, dtype=torch.int64)), 33)
    thresholds = surveyor.thresholds(np.full(3, density))
    reached = (values.numpy() > thresholds).mean(axis=(0, 1))
    np.testing.assert_allclose(reached, density, atol=0.006)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 60))
def test_what_is_gathered_does_not_depend_on_the_batches(seed: int, size: int) -> None:
    data = _data(seed)
    whole, parts = (_gatherer() for _ in range(2))
    _feed(whole, data, 60)
    _feed(parts, data, size)
    for unit in range(5):
        for a, b in zip(whole.exemplars(unit, "u"), parts.exemplars(unit, "u"), strict=True):
            assert (a.context, a.kind, a.weight) == (b.context, b.kind, b.weight)
            np.testing.assert_array_equal(a.activations, b.activations)


def _gatherer(wanted: Wanted = Wanted(top=4, random=6, quantiles=3, per_quantile=2)) -> Gatherer:  # noqa: B008
    return Gatherer(["a", "b", "c", "d", "a"], wanted, np.arange(60) * 3 + 1, seed=5)


def test_tops_are_the_tops_and_randoms_are_blind() -> None:
    data = values, ids, _ = _data(2)
    gatherer = _gatherer()
    _feed(gatherer, data, 8)
    places = {int(c): row for row, c in enumerate(ids)}
    for unit in range(5):
        rows = gatherer.exemplars(unit, "u")
        v = values[:, :, unit].numpy()
        expected = sorted((c for c in range(60) if v[c].max() > 0), key=lambda c: (-v[c].max(), c))[:4]
        assert [places[e.context] for e in rows if e.kind == "top"] == expected
        for row in rows:
            np.testing.assert_array_equal(row.activations, v[places[row.context]])
        randoms = [e for e in rows if e.kind == "random"]
        assert len({e.context for e in randoms}) == 6
        assert all(e.weight == 10 for e in randoms)
    again = _gatherer()
    _feed(again, (torch.zeros_like(values), *data[1:]), 8)
    drawn = [[e.context for e in g.exemplars(1, "u") if e.kind == "random"] for g in (gatherer, again)]
    assert drawn[0] == drawn[1]
    first, last = ([e.context for e in gatherer.exemplars(u, "u") if e.kind == "random"] for u in (0, 4))
    assert first == last


def test_bands_rise_and_leave_out_the_tops() -> None:
    data = values, ids, _ = _data(3, contexts=300)
    gatherer = Gatherer(["a"] * 5, Wanted(4, 1, 3, 2), np.asarray(ids), seed=1)
    _feed(gatherer, data, 32)
    rows = gatherer.exemplars(2, "u")
    tops = {e.context for e in rows if e.kind == "top"}
    bands = [[float(e.activations.max()) for e in rows if e.kind == f"quantile-{b}"] for b in range(3)]
    assert [len(b) for b in bands] == [2, 2, 2]
    assert max(bands[0]) <= min(bands[1]) <= max(bands[1]) <= min(bands[2])
    assert not tops & {e.context for e in rows if e.kind.startswith("quantile")}
    others = int((values[:, :, 2] > 0).any(dim=1).sum()) - 4
    assert sum(e.weight for e in rows if e.kind.startswith("quantile")) == pytest.approx(others)


def test_the_weights_of_a_band_add_up_to_its_contexts() -> None:
    """The bands of three contexts are of one context each and the last is empty; of few, some are larger."""
    for active in (3, 7, 41):
        values = torch.zeros(60, 7, 1)
        values[:active, 3, 0] = torch.arange(1.0, active + 1)
        gatherer = Gatherer(["a"], Wanted(2, 1, 4, 2), np.arange(60), seed=1)
        gatherer.add(values, torch.arange(60), torch.zeros(60, 7, dtype=torch.int64))
        bands = [e for e in gatherer.exemplars(0, "u") if e.kind.startswith("quantile")]
        assert sum(e.weight for e in bands) == pytest.approx(active - 2)
        for band in range(4):
            of_band = [e.weight for e in bands if e.kind == f"quantile-{band}"]
            assert sum(of_band) == pytest.approx(len(np.array_split(np.arange(active - 2), 4)[band]))


def test_a_silent_unit_has_no_top_and_keeps_its_random_zeros() -> None:
    gatherer = _gatherer()
    _feed(gatherer, _data(4), 16)
    rows = gatherer.exemplars(0, "u")
    assert {e.kind for e in rows} == {"random"}
    assert all((e.activations == 0).all() for e in rows)


def test_a_pass_that_missed_contexts_is_an_error() -> None:
    gatherer = _gatherer()
    with pytest.raises(ValueError, match="never reached"):
        gatherer.exemplars(0, "u")


def test_top_contexts_keep_the_earlier_of_equals() -> None:
    top = TopContexts(1, 2)
    for c in range(4):
        top.add(torch.tensor([[1.0]]), torch.tensor([c]), torch.tensor([[c]]))
    assert top.contexts.tolist() == [[0, 1]]


def test_token_table_equals_plain_means(tmp_path: Path) -> None:
    values, _, tokens = _data(5)
    sums = TokenSums(5)
    for part in range(0, 60, 11):
        sums.add(values[part : part + 11], tokens[part : part + 11])
    write_token_tables(tmp_path / "t", {"feature:x": sums.table()})
    table = read_token_tables(tmp_path / "t")["feature:x"]
    assert sorted(table.tokens) == sorted(set(tokens.flatten().tolist()))
    for row, token in enumerate(table.tokens):
        np.testing.assert_allclose(table.means[row], values[tokens == int(token)].mean(dim=0), rtol=1e-5)
    np.testing.assert_allclose(table.overall, values.mean(dim=(0, 1)), rtol=1e-5)
