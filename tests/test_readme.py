"""Every command of the README, run as it stands there; only the studies are made small."""

from __future__ import annotations

import re
import shlex
import shutil
import tomllib
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, LlamaConfig

import autointerp
from autointerp.__main__ import main
from autointerp.study import dump_study, load_study, parse_study
from autointerp.tables import read_table
from autointerp.verify import verify
from sae.checkpoint import save
from sae.train import train
from sae.vectors import MemoryVectors
from tests.llm.doubles import chat, serve
from tests.small import write_corpus
from tests.tiny import VOCABULARY, tiny_tokenizer

pytestmark = pytest.mark.pipeline

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf8")
NEURONS = 80
SMALL = [
    "subject.model='my-model'", "subject.hooks=['layers.1.mlp.neurons']", "sae.0.hook='layers.1.mlp.neurons'",
    "corpus.source='my-text.jsonl'", "corpus.tokens=6000", "corpus.context=16", "units.features=4",
    "units.neurons=4", "units.directions=3", "units.controls=['neuron-sparse']", "units.min_contexts=3",
    "evidence.random_only=6", "llm.simulator.model='my-model'", "llm.explainer.model='my-model'", "simulate.bank=6",
    "compare.resamples=1000", "explain.candidates=6",
]  # fmt: skip


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.S)


def _commands() -> list[str]:
    lines = [line.split("#")[0].strip() for block in _blocks("sh") for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith("make ")]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds what the README's commands name."""
    import torch

    folder = tmp_path_factory.mktemp("desk")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=16, intermediate_size=NEURONS, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=2048, bos_token_id=0, eos_token_id=1,
    )  # fmt: skip
    AutoModelForCausalLM.from_config(config).save_pretrained(folder / "my-model")
    tiny_tokenizer().save_pretrained(folder / "my-model")
    write_corpus(folder / "my-text.jsonl")
    vectors = MemoryVectors(torch.randn(512, NEURONS, generator=torch.Generator().manual_seed(1)))
    trained = train("topk", vectors, width=32, k=8, passes=2, batch=64, lr=1e-3, seed=0)
    save(trained.sae, folder / "my-sae", {})
    shutil.copytree(ROOT / "results" / "reference", folder / "results" / "reference")
    (folder / "examples").mkdir()
    for path in (ROOT / "examples").glob("*.toml"):
        raw = tomllib.loads(path.read_text("utf8"))
        more = [] if raw["sae"][0].get("checkpoint") else ["sae.0.train.width=32", "sae.0.train.k=4"]
        more += ["sae.0.train.batch=128"] if more else []
        (folder / "examples" / path.name).write_text(dump_study(parse_study(raw, [*SMALL, *more])))
    return folder


def test_the_readme_names_every_example_and_the_two_commands() -> None:
    for path in (ROOT / "examples").glob("*.toml"):
        load_study(path)
        assert f"(examples/{path.name})" in README
    assert {line.split("#")[0].strip() for b in _blocks("sh") for line in b.splitlines() if "make " in line} == {
        "make demo",
        "make test",
    }


@pytest.mark.parametrize("command", _commands())
def test_command(command: str, desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(desk)
    with serve(*(chat(f"[EXPLANATION]: words of kind {n}") for n in range(400))) as server:
        words = shlex.split(command.replace("http://127.0.0.1:8000/v1", server.url))
        assert words[0] == "autointerp"
        monkeypatch.setattr("sys.argv", words)
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 0, capsys.readouterr()
        asked = len(server.seen)
    assert (asked > 0) == ("own-endpoint" in command)


@pytest.mark.parametrize("code", _blocks("python"))
def test_python(code: str, desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk)
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    assert isinstance(names["run"], autointerp.Run)


def test_the_numbers_are_those_of_the_committed_run() -> None:
    """Every mean and difference of the run's own headline, as it prints them."""
    shown = autointerp.Run(ROOT / "results" / "reference", autointerp.Study()).headline()
    numbers = re.findall(r"−?\d\.\d\d \[−?\d\.\d\d, −?\d\.\d\d\]", shown)
    assert len(numbers) >= 8
    assert [n for n in numbers if n not in README] == []


def test_the_committed_run_is_whole_small_and_what_was_asked_for() -> None:
    folder = ROOT / "results" / "reference"
    assert all(check.ok for check in verify(folder))
    assert sum(p.stat().st_size for p in folder.rglob("*") if p.is_file() and "work" not in p.parts) < 5_000_000
    assert "CC BY-SA" in (folder / "sources.md").read_text("utf8")
    comparison = read_table(folder / "comparison.parquet")
    rows = comparison[
        (comparison["scorer"] == "lift") & (comparison["metric"] == "pearson") & (comparison["stratum"] == "all")
        & (comparison["slice"] == "top-and-random")
    ]  # fmt: skip
    own = rows[(rows["pairing"] == "own") & (rows["baseline"] == "")].set_index("arm")
    shuffled = rows[(rows["pairing"] == "shuffled") & (rows["baseline"] == "")].set_index("arm")
    for arm in ("feature", "neuron", "direction"):
        assert own.loc[arm, "n"] + own.loc[arm, "unscored"] >= 64
        assert own.loc[arm, "coverage"] >= 0.95
        assert abs(shuffled.loc[arm, "mean"]) < 0.03
    null = rows[(rows["arm"] == "feature") & (rows["baseline"] == "shuffled")].iloc[0]
    assert null["difference_low"] > 0
