"""Hub data sets, without a network: the streaming class is the real one, where it comes from is not."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import pytest

from autointerp.corpus.document import Document
from autointerp.corpus.files import hub_documents
from autointerp.corpus.stage import open_documents
from autointerp.errors import BadInput
from autointerp.study_inputs import Corpus


def _rows() -> Iterator[dict[str, str | None]]:
    yield {"text": "one", "file": "a"}
    yield {"text": None, "file": "a"}
    yield {"text": "three", "file": "b"}


def test_rows_are_streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def load(path: str, **options: object) -> datasets.IterableDataset:
        asked.append((path, options))
        return datasets.IterableDataset.from_generator(_rows)

    monkeypatch.setattr(datasets, "load_dataset", load)
    corpus = Corpus(source="someone/texts", config="en", hub_split="validation")
    assert list(open_documents(corpus, 0)) == [
        Document("someone/texts#1", "one"),
        Document("someone/texts#3", "three"),
    ]
    assert asked == [("someone/texts", {"name": "en", "split": "validation", "streaming": True})]
    by_file = corpus.model_copy(update={"source_field": "file"})
    assert [d.source for d in hub_documents(by_file)] == ["a", "b"]


def test_a_missing_package_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(BadInput, match=r"needs the package datasets: pip install 'autointerp\[hub\]'"):
        next(hub_documents(Corpus(source="someone/texts")))


@pytest.mark.parametrize(
    "failure",
    [
        ConnectionError("no route\nto the hub"),
        datasets.exceptions.DatasetNotFoundError("no such data set"),
        ValueError("unknown split 'train'"),
    ],
)
def test_what_cannot_be_had_is_one_line(monkeypatch: pytest.MonkeyPatch, failure: Exception) -> None:
    def load(path: str, **options: object) -> datasets.IterableDataset:
        raise failure

    monkeypatch.setattr(datasets, "load_dataset", load)
    first = str(failure).partition("\n")[0]
    with pytest.raises(BadInput, match=rf"can't read hub data set 'someone/texts' \({first}\): check its name") as got:
        next(hub_documents(Corpus(source="someone/texts")))
    assert "\n" not in str(got.value)


def test_a_failure_in_the_middle_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def rows() -> Iterator[dict[str, str]]:
        yield {"text": "one"}
        raise ConnectionError("connection lost")

    monkeypatch.setattr(datasets, "load_dataset", lambda path, **options: rows())
    documents = hub_documents(Corpus(source="someone/texts"))
    assert next(documents).text == "one"
    with pytest.raises(BadInput, match="connection lost"):
        next(documents)


def _card(folder: Path) -> str:
    """A data set of two configurations, one of them with two splits, as its card says; read by `datasets` itself."""
    folder.mkdir()
    for name in ("en-train", "en-test", "fr-train"):
        (folder / f"{name}.jsonl").write_text('{"text": "some words"}\n')
    (folder / "README.md").write_text(
        "---\nconfigs:\n"
        "- config_name: en\n  data_files:\n  - split: train\n    path: en-train.jsonl\n"
        "  - split: test\n    path: en-test.jsonl\n"
        "- config_name: fr\n  data_files:\n  - split: train\n    path: fr-train.jsonl\n---\n"
    )
    return str(folder)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({}, "set corpus.config to one of en, fr"),
        ({"config": "de"}, "set corpus.config to one of en, fr"),
        ({"config": "en", "hub_split": "validation"}, "set corpus.hub_split to one of train, test"),
    ],
)
def test_what_a_card_has_is_listed_when_the_wrong_one_is_asked_for(
    asked: dict[str, Any], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    source = _card(tmp_path / "set")
    with pytest.raises(BadInput, match=told) as caught:
        list(hub_documents(Corpus(source=source, **asked)))
    assert "\n" not in str(caught.value)
    assert [d.text for d in hub_documents(Corpus(source=source, config="en", hub_split="test"))] == ["some words"]
