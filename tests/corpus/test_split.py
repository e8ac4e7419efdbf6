"""Splits: sources never move, shares follow the study, and the check finds what breaks them."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autointerp.corpus.split import Splitter, assert_contexts_follow, assert_disjoint, quotas
from autointerp.errors import BadInput, CheckFailed
from autointerp.records import Split
from autointerp.study_inputs import Corpus


def _run(sources: list[tuple[str, int]], quota: dict[Split, int], seed: int) -> tuple[Splitter, dict[str, set[Split]]]:
    splitter, seen = Splitter(quota, seed), dict[str, set[Split]]()
    for source, contexts in sources:
        split = splitter.split_of(source)
        if split is not None and splitter.room(split) > 0:
            seen.setdefault(source, set()).add(split)
            splitter.take(split, min(contexts, splitter.room(split)))
    return splitter, seen


@given(
    st.lists(st.tuples(st.sampled_from([f"file-{i}" for i in range(30)]), st.integers(1, 4)), max_size=200),
    st.integers(0, 5),
    st.integers(5, 200),
)
def test_a_source_is_in_one_split_and_no_split_overflows(sources: list[tuple[str, int]], seed: int, total: int) -> None:
    quota = {Split.TRAIN: max(total * 2 // 5, 1), Split.EVIDENCE: max(total // 3, 1), Split.HELD_OUT: 1 + total // 4}
    splitter, seen = _run(sources, quota, seed)
    assert all(len(splits) == 1 for splits in seen.values())
    assert all(0 <= splitter.taken[s] <= quota[s] for s in quota)


@pytest.mark.parametrize("per_source", [1, 2, 20])
def test_shares_hold_at_any_time_and_quotas_are_filled(per_source: int) -> None:
    quota = {Split.TRAIN: 800, Split.EVIDENCE: 720, Split.HELD_OUT: 480}
    half = [(f"file-{i}", per_source) for i in range(1000 // per_source)]
    splitter, _ = _run(half, quota, seed=3)
    total = sum(splitter.taken.values())
    for split, n in quota.items():
        assert splitter.taken[split] / total == pytest.approx(n / 2000, abs=0.03)
    splitter, _ = _run([(f"file-{i}", per_source) for i in range(2200)], quota, seed=3)
    assert splitter.taken == quota
    assert splitter.full
    assert splitter.split_of("one more") is None


def test_splits_are_not_in_step_with_an_input_that_alternates() -> None:
    quota = {Split.TRAIN: 500, Split.EVIDENCE: 500}
    for period in (2, 4):
        _, seen = _run([(f"kind-{i % period}/{i}", 1) for i in range(990)], quota, seed=0)
        train = [source for source, splits in seen.items() if splits == {Split.TRAIN}]
        share = sum(source.startswith("kind-0/") for source in train) / len(train)
        assert share == pytest.approx(1 / period, abs=0.08)


@pytest.mark.parametrize("seed", range(5))
def test_a_handful_of_sources_fills_every_split(seed: int) -> None:
    quota = {Split.TRAIN: 40, Split.EVIDENCE: 36, Split.CALIBRATION: 10, Split.HELD_OUT: 24}
    splitter, _ = _run([(f"file-{i}", 3) for i in range(4)], quota, seed)
    assert all(n == 3 for n in splitter.taken.values())


def test_the_seed_decides() -> None:
    quota = {Split.TRAIN: 500, Split.EVIDENCE: 500}
    sources = [(f"file-{i}", 1) for i in range(100)]
    assert _run(sources, quota, 0)[1] == _run(sources, quota, 0)[1]
    assert _run(sources, quota, 0)[1] != _run(sources, quota, 1)[1]


def test_quotas_follow_the_fractions() -> None:
    assert quotas(Corpus(tokens=64_000)) == {Split.TRAIN: 420, Split.EVIDENCE: 340, Split.HELD_OUT: 240}
    assert quotas(Corpus(tokens=6400, train=0, evidence=0.5, calibration=0.25, held_out=0.25)) == {
        Split.EVIDENCE: 50,
        Split.CALIBRATION: 25,
        Split.HELD_OUT: 25,
    }


def test_too_few_tokens_for_a_split() -> None:
    with pytest.raises(BadInput, match=r"corpus.tokens = 100 leaves split 'held-out' no context .* at least 267"):
        quotas(Corpus(tokens=100))
    assert min(quotas(Corpus(tokens=267)).values()) == 1


def _documents() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "document": [0, 1, 2],
            "source": ["a", "a", "b"],
            "split": ["train", "train", "held-out"],
            "text_hash": ["x", "y", "z"],
        }
    )


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("document", 0, "document 0 is in the corpus twice"),
        ("text_hash", "x", r"text x is in the corpus twice \(the second time from b\)"),
        ("source", "a", "source 'a' is in 2 splits: held-out, train"),
    ],
)
def test_the_check_names_what_is_in_two_splits(column: str, value: str | int, message: str) -> None:
    assert_disjoint(_documents())
    broken = _documents()
    broken.loc[2, column] = value
    with pytest.raises(CheckFailed, match=message):
        assert_disjoint(broken)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("context", 0, "context 0 is in the corpus twice"),
        ("split", "train", "context 2 has split 'train', and its document 2 has not"),
        ("source", "a", "context 2 has source 'a', and its document 2 has not"),
        ("document", 7, "context 2 has split 'held-out', and its document 7 has not"),
    ],
)
def test_the_check_finds_contexts_that_left_their_document(column: str, value: str | int, message: str) -> None:
    contexts = _documents().drop(columns="text_hash").assign(context=[0, 1, 2])
    assert_contexts_follow(_documents(), contexts)
    contexts.loc[2, column] = value
    with pytest.raises(CheckFailed, match=message):
        assert_contexts_follow(_documents(), contexts)
