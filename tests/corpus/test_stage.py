"""The whole stage: real tables out of real files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autointerp.artifacts import hash_file
from autointerp.corpus import split as splitting
from autointerp.corpus import stage
from autointerp.corpus.document import Document
from autointerp.corpus.split import assert_contexts_follow, assert_disjoint, quotas, shingles
from autointerp.corpus.stage import build_corpus
from autointerp.errors import BadInput, CheckFailed
from autointerp.study import Study
from autointerp.study_inputs import Corpus
from autointerp.tables import SCHEMAS, read_arrow, read_table
from tests.tiny import tiny_tokenizer

SYLLABLES = ["ba", "ke", "li", "mo", "nu", "ra", "se", "ti", "vo", "zu"]
TABLES = ("documents.parquet", "contexts.parquet", "work/train.parquet")


def _prose(rng: np.random.Generator, words: int = 60) -> str:
    return " ".join("".join(rng.choice(SYLLABLES, rng.integers(1, 4))) for _ in range(words))


def _study(source: Path | str, seed: int = 0, **corpus: object) -> Study:
    values = {"tokens": 8000, "context": 16, "source": str(source)} | corpus
    return Study.model_validate({"seed": seed, "corpus": values})


def _write(path: Path, documents: list[tuple[str, str]]) -> Path:
    path.write_text("".join(json.dumps({"text": text, "repo": source}) + "\n" for source, text in documents))
    return path


def _build(study: Study, out: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    build_corpus(study, tiny_tokenizer(), out)
    contexts = pd.concat([read_table(out / "contexts.parquet"), read_table(out / "work" / "train.parquet")])
    return read_table(out / "documents.parquet"), contexts


@pytest.fixture
def prose(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    return _write(tmp_path / "prose.jsonl", [(f"repo-{i % 150}", _prose(rng)) for i in range(450)])


def test_the_tables(prose: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    documents, contexts = _build(_study(prose), tmp_path / "run")
    for name, schema in zip(TABLES, ("documents", "contexts", "contexts"), strict=True):
        assert read_arrow(tmp_path / "run" / name).schema == SCHEMAS[schema]
    assert_disjoint(documents)
    assert_contexts_follow(documents, contexts)
    assert sorted(contexts["context"]) == list(range(len(contexts)))
    assert set(read_table(tmp_path / "run" / "contexts.parquet")["split"]) == {"evidence", "held-out"}
    assert set(read_table(tmp_path / "run" / "work" / "train.parquet")["split"]) == {"train"}
    assert contexts["split"].value_counts().to_dict() == {"train": 210, "evidence": 170, "held-out": 120}
    assert contexts["tokens"].map(len).eq(16).all()
    assert contexts["pieces"].map(len).eq(16).all()
    counts = contexts.groupby("document").size()
    assert documents.set_index("document")["contexts"].equals(counts.rename("contexts").astype("int32"))
    assert counts.max() == 2
    assert (tmp_path / "run").joinpath("work").exists()
    assert "500 contexts (train 210, evidence 170, held-out 120)" in capsys.readouterr().err


@pytest.mark.parametrize("tokens", [8000, 7960, 8040])
def test_no_split_gets_a_context_more_than_its_share(prose: Path, tmp_path: Path, tokens: int) -> None:
    """Documents give two contexts each: an odd share takes one of the last document's."""
    _, contexts = _build(_study(prose, tokens=tokens), tmp_path / "run")
    wanted = quotas(Corpus(tokens=tokens, context=16))
    assert contexts["split"].value_counts().to_dict() == {str(split): n for split, n in wanted.items()}
    assert any(n % 2 for n in wanted.values()) or tokens == 8000


def test_where_windows_lie_depends_on_the_text_and_the_seed(prose: Path, tmp_path: Path) -> None:
    starts: list[dict[str, int]] = []
    for seed in (0, 1):
        documents, contexts = _build(_study(prose, seed, max_per_document=1), tmp_path / str(seed))
        room = documents.set_index("source")["tokens"] - 16
        shares = contexts.set_index("source")["start"] / room[room > 0]
        assert shares.std() == pytest.approx(12**-0.5, rel=0.15), "anywhere in each, as evenly as can be"
        starts.append(dict(zip(contexts["source"], contexts["start"], strict=True)))
    assert len(set(starts[0].values())) > 20
    shared = starts[0].keys() & starts[1].keys()
    assert len(shared) > 100
    assert sum(starts[0][source] == starts[1][source] for source in shared) < 0.2 * len(shared)


def test_contexts_are_the_documents_own_tokens_and_text(prose: Path, tmp_path: Path) -> None:
    _, contexts = _build(_study(prose), tmp_path / "run")
    tokenizer = tiny_tokenizer()
    texts = {
        line["text"]: f"prose.jsonl#{n}" for n, line in enumerate(map(json.loads, prose.read_text().splitlines()), 1)
    }
    by_source = {source: text for text, source in texts.items()}
    for row in contexts.head(60).to_dict("records"):
        text = by_source[row["source"]]
        assert tokenizer(text)["input_ids"][row["start"] : row["start"] + 16] == row["tokens"].tolist()
        assert "".join(row["pieces"]) == tokenizer.decode(row["tokens"])
        assert "".join(row["pieces"]) in text


def test_the_same_study_gives_the_same_bytes_and_another_seed_another_split(prose: Path, tmp_path: Path) -> None:
    hashes = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        build_corpus(_study(prose, seed, source_field="repo"), tiny_tokenizer(), tmp_path / name)
        hashes.append([hash_file(tmp_path / name / table) for table in TABLES])
    assert hashes[0] == hashes[1]
    assert all(x != y for x, y in zip(hashes[0], hashes[2], strict=True))


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    picks=st.lists(st.tuples(st.integers(0, 25), st.integers(0, 60), st.integers(0, 3)), min_size=60, max_size=120),
    seed=st.integers(0, 3),
)
def test_splits_are_disjoint_whatever_comes(
    picks: list[tuple[int, int, int]], seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Sources repeat, texts come again as they are, in capitals, and with an ending."""
    folder = tmp_path_factory.mktemp("run")
    forms: list[Callable[[str], str]] = [str, str.upper, lambda t: t + " Ende", lambda t: f"  {t}\n"]
    texts = [_prose(np.random.default_rng(n)) for n in range(61)]
    documents = [(f"file-{s}", forms[form](texts[t])) for s, t, form in picks]
    documents += [(f"other-{n}", _prose(np.random.default_rng(100 + n))) for n in range(9)]
    source = _write(folder / "d.jsonl", documents)
    kept, contexts = _build(_study(source, seed, source_field="repo", tokens=1600), folder)
    assert_disjoint(kept)
    assert_contexts_follow(kept, contexts)
    assert len(kept) <= len({t for _, t, _ in picks}) + 9


def test_planted_copies_never_cross_the_splits(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    originals = [_prose(rng, 120) for _ in range(150)]
    licence = _prose(rng, 60)
    documents = [(f"a-{i}", text) for i, text in enumerate(originals)]
    documents += [(f"b-{i}", f"{_prose(rng, 3)} {text} {_prose(rng, 3)}") for i, text in enumerate(originals)]
    documents += [(f"c-{i}", f"{_prose(rng, 40)} {licence} {_prose(rng, 40)}") for i in range(150)]
    source = _write(tmp_path / "d.jsonl", [documents[i] for i in rng.permutation(len(documents))])
    kept, contexts = _build(_study(source, source_field="repo", tokens=200_000, context=64), tmp_path / "run")
    numbers = kept["source"].str.extract(r"[ab]-(\d+)")[0].dropna()
    assert len(numbers) > 140
    assert not numbers.duplicated().any()
    owners: dict[str, set[str]] = {}
    for row in contexts.to_dict("records"):
        for shingle in shingles("".join(row["pieces"])):
            owners.setdefault(shingle, set()).add(row["split"])
    for row in contexts.to_dict("records"):
        found = shingles("".join(row["pieces"]))
        assert sum(len(owners[s]) > 1 for s in found) <= 0.75 * len(found)


def test_sources_stay_together(prose: Path, tmp_path: Path) -> None:
    documents, _ = _build(_study(prose, source_field="repo", calibration=0.1, train=0.32), tmp_path / "run")
    assert documents.groupby("source")["split"].nunique().eq(1).all()
    assert documents["source"].nunique() < len(documents)
    assert set(documents["split"]) == {"train", "evidence", "calibration", "held-out"}


def test_an_input_that_ends_early_is_shared_out(prose: Path, tmp_path: Path) -> None:
    documents, _ = _build(_study(prose, tokens=10_000_000), tmp_path / "run")
    shares = documents.groupby("split")["contexts"].sum() / documents["contexts"].sum()
    assert shares["train"] == pytest.approx(0.40, abs=0.05)
    assert shares["evidence"] == pytest.approx(0.36, abs=0.05)
    assert shares["held-out"] == pytest.approx(0.24, abs=0.05)


def test_reading_stops_when_the_splits_are_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []

    def endless(corpus: object, seed: int) -> Iterator[Document]:
        rng = np.random.default_rng(0)
        while True:
            read.append(1)
            yield Document(f"d-{len(read)}", _prose(rng))

    monkeypatch.setattr(stage, "open_documents", endless)
    _build(_study("anything"), tmp_path)
    assert len(read) < 400


def test_only_the_head_of_a_very_long_document_is_used(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    source = _write(tmp_path / "d.jsonl", [(f"{i}", _prose(rng, 20_000)) for i in range(4)])
    documents, _ = _build(_study(source, tokens=200, context=16), tmp_path / "run")
    assert documents["characters"].max() <= 4096


def test_text_folders_and_the_built_in_corpus_end_to_end(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    folder = tmp_path / "texts"
    folder.mkdir()
    for i in range(12):
        (folder / f"{i}.txt").write_text("\n\n".join(_prose(rng, 100) for _ in range(20)), "utf8")
    documents, _ = _build(_study(folder, tokens=1600), tmp_path / "folder")
    assert set(documents["source"]) <= {f"{i}.txt" for i in range(12)}
    documents, contexts = _build(_study("builtin", tokens=2000), tmp_path / "builtin")
    assert len(contexts) == sum(quotas(Corpus(tokens=2000, context=16)).values())
    assert (documents["licence"] != "").mean() > 0.8


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([], "corpus '.*' is empty: give one that holds text"),
        (["short"], r"too few contexts: corpus '.*' has 0 of 16 tokens in all \(1 documents, 1 of them shorter\), "
         "none in split 'train': give more text"),
        (["a long document of many words that fills a context or two, as it should be"],
         "none in split 'evidence': give more text from more sources, or lower corpus.context"),
    ],
)  # fmt: skip
def test_too_little_text_is_one_line_and_leaves_nothing(tmp_path: Path, texts: list[str], message: str) -> None:
    source = _write(tmp_path / "d.jsonl", [("x", text) for text in texts])
    with pytest.raises(BadInput, match=message):
        build_corpus(_study(source), tiny_tokenizer(), tmp_path / "run")
    assert not [p for p in (tmp_path / "run").rglob("*") if p.is_file()]


def test_contexts_do_not_appear_when_the_check_fails(
    prose: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(documents: pd.DataFrame) -> None:
        splitting.assert_disjoint(documents.assign(text_hash="the same"))

    monkeypatch.setattr(stage, "assert_disjoint", fails)
    with pytest.raises(CheckFailed, match="text the same is in the corpus twice"):
        build_corpus(_study(prose), tiny_tokenizer(), tmp_path / "run")
    assert not (tmp_path / "run" / "contexts.parquet").exists()
    assert not (tmp_path / "run" / "work" / "train.parquet").exists()
