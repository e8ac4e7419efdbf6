"""What the README and the pages behind it show, run as it stands there: commands, pieces of studies, code.

Only the studies are made small.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoModelForCausalLM, LlamaConfig

import autointerp
from autointerp.__main__ import main
from autointerp.contexts.naming import LIST, word_of
from autointerp.contexts.slices import read_slices
from autointerp.llm.address import PLACEHOLDER
from autointerp.run.verify import verify
from autointerp.study_file import dump_study, load_study, parse_study
from autointerp.tables import read_table
from sae.checkpoint import save
from sae.recipe import Recipe
from sae.streams.vectors import MemoryVectors
from sae.training.train import train
from tests.llm.doubles import Reply, Server, message, serve
from tests.llm.misbehaving import Body, answer_body, draw
from tests.run.served import brain
from tests.small import write_corpus
from tests.tiny import VOCABULARY, tiny_tokenizer

pytestmark = pytest.mark.pipeline

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf8")
ENDPOINTS = (ROOT / "docs" / "endpoints.md").read_text("utf8")
METHODS = (ROOT / "docs" / "methods.md").read_text("utf8")
OUR_ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+(/v1)?")
KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY")
KEY = "sk-of-the-readme-0123456789"
NEURONS = 80
SMALL = [
    "subject.model='my-model'", "subject.hooks=['layers.1.mlp.neurons']", "sae.0.hook='layers.1.mlp.neurons'",
    "corpus.source='my-text.jsonl'", "corpus.tokens=6000", "corpus.context=16", "units.features=4",
    "units.neurons=2", "units.directions=2", "units.sparse=2", "units.controls=['neuron-sparse']",
    "units.min_contexts=3", "scrambled.features=3", "scrambled.neurons=2", "evidence.top=6", "evidence.random=4",
    "evidence.random_only=6", "llm.simulator.model='my-model'", "simulate.bank=6", "compare.resamples=1000",
    "compare.derangements=1",
]  # fmt: skip


SMALLER = {"autointerp benchmark": " --frozen --units 5 --foils 2 --set corpus.tokens=25000 --set simulate.bank=2"}
"""Of commands that take minutes with what they are given: what makes them small."""
ELSEWHERE = {
    "autointerp run examples/towards-monosemanticity.toml --out results/towards-monosemanticity",  # tests/train
    "autointerp run examples/cunningham.toml --out results/cunningham",  # tests/units/test_components.py
    "autointerp plot results/cunningham", "autointerp report results/cunningham",
    "autointerp export neuronpedia results/reference --out results/for-neuronpedia",  # tests/exchange
    "autointerp import neuronpedia downloads/6-res-jb --out results/6-res-jb",
    "autointerp compare results/a results/b results/c", "autointerp plot results/a results/b",  # tests/between_runs
    "autointerp browse results/demo --serve",  # tests/browser
    'autointerp influence results/towards-monosemanticity "import numpy as" " np"',  # tests/influence
    "autointerp influence results/towards-monosemanticity --unit feature:4x/12 --top 20",
    "make lint", "source .venv/bin/activate",
    "autointerp rate results/demo", "autointerp rate results/demo --model explainer",  # tests/rate
    "autointerp self-explain examples/own-endpoint.toml --llm explainer --estimate",  # tests/self_explanation
    "autointerp self-explain examples/own-endpoint.toml --llm explainer",
    "autointerp self-explain examples/own-endpoint.toml --llm explainer --reviews my-reviews.csv --out results/mine",
    "autointerp self-explain offline.toml --llm chat --seed 1",
    "autointerp rate results/demo --add ratings-of-anna.json --add ratings-of-ben.json",
    'autointerp attribute builtin "The capital of France is" --tokens 4',  # tests/attribution
    'autointerp attribute results/demo "The capital of France is" --sae sae',
}  # fmt: skip
"""What stands in other pages, and is not run here."""


def _blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.S)


def _commands(text: str) -> list[str]:
    lines = [line.split("#")[0].strip() for block in _blocks("sh", text) for line in block.splitlines()]
    return [line for line in lines if line and line not in ("make demo", "make test")]


def _sections() -> dict[str, list[str]]:
    """Heading of the README, or name of a page -> the commands below it, in their order."""
    parts = {part.partition("\n")[0]: part for part in README.split("\n## ")[1:]}
    parts |= {"docs/endpoints.md": ENDPOINTS, "docs/methods.md": METHODS}
    return {name: commands for name, part in parts.items() if (commands := _commands(part))}


def _pieces() -> dict[str, str]:
    """What stands before a piece of a study in bold -> the piece."""
    return dict(re.findall(r"^\*\*([\w.]+)\*\*(?:(?!```).)*?```toml\n(.*?)```", ENDPOINTS, flags=re.S | re.M))


def _answer(body: Body) -> Reply:
    """OpenAI's chats, vLLM's prompt log-probabilities and Anthropic's messages, by one brain."""
    if body["path"].endswith("/completions") and "prompt" in body:
        return Reply(body=json.dumps(_read_prompt(str(body["prompt"]))).encode())
    if body["path"] == "/v1/messages":
        texts = ["".join(block["text"] for block in turn["content"]) for turn in body["messages"]]
        return message(brain({"messages": [{"content": text} for text in texts]}))
    return Reply(body=answer_body(brain(body), body))


def _read_prompt(prompt: str) -> Body:
    """As vLLM sends it, a token for each word and each blank: after a tab, or in a short prompt, digits are likely."""
    tokens = re.findall(r"\s|\S+", prompt)
    entries: list[Body | None] = [None]
    for before, token in pairwise(tokens):
        entry = {"own": {"logprob": -9.0, "rank": 11, "decoded_token": token}}
        if before == "\t" or len(tokens) < 20:
            likely = max(0, int(draw(prompt, len(entries)).integers(-9, 10)))
            for digit in range(10):
                logprob = -0.5 - abs(digit - likely)
                entry[str(digit)] = {"logprob": logprob, "rank": digit + 1, "decoded_token": str(digit)}
        entries.append(entry)
    choice = {"index": 0, "finish_reason": "length", "text": " ", "prompt_logprobs": entries}
    return {"id": "c", "choices": [choice], "usage": {"prompt_tokens": len(tokens), "completion_tokens": 1}}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    listed = {"data": [{"id": "my-chat-model", "max_model_len": 8192}]}
    with serve(behave=_answer, models=Reply(body=json.dumps(listed).encode())) as running:
        yield running


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, server: Server) -> Path:
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
    trained = train(Recipe("topk", width=32, k=8, batch=64), vectors, passes=2, seed=0)
    save(trained.sae, folder / "my-sae", {})
    shutil.copytree(ROOT / "results" / "reference", folder / "results" / "reference")
    (folder / "examples").mkdir()
    for path in (ROOT / "examples").glob("*.toml"):
        raw = tomllib.loads(_to(server, path.read_text("utf8")))
        # The others are run small in tests/train/test_subject.py and tests/units/test_components.py.
        if "train" not in raw["subject"] and len(raw["sae"]) == 1:
            _write_small(raw, folder / "examples" / path.name)
    return folder


def _to(server: Server, text: str) -> str:
    """The same text, its endpoint on loopback being our server."""
    return OUR_ADDRESS.sub(server.url, text)


def _write_small(raw: dict[str, Any], path: Path) -> None:
    more = (
        [] if raw["sae"][0].get("checkpoint") else ["sae.0.train.width=32", "sae.0.train.k=4", "sae.0.train.batch=128"]
    )
    asks = raw.get("llm", {}).get("explainer", {}).get("provider", "local") != "local"
    more += (
        []
        if asks
        else [
            "llm.explainer.model='my-model'",
            "llm.explainer.max_tokens=8",
            "explain.candidates=6",
            "explain.methods=['exemplars']",
        ]
    )  # the tiny model ends no phrase
    path.write_text(dump_study(parse_study(raw, [*SMALL, *more])))


@pytest.fixture
def at_desk(desk: Path, monkeypatch: pytest.MonkeyPatch, server: Server) -> Path:
    """There, with the keys set, no key of the user's, and what hosted endpoints are by default on loopback."""
    monkeypatch.chdir(desk)
    monkeypatch.setenv("AUTOINTERP_CACHE", str(desk / "cache"))
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url.removesuffix("/v1"))
    for name in KEYS:
        monkeypatch.setenv(name, KEY)
    return desk


def _run(command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """What a command prints; it must end well."""
    words = shlex.split(command)
    assert words[0] == "autointerp"
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit) as ended:
        main()
    out, error = capsys.readouterr()
    assert ended.value.code == 0, f"{command}: {error[-2000:]}"
    return out


def test_no_command_of_any_page_is_left_out() -> None:
    """A command that moves to another page has to be run there, or named as one that is not."""
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
    shown = {command for page in pages for command in _commands(page.read_text("utf8"))}
    assert shown - {command for commands in _sections().values() for command in commands} == ELSEWHERE


def test_the_readme_names_every_example_and_the_two_commands() -> None:
    for path in (ROOT / "examples").glob("*.toml"):
        load_study(path)
        assert f"(examples/{path.name})" in README
    assert {line.split("#")[0].strip() for b in _blocks("sh") for line in b.splitlines() if "make " in line} == {
        "make demo",
        "make test",
    }


def _shape(text: str) -> list[list[str]]:
    """The words of each line without numbers, names and findings: what stays the same whatever the endpoint."""
    varying = r"openai http\S+|\S+135M-Instruct|my-chat-model|\babout\b|\b(?:yes:?(?: [\d,]+ per token)?|no)(?!\S)"
    plain = re.sub(rf"{varying}|\$?\d[\d,.]*(?: (?:s|min|h)(?!\w))?", " ", text)
    return [line.split() for line in plain.splitlines() if line.split()]


def _can_tell(folder: Path) -> None:
    """With the offline models the units that they see are told from each other, and the null is near 0."""
    table = read_table(folder / "benchmark.parquet").set_index(["method", "kind", "form", "wrong", "half"])
    assert {"ideal", "lift", "embedding", "literal", "lookup"} == set(table.index.get_level_values("method"))
    for method in ("ideal", "lift", "embedding"):
        assert table["auroc"].loc[method, "seen", "description", "other", "test"] > 0.7
        assert abs(table["null_mean"].loc[method, "seen", "description", "other", "test"]) < 0.2
    assert table["auroc"].loc["lookup", "seen", "", "noise", "test"] > 0.7


@pytest.mark.parametrize("section", _sections())
def test_commands(
    section: str, at_desk: Path, server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the order of reading: `ledger show` needs the run that was made before."""
    shutil.rmtree(at_desk / "results" / "own-endpoint", ignore_errors=True)
    asked: dict[str, int] = {}
    printed: dict[str, str] = {}
    for command in _sections()[section]:
        before = len(server.seen)
        smaller = "".join(more for name, more in SMALLER.items() if command.startswith(name))
        if smaller:
            monkeypatch.delenv("AUTOINTERP_CACHE")  # the offline model, converted once for all tests
        printed[command] = _run(command + smaller, monkeypatch, capsys)
        asked[command] = len(server.seen) - before
    if section == "docs/methods.md":
        _can_tell(at_desk / "results" / "planted")
    if section not in ("Bring your own endpoint", "docs/endpoints.md"):
        assert not any(asked.values())
        return
    again = ("--set budget.limit_usd", "judge", "--replay", "estimate", "ledger")
    assert {c for c, n in asked.items() if n} == {c for c in asked if not any(words in c for words in again)}
    assert asked["autointerp run examples/own-endpoint.toml"] > 100
    if section == "docs/endpoints.md":
        exported = (at_desk / "answers.jsonl").read_text("utf8").splitlines()
        assert len({json.loads(line)["key"] for line in exported}) == len(exported) > 100
        for command, shown in zip(("llm check", "estimate"), _blocks("text", ENDPOINTS), strict=True):
            (real,) = (out for name, out in printed.items() if f"autointerp {command}" in name)
            assert _shape(_to(server, shown)) == _shape(real), f"the page shows what `{command}` no longer prints"


@pytest.mark.parametrize("name", _pieces())
def test_a_piece_of_a_study_runs(
    name: str, at_desk: Path, server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In its place in the example, as it stands; an address on loopback becomes that of the test's server."""
    piece = tomllib.loads(_to(server, _pieces()[name]))
    assert set(piece) == {"llm", "simulate"}
    example = tomllib.loads((ROOT / "examples" / "own-endpoint.toml").read_text("utf8"))
    _write_small({**example, **piece}, at_desk / "piece.toml")
    requests, before = len(server.seen), len(server.headers)
    _run("autointerp compare piece.toml", monkeypatch, capsys)
    assert len(server.seen) - requests > 100
    sent = {head.get("x-api-key", head.get("authorization", "")) for head in server.headers[before:]}
    keyed = "api_key_env" in piece["llm"]["explainer"]
    assert {key.removeprefix("Bearer ") for key in sent} == {KEY if keyed else PLACEHOLDER}
    scores = read_table(at_desk / "results" / "piece" / "scores.parquet")
    simulated = (scores["pairing"] == "own") & (scores["scorer"] == piece["simulate"]["method"])
    assert (scores[simulated]["status"] == "ok").mean() > 0.8
    assert "detection" in set(scores["scorer"])
    usage = read_table(at_desk / "results" / "piece" / "usage.parquet")
    assert not usage["cost_usd"].isna().any(), "the piece gives prices"


def test_every_piece_is_run() -> None:
    assert list(_pieces()) == ["Hosted", "vLLM", "llama.cpp", "Anthropic"]
    assert list(_pieces().values()) == _blocks("toml", ENDPOINTS)
    assert _blocks("toml") == []


@pytest.mark.parametrize("code", _blocks("python"))
def test_python(code: str, at_desk: Path) -> None:
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    assert isinstance(names["run"], autointerp.Run)


def test_the_numbers_are_those_of_the_committed_run() -> None:
    """The first lines of the run's own headline, as it prints them, and the numbers of the whole page around them."""
    shown = autointerp.Run(ROOT / "results" / "reference", autointerp.Study()).headline()
    (block,) = _blocks("text")
    lines = block.rstrip("\n").splitlines()
    assert lines == shown.splitlines()[: len(lines)]
    assert len(lines) == 5
    report = (ROOT / "results" / "reference" / "report.md").read_text("utf8")
    table = README[README.index("| arm | its own explanation") : README.index("What the run says of them")]
    numbers = re.findall(r"−?\d\.\d\d \[−?\d\.\d\d, −?\d\.\d\d\]", table)
    assert len(numbers) == 8 * 5
    intro = README[README.index("The picture is") : README.index("## Two commands")]
    around = re.findall(r"−?\d\.\d\d \[−?\d\.\d\d, −?\d\.\d\d\]", intro)
    assert len(around) == 3
    numbers += around
    assert [number for number in numbers if number not in report] == []


def test_string_matching_scores_what_the_readme_says_of_it() -> None:
    """Worked out once more, a token at a time: every list of words, on the contexts that its own score is of."""
    folder = ROOT / "results" / "reference"
    slices = read_slices(folder, load_study(folder / "study.toml").evidence)
    pieces = read_table(folder / "contexts.parquet", ["context", "pieces"]).set_index("context")["pieces"]
    scores = read_table(folder / "scores.parquet").query(
        "scorer == 'literal' and pairing == 'own' and metric == 'pearson' and slice == 'top-and-random'"
    )
    said = {row["unit"]: row["value"] for row in scores.to_dict("records") if row["status"] == "ok"}
    checked = 0
    for row in read_table(folder / "explanations.parquet").to_dict("records"):
        named = str(row["text"]).removeprefix(LIST).split(", ")
        if row["kind"] == "list" and row["unit"] in said:
            held = slices[row["unit"], row["replicate"]]["top-and-random"]
            matched = np.array([[word_of(piece) in named for piece in pieces[context]] for context in held.contexts])
            assert said[row["unit"]] == pytest.approx(np.corrcoef(matched.ravel(), held.truth.ravel())[0, 1], abs=1e-6)
            checked += 1
    assert checked > 200


def test_the_token_table_beats_as_many_explanations_as_the_readme_says() -> None:
    scores = read_table(ROOT / "results" / "reference" / "scores.parquet")
    rows = scores.query("metric == 'pearson' and slice == 'top-and-random' and pairing == 'own'")
    by_scorer = rows.pivot_table(index="unit", columns="scorer", values="value")
    beaten = int((by_scorer["lookup"] > by_scorer["reader"]).sum())
    assert f"beats {beaten} of the {len(by_scorer)} explanations" in README


def test_the_committed_run_is_whole_small_and_what_was_asked_for() -> None:
    folder = ROOT / "results" / "reference"
    assert all(check.ok for check in verify(folder))
    files = [path for path in folder.rglob("*") if path.is_file() and path.relative_to(folder).parts[0] != "work"]
    assert 1_000_000 < sum(path.stat().st_size for path in files) < 9_000_000
    assert "CC BY-SA" in (folder / "sources.md").read_text("utf8")
    comparison = read_table(folder / "comparison.parquet")
    rows = comparison[
        (comparison["scorer"] == "reader") & (comparison["metric"] == "pearson") & (comparison["stratum"] == "all")
        & (comparison["slice"] == "top-and-random")
    ]  # fmt: skip
    own = rows[(rows["pairing"] == "own") & (rows["baseline"] == "")].set_index("arm")
    shuffled = rows[(rows["pairing"] == "shuffled") & (rows["baseline"] == "")].set_index("arm")
    for arm in ("feature", "neuron", "direction", "noise"):
        assert own["n"][arm] + own["unscored"][arm] == (64 if arm in ("feature", "neuron") else 24)
        assert own["coverage"][arm] >= 0.95
        assert abs(shuffled["mean"][arm]) < 0.03
    null = rows[(rows["arm"] == "feature") & (rows["baseline"] == "shuffled")].iloc[0]
    assert null["difference_low"] > 0
