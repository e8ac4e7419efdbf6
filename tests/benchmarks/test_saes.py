"""The benchmarks of SAE training run, and measure what they say. Neither times nor quality are asserted."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from tests.benchmarks.conftest import BENCHMARKS

if TYPE_CHECKING:
    from saes.contestants import Contestant
    from saes.job import Job, Score
    from saes.quality import Row


def _job(**changes: Any) -> Job:
    from saes.job import Data, Job

    job = Job(
        architecture="topk",
        variant="",
        data=Data("dictionary", d_in=16, atoms=32, active=2.0, seed=3),
        width=32,
        k=2,
        penalty=0.1,
        lr=1e-3,
        batch=64,
        steps=5,
        planned=5,
        seed=0,
        pool=0,
        dead_share=None,
        held_out=256,
        threads=1,
        memory_mb=None,
    )
    return replace(job, **changes)


def _score(l0: float = 2.0, fvu: float = 0.1, max_cosine: float = 0.9) -> Score:
    from saes.job import Score

    return Score(max_cosine, recovered=0.5, l0=l0, fvu=fvu, dead=0.0)


@pytest.mark.parametrize("kind", ["dictionary", "toy"])
def test_the_same_seed_gives_the_same_vectors(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from saes.job import Data
    from saes.planted import planted

    monkeypatch.setattr("saes.planted._TOY_STEPS", 100)
    data = Data(kind, d_in=8, atoms=24, active=1.5, seed=3)
    one, again, other = planted(data), planted(data), planted(replace(data, seed=4))
    assert torch.equal(one.dictionary, again.dictionary)
    for number in (7, 0, -1):
        assert torch.equal(one.batch(number, 50), again.batch(number, 50))
    assert not torch.equal(one.batch(0, 50), one.batch(1, 50))
    assert not torch.equal(one.batch(0, 50), other.batch(0, 50))
    torch.testing.assert_close(one.dictionary.norm(dim=1), torch.ones(one.dictionary.shape[0]))
    assert one.dictionary.shape[0] > 8  # superposition: more features than dimensions


def test_the_planted_code_is_as_sparse_as_it_says() -> None:
    from saes.job import Data
    from saes.planted import SparseDictionary

    source = SparseDictionary(Data("dictionary", d_in=200, atoms=64, active=4.0, seed=1))
    # With fewer atoms than dimensions the code can be read off the vectors.
    basis = torch.cat([source.dictionary, source._offset])
    code = torch.linalg.lstsq(basis.t(), source.batch(0, 20_000).t()).solution.t()[:, :-1]
    active = code > 0.25
    assert float(active.sum(dim=1).float().mean()) == pytest.approx(4.0, rel=0.05)
    assert float(code[active].min()) > 0.4  # a gap: nothing is half active
    density = active.float().mean(dim=0)
    assert float(density.max()) > 5 * float(density.min())
    assert not bool((active[:, source._children] & ~active[:, source._parents]).any())
    assert bool((active[:, source._parents] & ~active[:, source._children]).any())


def test_the_stream_hands_out_every_batch_once_and_times_all_but_the_last() -> None:
    from saes.planted import planted
    from saes.stream import Stream, check

    job = _job(pool=2)
    data = planted(job.data)
    stream, same = Stream(data, job), Stream(planted(job.data), job)
    first = stream.first
    given = []
    for x in stream:
        given.append(x.clone())
        x.zero_()  # as a trainer that scales in place does
    for _ in same:
        pass
    assert [len(first), len(given), len(stream.seconds)] == [5, 5, 4]
    assert all(torch.equal(a, b) for a, b in zip(first, given, strict=True))
    assert torch.equal(given[0], given[2])
    assert not torch.equal(given[0], given[1])
    assert stream.digest == same.digest
    check(stream, 5)
    with pytest.raises(RuntimeError, match="5 steps were made, not 6"):
        check(stream, 6)


def test_a_perfect_autoencoder_scores_perfectly_and_half_of_one_by_half() -> None:
    from saes.serving import Learnt, score

    dictionary = torch.eye(4)
    x = torch.eye(4).repeat(5, 1)
    perfect = score(Learnt(lambda v: v, lambda c: c, 3 * torch.eye(4)), dictionary, x)
    assert vars(perfect) == {"max_cosine": 1.0, "recovered": 1.0, "l0": 1.0, "fvu": 0.0, "dead": 0.0}
    keep = torch.tensor([1.0, 1.0, 0.0, 0.0])
    half = score(Learnt(lambda v: v * keep, lambda c: c, torch.diag(keep)), dictionary, x)
    assert (half.max_cosine, half.recovered, half.l0, half.dead) == (0.5, 0.5, 0.5, 0.5)
    assert half.fvu == pytest.approx(0.5 / 0.75)  # |x|^2 left in half of the vectors, of 1 - 1/4 about the mean


@pytest.mark.parametrize("start", [1e-3, 0.3, 20.0])
def test_the_search_finds_the_penalty_and_the_better_rate(start: float) -> None:
    from saes.search import Settings, best_settings, is_near

    trials: list[Settings] = []

    def trial(settings: Settings) -> Score:
        trials.append(settings)
        return _score(l0=4.0 * settings.penalty**-0.7, fvu=abs(settings.lr - 3e-3))

    found = best_settings(trial, [1e-3, 3e-3, 1e-2], start, target=3.0, penalised=True)
    assert found.lr == 3e-3
    assert is_near(4.0 * found.penalty**-0.7, 3.0)
    assert len(trials) <= 12


def test_the_search_goes_on_without_what_diverges_and_takes_the_nearest_where_none_is_near() -> None:
    from common.environments import Unavailable
    from saes.search import Settings, best_settings

    def trial(settings: Settings) -> Score:
        if settings.lr > 1e-2:
            raise Unavailable("the loss is inf")
        return _score(l0=50.0 if settings.lr < 3e-3 else 20.0, fvu=settings.lr)

    assert best_settings(trial, [1e-3, 3e-3, 1e-1], 0.5, target=2.0, penalised=False) == Settings(3e-3, 0.5)
    with pytest.raises(Unavailable, match="the loss is inf"):
        best_settings(trial, [1e-1], 0.5, target=2.0, penalised=False)


def _row(contestant: Contestant, cosines: list[float], l0: float = 3.0) -> Row:
    from saes.contestants import Entry
    from saes.quality import PROBLEMS, Row
    from saes.search import Settings

    scores = [_score(l0=l0, max_cosine=cosine) for cosine in cosines]
    return Row(PROBLEMS[0], Entry(contestant, "topk", ""), "1", Settings(1e-3, 0.1), scores)


def test_ours_is_as_good_within_the_noise_of_the_seeds_only() -> None:
    from saes.contestants import OURS, SAE_LENS, SPARSIFY
    from saes.verdict import table, verdicts

    dense = _row(SPARSIFY, [0.99, 0.99, 0.99], l0=30.0)  # not comparable: ten times as many active latents
    for ours, as_good in (([0.9, 0.8, 0.86], True), ([0.91, 0.81, 0.91], True), ([0.8, 0.7, 0.8], False)):
        rows = [_row(OURS, ours), _row(SAE_LENS, [0.9, 0.85, 0.85]), dense]
        recovery = next(verdict for verdict in verdicts(rows) if verdict.metric == "max_cosine")
        assert (recovery.rival, recovery.as_good, recovery.comparable) == ("SAELens", as_good, True)
        assert ("NOT" in recovery.sentence) != as_good
    assert "0.767 ± 0.058" in table(rows)
    assert not next(iter(verdicts([_row(OURS, [0.9]), replace(dense, scores=dense.scores[:1])]))).comparable


def test_the_bound_is_that_of_a_sparse_step() -> None:
    from saes.contestants import OURS, SAE_LENS, Entry
    from saes.job import Outcome
    from saes.speed import Measured, Setting, goals

    setting = Setting(d_in=512, width=4096, k=32, batch=4096, warm_up=1, steps=2, threads=2)
    assert setting.sparse_gflop == pytest.approx(17.7, abs=0.05)

    def outcome(*seconds: float) -> Outcome:
        return Outcome("1", seconds, 100.0, "", None)

    ours, theirs = Entry(OURS, "topk", ""), Entry(SAE_LENS, "topk", "")
    runs = {
        ours: [outcome(9.0, 0.1, 0.1), outcome(9.0, 0.2, 0.2)],  # the first is warm-up
        theirs: [outcome(9.0, 0.4, 0.4), outcome(9.0, 1.2, 1.2)],
    }
    measured = Measured(setting, runs, {}, square=[100.0, 177.2], encoder=[90.0, 80.0])
    assert measured.bound == pytest.approx(40_960, rel=0.01)  # ten such steps a second
    own, rival = measured.rows()
    assert [own.best, own.median] == pytest.approx([40_960, 30_720])
    assert rival.ours == pytest.approx((4 + 6) / 2)  # the median of the ratios within a round
    assert own.of_bound == pytest.approx(1.0, rel=0.01)
    assert goals(measured) == ["topk: 55% of the bound: reached (100%)", "topk: 5.0x SAELens: reached (5.00x)"]


@contextmanager
def _worker(tmp_path: Path, body: str) -> Iterator[Any]:
    """A worker whose process runs `body`."""
    from common.workers import Worker

    script = tmp_path / "child.py"
    script.write_text(f"import sys\nsys.path.insert(0, {str(BENCHMARKS)!r})\n" + body)
    worker = Worker(Path(sys.executable), "unused")
    worker._command = [sys.executable, str(script)]
    yield worker
    worker.close()


def test_a_worker_is_kept_and_comes_again_after_a_failure(tmp_path: Path) -> None:
    from common.environments import Unavailable

    body = (
        "import os, time\nfrom common.workers import answer\n"
        "def handle(job):\n"
        "    print('a library may say what it likes')\n"
        "    if job['do'] == 'fail': raise ValueError('no such thing')\n"
        "    if job['do'] == 'sleep': time.sleep(60)\n"
        "    return {'process': os.getpid()}\n"
        "answer(handle)\n"
    )
    with _worker(tmp_path, body) as worker:
        worker.start()
        for _ in range(2):
            worker.ready(60)
        one = worker.ask({"do": "it"}, 60)
        assert worker.ask({"do": "it"}, 60) == one
        worker.ready(60)
        with pytest.raises(Unavailable, match=r"^failed: ValueError: no such thing$"):
            worker.ask({"do": "fail"}, 60)
        assert worker.ask({"do": "it"}, 60) != one
        with pytest.raises(Unavailable, match="did not finish within 0 s"):
            worker.ask({"do": "sleep"}, 0.3)


def test_an_autoencoder_that_is_not_trained_knows_nothing(tmp_path: Path) -> None:
    """Weights at the start must not be drawn from the random numbers that the true directions are made of."""
    from saes.contestants import OURS
    from saes.crew import Crew

    job = _job(steps=2, lr=1e-9, width=32)
    with Crew(tmp_path, at_once=1) as crew:
        seeded = [replace(job, seed=seed, data=replace(job.data, seed=seed)) for seed in (0, 1)]
        scores = [crew.ask(OURS, one, 60).score for one in seeded]
    assert all(score is not None and score.max_cosine < 0.7 for score in scores)


def test_what_needs_too_much_memory_says_so(tmp_path: Path) -> None:
    from common.environments import Unavailable
    from saes.contestants import OURS
    from saes.crew import Crew

    pytest.importorskip("resource")
    with Crew(tmp_path, at_once=1) as crew, pytest.raises(Unavailable, match=r"needs more than the 1\.5 GB of memory"):
        crew.ask(OURS, _job(width=2_000_000, batch=512, memory_mb=1536.0), 60)


def test_a_small_run_of_speed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import sae_speed
    from saes import speed

    monkeypatch.setattr(speed, "GEMM", 64)
    out = tmp_path / "results.json"
    arguments = "--only autointerp --width 64 --d-in 16 --k 4 --batch 32 --steps 2 --rounds 2 --threads 1"
    monkeypatch.setattr(sys, "argv", ["", *arguments.split(), "--cache", str(tmp_path), "--json", str(out)])
    assert sae_speed.main() == 0
    results = json.loads(out.read_text())
    assert [size["setting"]["width"] for size in results["sizes"]] == [64]
    for size in results["sizes"]:
        assert [(row["architecture"], row["name"]) for row in size["rows"]] == [
            ("topk", "autointerp"),
            ("batchtopk", "autointerp"),
        ]
        assert all(row["best"] >= row["median"] > 0 and row["ours"] == 1 for row in size["rows"])
        assert {len(steps) for runs in size["step_seconds"].values() for steps in runs} == {4}  # two of warm-up
        assert len(size["gemm_gflops"]["square"]) == 4
    assert "batchtopk" in capsys.readouterr().out


def test_a_small_run_of_quality(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import sae_quality
    from saes import contestants

    absent = replace(contestants.SPARSIFY, environment=None, module="no_such_module", name="absent")
    monkeypatch.setattr(sae_quality, "EVERYBODY", (contestants.OURS, absent))
    out = tmp_path / "results.json"
    arguments = "--quick --only autointerp absent --steps 20 --batch 64 --architecture topk standard --seeds 2"
    monkeypatch.setattr(sys, "argv", ["", *arguments.split(), "--cache", str(tmp_path), "--json", str(out)])
    assert sae_quality.main() == 0
    results = json.loads(out.read_text())
    assert [row["architecture"] for row in results["rows"]] == ["topk", "standard"]
    for row in results["rows"]:
        assert len(row["scores"]) == 2
        assert 0 < row["mean"]["max_cosine"] < 1
        assert row["scores"][0] != row["scores"][1]
    assert results["not_measured"].keys() == {"topk, absent, signum", "topk, absent, adam", "standard, absent"}
    assert "no_such_module" in results["not_measured"]["topk, absent, adam"]
    assert results["not_measured"]["standard, absent"] == contestants.SPARSIFY.lacks
    assert "standard  autointerp" in capsys.readouterr().out
