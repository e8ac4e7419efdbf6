"""A run's own training text: what was trained on ranks first, parts sum to the whole, and a killed call goes on."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from autointerp.artifacts import write_text
from autointerp.errors import BadInput
from autointerp.influence import training_scores
from autointerp.influence.asking_for import read_queries
from autointerp.influence.linear_layers import token_losses
from autointerp.influence.most_influential import answer_lines, answer_of
from autointerp.influence.queries import traced_unit, vectors_at
from autointerp.influence.run_material import TrainedRun, open_trained
from autointerp.influence.tracin import CHECKPOINTS
from autointerp.influence.tracing import METHODS, Influences, TraceChoice, trace
from autointerp.study_file import dump_study
from tests.influence.conftest import SECRET
from tests.small import small_study

CHOICE = TraceChoice(nulls=3, fitted=64, top=4)


@pytest.fixture(scope="module")
def opened(trained: Path) -> TrainedRun:
    return open_trained(trained)


def _about_a_training_sequence(opened: TrainedRun, place: int) -> tuple[str, str]:
    tokens, tokenizer = opened.tokens[place], opened.subject.tokenizer
    half = len(tokens) // 2
    return str(tokenizer.decode(tokens[:half])), str(tokenizer.decode(tokens[half:]))


def test_a_sequence_that_was_trained_on_ranks_first_for_its_own_second_half(opened: TrainedRun) -> None:
    places = np.linspace(0, len(opened.tokens) - 1, 12).astype(int)
    queries = [opened.completion(*_about_a_training_sequence(opened, place)) for place in places]
    found = trace(opened, queries, TraceChoice(nulls=0, fitted=64))
    scores = {method: np.array([each.by_method[method] for each in found]) for method in ("ekfac", "dot")}
    before = {method: (rows > rows[np.arange(12), places][:, None]).sum(axis=1) for method, rows in scores.items()}
    # Of 158 sequences of a tiny model: by chance 79 stand before one's own, and 7 of the 12 first once in 10^8. How
    # many are first is a matter of last bits (8 with one thread here, 10 with two).
    assert (before["ekfac"] == 0).sum() >= 7
    assert before["ekfac"].max() < 10
    assert before["ekfac"].mean() < before["dot"].mean() / 2, "what the curvature is good for"


def test_influence_says_what_a_small_step_on_a_sequence_does_to_the_query(opened: TrainedRun) -> None:
    """`dot` is minus the slope of the cost along a sequence's gradient: of a completion and of a feature, by moving."""
    unit = f"feature/{_active_latent(opened)}"
    queries = read_queries(opened, (" river sea", " rain"), [unit], None)
    found = trace(opened, queries, TraceChoice(nulls=0, fitted=64))
    model = opened.subject.model
    chosen = np.arange(0, len(opened.tokens), len(opened.tokens) // 10)
    for query, each in zip(queries, found, strict=True):
        moved = []
        for sequence in chosen:
            ids = torch.as_tensor(opened.tokens[sequence][None], dtype=torch.long)
            weights = [p for x in opened.layers for p in x.module.parameters()]
            own = [weight.clone() for weight in weights]
            for weight in weights:
                weight.requires_grad_(True)
            steps = torch.autograd.grad(token_losses(model, opened.subject.start_token, ids, None).sum(), weights)
            for weight in weights:
                weight.requires_grad_(False)
            costs = []
            for size in (1e-4, -1e-4):
                for weight, start, step in zip(weights, own, steps, strict=True):
                    weight.copy_(start - size * step)
                costs.append(float(query.cost()))
            for weight, start in zip(weights, own, strict=True):
                weight.copy_(start)
            moved.append((costs[1] - costs[0]) / 2e-4)
        np.testing.assert_allclose(each.by_method["dot"][chosen], moved, rtol=0.1, atol=0.02 * np.abs(moved).max())


def _active_latent(opened: TrainedRun) -> int:
    unit = traced_unit(opened.study, opened.subject, opened.resources.encoder, "feature/0")
    ids = opened.subject.with_start(opened.evidence[:20])
    vectors = vectors_at(opened.subject.model, unit.hook, ids)[:, 1:].detach()
    return int(np.argmax([float(unit.like(index).read(vectors).sum()) for index in range(32)]))


@pytest.mark.parametrize("method", list(METHODS))
def test_every_method_gives_an_answer_whose_parts_sum_to_its_influence(opened: TrainedRun, method: str) -> None:
    choice = TraceChoice(method=method, nulls=3, fitted=64, top=4)
    (found,) = trace(opened, [opened.completion(SECRET, SECRET)], choice)
    answer = answer_of(opened, found, choice)
    scores = found.by_method[method]
    order = np.argsort(-scores, kind="stable")
    assert [row.context for row in answer.rows] == opened.ids[[*order[:4], *order[-4:]]].tolist()
    assert [row.place for row in answer.rows] == [1, 2, 3, 4, -4, -3, -2, -1]
    for row in answer.rows:
        if method == "bm25":
            assert row.parts == ()
        else:
            assert sum(row.parts) == pytest.approx(row.influence, rel=1e-3, abs=1e-4 * float(np.abs(scores).max()))
        assert (row.influence_low is None) == (method != "ekfac")
        assert row.null_p in (0.25, 0.5, 0.75, 1.0)
    told = "\n".join(answer_lines(answer, opened, choice))
    assert "chance   rank correlation 0" in told
    assert "null     3 null queries" in told


def test_tracin_trains_the_same_subject_again(opened: TrainedRun, capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = trace(opened, [opened.completion(SECRET, SECRET)], TraceChoice("tracin", nulls=0, fitted=64))
    assert "differ" not in capsys.readouterr().err
    assert len(list((opened.folder / "work" / "influence" / "checkpoints").iterdir())) == CHECKPOINTS
    assert stats.spearmanr(found.by_method["tracin"], found.by_method["dot"]).statistic > 0.5


def test_a_low_rank_query_ranks_nearly_as_the_whole_one_and_says_what_it_kept(opened: TrainedRun) -> None:
    query = opened.completion(SECRET, SECRET)
    (whole,) = trace(opened, [query], TraceChoice(nulls=0, fitted=64))
    found = [trace(opened, [query], TraceChoice(nulls=0, fitted=64, rank=rank))[0] for rank in (1, 12)]
    near = [float(stats.spearmanr(each.by_method["ekfac"], whole.by_method["ekfac"]).statistic) for each in found]
    kept = [each.kept for each in found]
    assert None not in kept
    assert near[0] < near[1]
    assert near[1] > 0.99
    assert 0 < (kept[0] or 0) < (kept[1] or 0) <= 1


def test_an_interrupted_call_goes_on_and_gives_the_same(
    opened: TrainedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    shutil.copytree(opened.folder, run, ignore=shutil.ignore_patterns("influence"))
    again = open_trained(run)
    monkeypatch.setattr(training_scores, "_score", _dies_after(1, training_scores._score))
    args = (again.subject.model, again.subject.start_token, again.layers, again.tokens)
    queries = {x.name: torch.ones(1, x.outputs, x.inputs) for x in again.layers}
    with pytest.raises(KeyboardInterrupt):
        training_scores.score_all(*args, queries, tmp_path / "scores", chunk=64)
    assert len(list((tmp_path / "scores").iterdir())) == 1
    monkeypatch.undo()
    read: list[int] = []
    slow = training_scores._score

    def counted(*given: Any) -> training_scores.Scored:
        read.append(len(given[3]))
        return slow(*given)

    monkeypatch.setattr(training_scores, "_score", counted)
    found = training_scores.score_all(*args, queries, tmp_path / "scores", chunk=64)
    assert sum(read) == len(again.tokens) - 64
    whole = training_scores.score_all(*args, queries, tmp_path / "at-once", chunk=10_000)
    np.testing.assert_allclose(found.scores, whole.scores, rtol=1e-3, atol=1e-3)


def _dies_after(calls: int, function: Callable[..., Any]) -> Callable[..., Any]:
    left = [calls]

    def score(*args: Any) -> Any:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return function(*args)

    return score


@pytest.mark.parametrize(
    ("text", "units", "told"),
    [
        ((), (), "nothing is asked"),
        (("one",), (), "1 texts are no prompt and completion"),
        (("a", ""), (), "the completion is empty"),
        (("a" * 400, "b"), (), "too long for a model of 17 positions"),
        ((), ("feature/32",), "feature has 32 units"),
        ((), ("direction/1",), "'direction/1' is no unit that influence is known of"),
        ((), ("feature/x",), "is no unit"),
        (("a", "b"), ("neuron/0+", "neuron/0+"), "asked twice"),
    ],
)
def test_what_is_no_query_is_said(opened: TrainedRun, text: tuple[str, ...], units: tuple[str, ...], told: str) -> None:
    with pytest.raises(BadInput, match=told.replace("(", r"\(")):
        read_queries(opened, text, units, None)


def test_queries_of_a_file_come_last_and_a_bad_line_is_named(opened: TrainedRun, tmp_path: Path) -> None:
    file = tmp_path / "queries.jsonl"
    file.write_text('{"prompt": " river", "completion": " sea"}\n\n{"prompt": " stone"}\n')
    with pytest.raises(BadInput, match="line 2 of"):
        read_queries(opened, (), (), file)
    file.write_text('{"prompt": " river", "completion": " sea"}\n')
    found = read_queries(opened, (" blue", " paper"), (), file)
    assert [query.name for query in found] == ['" blue" -> " paper"', '" river" -> " sea"']


def test_a_subject_that_the_run_did_not_train_is_refused(tmp_path: Path) -> None:
    write_text(tmp_path / "study.toml", dump_study(small_study(tmp_path)))
    with pytest.raises(BadInput, match="was trained on is not at hand"):
        open_trained(tmp_path)


def test_null_queries_count_this_one_and_are_of_the_same_kind(opened: TrainedRun) -> None:
    """With as many nulls as there are: p is the share that stands as far out, from the nulls' own scores."""
    (found,) = trace(opened, [opened.completion(SECRET, SECRET)], CHOICE)
    answer = answer_of(opened, found, CHOICE)
    for row in answer.rows[:4]:
        (sequence,) = np.flatnonzero(opened.ids == row.context)
        beyond = 0
        for null in found.nulls:
            z = (null[sequence] - null.mean()) / null.std()
            beyond += bool(z >= row.standardised)
        assert row.null_p == (1 + beyond) / 4
    assert isinstance(found, Influences)
    others = opened.others(opened.unit(f"feature/{_active_latent(opened)}"), 3, seed=0)
    assert {query.measurement for query in others} == {"activation"}
    assert len({query.name for query in others}) == 3
