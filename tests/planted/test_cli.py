"""`autointerp benchmark` as a user calls it: on a tiny model, through an endpoint, interrupted, with wrong words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autointerp.__main__ import main
from autointerp.artifacts import hash_value
from autointerp.llm.capabilities import Capabilities, remember
from autointerp.planted import measuring
from autointerp.planted import stage as benchmarking
from autointerp.planted.meanings import FORMS, NOISE, TRUE, WRONG
from autointerp.planted.stage import TEXT, benchmark_study
from autointerp.planted.units import Planted, plant
from autointerp.records import Context
from autointerp.study import Evidence
from autointerp.study_file import dump_study, parse_study
from autointerp.tables import read_table
from tests.llm.misbehaving import Endpoint
from tests.llm.misbehaving import running as serving
from tests.run.served import brain, served_settings

pytestmark = pytest.mark.pipeline

_WORDS = """
red blue green dog cat horse two three seven January March Monday the of and in was walking running quickly slowly def
return import for if class 1987 2004 12 the a, river sea house city king book . , ( ) because their number
""".split()
UNITS = "14"


def _write_text(path: Path) -> None:
    """Documents in which some of the planted meanings occur."""
    rng = np.random.default_rng(0)
    with path.open("w", encoding="utf8") as file:
        for number in range(200):
            words = rng.choice(_WORDS, size=90, p=rng.dirichlet(np.full(len(_WORDS), 0.3)))
            text = f"Document {number}. " + " ".join(words) + "."
            file.write(json.dumps({"text": text, "source": f"book-{number}"}) + "\n")


@pytest.fixture(scope="module")
def server() -> Iterator[Endpoint]:
    with serving(Endpoint(brain)) as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def settings(server: Endpoint, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The tiny model in the process simulates, the endpoint judges."""
    folder = tmp_path_factory.mktemp("benchmark")
    _write_text(folder / "text.jsonl")
    found = served_settings(folder, server.url, tokenizer=str(folder / "tiny-llama"))
    corpus = {
        "source": str(folder / "text.jsonl"), "source_field": "source", "tokens": 12_000, "context": 32,
        "near_duplicate": 0.95, "train": 0.0, "evidence": 0.5, "held_out": 0.5,
    }  # fmt: skip
    local = {"model": str(folder / "tiny-llama"), "batch": 8}
    return {**found, "corpus": corpus, "llm": {**found["llm"], "simulator": local}, "simulate": {"bank": 4}}


@pytest.fixture(scope="module", autouse=True)
def planted_once() -> Iterator[None]:
    """The same text is planted once for all tests."""
    known = dict[str, Planted]()

    def once(evidence: Sequence[Context], held_out: Sequence[Context], seed: int, sizes: Evidence) -> Planted:
        name = hash_value([seed, sizes.model_dump(), [context.text for context in (*evidence, *held_out)]])
        if name not in known:
            known[name] = plant(evidence, held_out, seed, sizes)
        return known[name]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(benchmarking, "plant", once)
        yield


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, server: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the endpoint can do is known: chats without log-probabilities."""
    monkeypatch.setenv("AUTOINTERP_CACHE", str(tmp_path / "cache"))
    remember(Capabilities(f"openai {server.url}", "m"))


@pytest.fixture
def study(settings: dict[str, Any], tmp_path: Path) -> Path:
    path = tmp_path / "study.toml"
    path.write_text(dump_study(parse_study(settings)))
    return path


def _call(monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> int | str | None:
    monkeypatch.setattr("sys.argv", ["autointerp", "benchmark", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


def test_finished_methods_are_kept_and_everything_is_drawn_again_without_a_model(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = (study, "--units", UNITS, "--out", out)
    assert _call(monkeypatch, *words, "--method", "lift", "--method", "lookup") == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].split()[:6] == ["method", "told", "as", "n", "foils", "near-miss"]
    assert [line.split()[:2] for line in shown[1:3]] == [["lift", form] for form in FORMS]
    table, scores = read_table(out / "benchmark.parquet"), read_table(out / "scores.parquet")
    assert set(table["method"]) == {"lift", "lookup"}
    lift = scores[scores["method"] == "lift"]
    assert lift["unit"].nunique() == int(UNITS)
    assert {NOISE} < set(lift["kind"])
    assert set(lift.loc[lift["kind"] != NOISE].groupby("unit")["explanation"].agg(frozenset)) == {
        frozenset({TRUE, *WRONG})
    }
    assert (table.loc[table["method"] == "lift", "tokens_per_unit"] > 5).all()
    assert (table["seconds_per_unit"] > 0).all()
    assert (table.loc[table["method"] == "lookup", "tokens_per_unit"] == 0).all()

    def runs(*_: object) -> None:
        raise AssertionError("a finished method ran again")

    before = {name: (out / name).read_bytes() for name in ("benchmark.parquet", "scores.parquet")}
    with monkeypatch.context() as patch:
        patch.setattr(measuring, "scores_of", runs)
        assert _call(patch, *words, "--method", "lift") == 0
    assert {name: (out / name).read_bytes() for name in before} == before, "what another call finished is still there"

    pages = [out / "benchmark.md", out / "figures" / "benchmark.svg"]
    drawn = [path.read_bytes() for path in pages]
    for path in pages:
        path.unlink()
    for verb in ("plot", "report"):
        monkeypatch.setattr("sys.argv", ["autointerp", verb, str(out)])
        with pytest.raises(SystemExit, match="0"):
            main()
    assert [path.read_bytes() for path in pages] == drawn


def test_an_endpoint_is_asked_what_was_announced_and_a_budget_stops_and_resumes(
    study: Path, server: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = (study, "--units", UNITS, "--out", out, "--method", "lookup", "--method", "detection")
    server.answered.clear()
    assert _call(monkeypatch, *words, "--estimate") == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert not server.answered
    announced = int(line.split("detection: ")[1].split(" requests")[0])
    assert _call(monkeypatch, *words, "--set", "budget.limit_tokens=20000") == 3
    assert 0 < len(server.answered) < announced
    assert set(read_table(out / "benchmark.parquet")["method"]) == {"lookup"}
    assert "detection: stopped by the budget" in (out / "benchmark.md").read_text("utf8")
    assert _call(monkeypatch, *words) == 0
    assert len(server.answered) == announced
    assert set(server.answered.values()) == {1}, "no answer was paid for twice"
    table = read_table(out / "benchmark.parquet")
    detection = table[table["method"] == "detection"]
    assert detection["tokens_per_unit"].notna().all(), "the ledger knows what its answers took"
    assert detection["seconds_per_unit"].isna().all(), "part of the answers took no time"


def test_what_the_models_are_not_enough_for_is_said(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By name it is an error; among all methods a line."""
    everywhere = ("--set", "simulate.llm=explainer", "--set", "sentences.model=/nowhere", "--out", tmp_path / "out")
    assert _call(monkeypatch, study, *everywhere, "--method", "digits-output") == 2
    assert "simulator 'digits-output' needs log-probabilities" in capsys.readouterr().err

    asked = benchmarking.BenchmarkScope()
    configured = benchmark_study(study, [str(word) for word in everywhere[1:4:2]])
    usable, refused = benchmarking.can_run(configured, asked.wanted(), strict=False)
    assert {"sparse-json", "detection", "lookup"} <= {method.name for method in usable}
    assert {"digits-output", "lift", "surprisal"} <= set(refused)
    assert all("needs log-probabilities" in reason for reason in refused.values())


def test_a_portion_is_measured_and_said(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    part = ("--frozen", "--form", "list", "--against", "near-miss", "--method", "literal", "--out", tmp_path / "out")
    assert _call(monkeypatch, study, *part) == 0
    shown = capsys.readouterr().out.splitlines()[1].split()
    scores = read_table(tmp_path / "out" / "scores.parquet")
    assert set(scores["half"]) == {"test"}
    assert set(scores["form"]) == {"list"}
    assert set(scores["explanation"]) == {"true", "near-miss"}
    assert int(shown[2]) > 0, "n is of what was scored"
    page = (tmp_path / "out" / "benchmark.md").read_text("utf8")
    assert "literal, told in lists" in page
    assert "no other sort was scored." in page
    assert _call(monkeypatch, study, "--frozen", "--units", "1", "--method", "literal", "--out", tmp_path / "out") == 2
    assert "no planted unit that means something is asked for" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--method", "lfit"], "no method 'lfit': did you mean 'lift'?"),
        (["--quick", "--method", "lift"], "--quick and --method together: give one of them"),
        (["--form", "lists"], "--form lists: did you mean 'list'?"),
        (["--against", "near"], "--against near: did you mean 'near-miss'?"),
        (["none.toml"], "no study file none.toml"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    words: list[str], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert _call(monkeypatch, *words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert line in said.err
    assert list(tmp_path.glob("results")) == []


def test_a_study_without_a_corpus_gets_the_benchmarks_own(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("[llm.simulator]\nmodel = 'x'\n")
    (tmp_path / "b.toml").write_text("[corpus]\ntokens = 5000\n")
    assert benchmark_study(None).corpus == TEXT
    assert benchmark_study(tmp_path / "a.toml", ["corpus.tokens=6000"]).corpus == TEXT.model_copy(
        update={"tokens": 6000}
    )
    assert benchmark_study(tmp_path / "b.toml").corpus.evidence == 0.34
