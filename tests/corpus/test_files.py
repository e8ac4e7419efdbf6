"""Every kind of local source, and every error line."""

from __future__ import annotations

import csv
import gzip
import json
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autointerp.corpus.document import Document, blocks, shortened
from autointerp.corpus.files import file_documents
from autointerp.corpus.stage import open_documents
from autointerp.errors import BadInput
from autointerp.study_inputs import Corpus


def _read(path: Path, **corpus: object) -> list[Document]:
    return list(file_documents(path, Corpus.model_validate(corpus), seed=0))


def _jsonl(path: Path, rows: list[object]) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    return path


@given(st.lists(st.text("ab \n", max_size=40), max_size=12), st.integers(5, 80))
def test_blocks_lose_no_text(parts: list[str], characters: int) -> None:
    text = "\n\n".join(parts)
    found = list(blocks(text.splitlines(), characters))
    assert "".join("".join(found).split()) == "".join(text.split())
    assert all(found)


def test_blocks_end_at_blank_lines_and_hold_about_the_limit() -> None:
    paragraphs = [f"Paragraph {i} has\ntwo lines." for i in range(100)]
    found = list(blocks("\n\n".join(paragraphs).splitlines(), 200))
    assert all(100 < len(block) <= 200 for block in found[:-1])
    assert all(block.startswith("Paragraph") and block.endswith("two lines.") for block in found)


def test_one_long_paragraph_is_parted_at_a_line() -> None:
    found = list(blocks((f"line {i} of a paragraph without end" for i in range(1000)), 500))
    assert max(map(len, found)) < 540
    assert all(block.startswith("line") and block.endswith("end") for block in found)


def test_a_single_text_file_is_cut_into_sections(tmp_path: Path) -> None:
    file = tmp_path / "book.txt"
    file.write_text("\n\n".join(f"Chapter {i}. " + "word " * 300 for i in range(200)), "utf8")
    documents = _read(file)
    sources = [d.source for d in documents]
    assert "".join(d.text for d in documents).count("Chapter") == 200
    assert sources[0] == "book.txt#part-0"
    assert 20 <= len(set(sources)) <= 40
    assert sources == sorted(sources, key=lambda s: int(s.rpartition("-")[2]))


def test_every_text_file_of_a_folder_is_its_own_source(tmp_path: Path) -> None:
    for name in ("a.txt", "deep/b.md", "deep/c.TXT"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("\ufeffSome text.\n\n" * 300, "utf8")
    (tmp_path / "ignored.docx").write_text("x")
    documents = _read(tmp_path)
    assert {d.source for d in documents} == {"a.txt", "deep/b.md", "deep/c.TXT"}
    assert len(documents) > 3
    assert documents[0].text.startswith("Some text.")
    assert documents == _read(tmp_path)


def test_jsonl(tmp_path: Path) -> None:
    file = _jsonl(tmp_path / "d.jsonl", [{"text": "one", "repo": "x"}, {"text": None}, {"text": "th\ud83dree"}])
    file.write_text(file.read_text() + "\n\n")
    assert _read(file) == [Document("d.jsonl#1", "one"), Document("d.jsonl#3", "th?ree")]
    file = _jsonl(file, [{"body": "one", "repo": "x"}, {"body": "two", "repo": 7}])
    assert _read(file, text_field="body", source_field="repo") == [Document("x", "one"), Document("7", "two")]


def test_parquet(tmp_path: Path) -> None:
    table = pa.table({"text": [f"text {i}" for i in range(1000)], "file": [f"f{i // 100}" for i in range(1000)]})
    pq.write_table(table, tmp_path / "d.parquet", row_group_size=100)
    documents = _read(tmp_path / "d.parquet")
    assert [d.text for d in documents] == [f"text {i}" for i in range(1000)]
    assert documents[999].source == "d.parquet#1000"
    assert {d.source for d in _read(tmp_path, source_field="file")} == {f"f{i}" for i in range(10)}


ROWS = [{"data": {"text": f"text {i}"}, "repo": "x" if i % 2 else None} for i in range(4)]
OWN = [Document("x" if i % 2 else f"{{name}}#{i + 1}", f"text {i}") for i in range(4)]


def _lines() -> bytes:
    return "".join(json.dumps(row) + "\n" for row in ROWS).encode()


def _written(file: Path) -> None:
    """The rows, in the layout that the name says."""
    flat = [{"data.text": row["data"]["text"], "repo": row["repo"]} for row in ROWS]  # type: ignore[index]
    if file.suffix == ".gz":
        file.write_bytes(gzip.compress(_lines()))
    elif file.suffix == ".zst":
        with pa.output_stream(str(file), compression="zstd") as out:
            out.write(_lines())
    elif file.name == "listed.json":
        file.write_text(json.dumps(ROWS))
    elif file.name == "under.json":
        file.write_text(json.dumps({"version": 1, "rows": ROWS}))
    elif file.name == "lines.json":
        file.write_bytes(_lines())
    elif file.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), file)
    elif file.suffix == ".arrow":
        table = pa.Table.from_pylist(ROWS)
        with pa.ipc.new_stream(str(file), table.schema) as out:
            out.write_table(table)
    else:
        with file.open("w", newline="") as out:
            writer = csv.DictWriter(out, ["data.text", "repo"], delimiter="\t" if file.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(flat)


@pytest.mark.parametrize(
    "name",
    ["d.jsonl.gz", "d.jsonl.zst", "listed.json", "under.json", "lines.json", "d.csv", "d.tsv", "d.parquet", "d.arrow"],
)
def test_rows_of_every_layout_are_the_same_documents(tmp_path: Path, name: str) -> None:
    """A text inside another field; a source that is null is its own."""
    _written(tmp_path / name)
    expected = [Document(document.source.format(name=name), document.text) for document in OWN]
    assert _read(tmp_path / name, text_field="data.text", source_field="repo") == expected
    assert _read(tmp_path, text_field="data.text", source_field="repo") == expected


def test_one_line_of_json_is_one_document_and_what_holds_no_rows_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text('{"text": "alone"}')
    assert _read(tmp_path / "one.json") == [Document("one.json#1", "alone")]
    (tmp_path / "words.json").write_text('["a", "b"]')
    with pytest.raises(BadInput, match=r"words.json holds no list of objects: write"):
        _read(tmp_path / "words.json")


def test_a_cell_of_csv_may_hold_lines_and_separators(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text('\ufefftext,other\n"a, ""quoted""\nsecond line",1\n', "utf8")
    assert _read(tmp_path / "d.csv") == [Document("d.csv#1", 'a, "quoted"\nsecond line')]


def test_a_folder_never_takes_its_data_card_for_data_and_names_what_it_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _written(tmp_path / "d.jsonl.gz")
    (tmp_path / "README.md").write_text("A card. " * 400)
    (tmp_path / "LICENSE.txt").write_text("All rights. " * 400)
    (tmp_path / "weights.bin").write_bytes(b"1")
    assert {d.source for d in _read(tmp_path, text_field="data.text")} == {f"d.jsonl.gz#{n}" for n in range(1, 5)}
    assert "1 files of" in (said := capsys.readouterr().err)
    assert "not taken for text: LICENSE.txt, README.md, weights.bin" in said


def test_a_data_set_that_datasets_saved_is_read_as_it_is(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    one = datasets.Dataset.from_list([{"text": f"text {i}"} for i in range(5)])
    one.save_to_disk(tmp_path / "one", num_shards=2)
    assert sorted(d.text for d in _read(tmp_path / "one")) == [f"text {i}" for i in range(5)]
    datasets.DatasetDict({"train": one.select([1]), "test": one.select([2, 3])}).save_to_disk(tmp_path / "two")
    assert [d.text for d in _read(tmp_path / "two")] == ["text 1"]
    assert [d.text for d in _read(tmp_path / "two", hub_split="test")] == ["text 2", "text 3"]
    with pytest.raises(BadInput, match=r"has no split 'tst': set corpus.hub_split: did you mean 'test'"):
        _read(tmp_path / "two", hub_split="tst")


def test_reading_is_a_stream(tmp_path: Path) -> None:
    file = _jsonl(tmp_path / "d.jsonl", [{"text": "one"}])
    file.write_text(file.read_text() * 1000 + "this is not JSON")
    assert len(list(islice(file_documents(file, Corpus(), 0), 500))) == 500


def test_a_long_document_is_cut_at_white_space() -> None:
    assert shortened(Document("s", "some words in a row", "MIT"), 12) == Document("s", "some words", "MIT")
    assert shortened(Document("s", "x" * 20), 12).text == "x" * 12
    assert shortened(Document("s", "short"), 12).text == "short"


def _bad_parquet(folder: Path) -> Path:
    pq.write_table(pa.table({"body": ["x"], "number": [1]}), folder / "d.parquet")
    return folder / "d.parquet"


def test_every_bad_file_gives_one_line(tmp_path: Path) -> None:
    empty, latin = tmp_path / "empty", tmp_path / "latin.txt"
    empty.mkdir()
    latin.write_bytes("Müller".encode("latin-1"))
    table, cut, broken = tmp_path / "d.docx", tmp_path / "broken.parquet", tmp_path / "list.jsonl"
    cut.write_bytes(b"no parquet at all")
    table.write_text("a,b")
    broken.write_text('{"text": "fine"}\n["a list"]\n')
    cases: list[tuple[Path, dict[str, str], str]] = [
        (empty, {}, r"folder .*empty holds no corpus file: put files in it that end in .txt"),
        (table, {}, r"can't read .*d.docx as a corpus: give a file that ends in .txt, .md, .jsonl, "),
        (latin, {}, r"latin.txt is not UTF-8 text \(byte 1\): convert it to UTF-8"),
        (cut, {}, r"can't read .*broken.parquet \(.*\): check that the file is whole"),
        (broken, {}, r"list.jsonl line 2 is a list: write one object per line"),
        (_jsonl(tmp_path / "n.jsonl", [{"txt": "x"}]), {}, r"n.jsonl#1 has no field 'text': .*did you mean 'txt'"),
        (_jsonl(tmp_path / "o.jsonl", [{"text": 3}]), {}, r"o.jsonl#1: 'text' holds int, not text: set corpus.text_f"),
        (_jsonl(tmp_path / "p.jsonl", [{"text": "x"}]), {"source_field": "repo"}, r"p.jsonl#1 has no field 'repo'"),
        (_bad_parquet(tmp_path), {}, r"d.parquet has no column 'text': set corpus.text_field: .*body"),
        (_bad_parquet(tmp_path), {"text_field": "number"}, r"d.parquet#1: 'number' holds int, not text"),
        (_bad_parquet(tmp_path), {"text_field": "body", "source_field": "f"}, r"no column 'f': set corpus.source_f"),
    ]
    for path, corpus, message in cases:
        with pytest.raises(BadInput, match=message) as caught:
            _read(path, **corpus)
        assert "\n" not in str(caught.value)
    half = tmp_path / "half.jsonl"
    half.write_text('{"text": "cut')
    with pytest.raises(BadInput, match=r"half.jsonl line 1 is not JSON"):
        _read(half)


@pytest.mark.parametrize("source", ["missing.jsonl", "./folder", "/no/such/place", "~/no-such-folder-here"])
def test_a_missing_path_is_no_hub_name(source: str) -> None:
    with pytest.raises(BadInput, match="no corpus file or folder .*: correct corpus.source, or use 'builtin'"):
        next(open_documents(Corpus(source=source), 0))
