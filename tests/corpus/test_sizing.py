"""Long texts in pieces and short ones in packs: nothing of them is lost, and contexts can be cut out of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autointerp.corpus.contexts import tokenised_batches
from autointerp.corpus.document import Document
from autointerp.corpus.sizing import in_packs, in_pieces
from autointerp.corpus.stage import build_corpus
from autointerp.errors import BadInput
from autointerp.run.hashed import settings_of
from autointerp.study import Study
from autointerp.tables import read_arrow, read_table
from tests.tiny import END, tiny_tokenizer

WORDS = [f"{a}{b}{c}" for a in "bklm" for b in ("a", "e", "io") for c in ("n", "r", "st", "ze")]


def prose(seed: int, words: int) -> str:
    return " ".join(np.random.default_rng(seed).choice(WORDS, words))


def study(path: Path, **corpus: Any) -> Study:
    return Study.model_validate({"corpus": {"tokens": 4000, "context": 16, "source": str(path), **corpus}})


@pytest.mark.parametrize("joint", [" ", "\n", "\n\n"])
def test_pieces_hold_the_whole_text_in_its_order(joint: str) -> None:
    text = joint.join(prose(n, 40) for n in range(30))
    pieces = list(in_pieces([Document("book", text, "CC0")], 500))
    assert " ".join(" ".join(piece.text for piece in pieces).split()) == " ".join(text.split())
    assert all(len(piece.text) <= 1000 for piece in pieces)
    assert [piece.source for piece in pieces] == [f"book#{n}" for n in range(len(pieces))]
    assert {piece.licence for piece in pieces} == {"CC0"}
    short = Document("other", "a few words")
    assert list(in_pieces([short], 500)) == [short]
    assert list(in_pieces([Document("book", text)], 0)) == [Document("book", text)]
    endless = list(in_pieces([Document("x", "z" * 5000)], 500))
    assert "".join(piece.text for piece in endless).replace("\n", "") == "z" * 5000


def test_packs_are_parted_by_the_end_token_and_by_nothing_else() -> None:
    tokenizer = tiny_tokenizer()
    texts = [prose(n, 6) for n in range(40)]
    packs = list(in_packs((Document(f"row {n}", text) for n, text in enumerate(texts)), 16, str(tokenizer.eos_token)))
    assert [text for pack in packs for text in pack.packed or (pack.text,)] == texts
    assert packs[0].source == f"row 0 and {len(packs[0].packed) - 1} more"
    assert len({pack.source for pack in packs}) == len(packs) < 20
    ((document, found), *_) = next(tokenised_batches(packs, tokenizer, 100_000))
    alone = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in document.packed]
    expected = [token for number, ids in enumerate(alone) for token in ([END] * bool(number) + ids)]
    assert found.tokens.tolist() == expected
    pieces = np.diff([0, *found.ends])
    assert found.ends[-1] == len(document.text)
    ends = np.flatnonzero(found.tokens == END)
    assert len(ends) == len(document.packed) - 1
    assert all(document.text[found.ends[i] - pieces[i] : found.ends[i]] == "</s>" for i in ends)
    same = [Document("a", "x y"), Document("a", "z")]
    assert next(in_packs(same, 16, "</s>")).source == "a"
    assert list(in_packs([Document("a", "x y")], 16, "</s>")) == [Document("a", "x y")]


def test_short_rows_give_contexts_where_they_are_packed(tmp_path: Path) -> None:
    """Without: a handful, as only few rows are as long as a context."""
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"text": prose(n, 2)}) + "\n" for n in range(3000)))
    with pytest.raises(BadInput, match="shorter"):
        build_corpus(study(path), tiny_tokenizer(), tmp_path / "plain")
    build_corpus(study(path, pack=True), tiny_tokenizer(), tmp_path / "packed")
    contexts = read_arrow(tmp_path / "packed" / "contexts.parquet").to_pylist()
    assert len(contexts) > 100
    assert any(END in row["tokens"] for row in contexts)
    documents = read_table(tmp_path / "packed" / "documents.parquet")
    assert documents["source"].is_unique


def test_one_huge_row_falls_in_every_split_where_it_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "one.jsonl"
    path.write_text(json.dumps({"text": "\n\n".join(prose(n, 80) for n in range(400))}) + "\n")
    with pytest.raises(BadInput, match="none in split"):
        build_corpus(study(path), tiny_tokenizer(), tmp_path / "plain")
    build_corpus(study(path, pieces=2000), tiny_tokenizer(), tmp_path / "cut")
    documents = read_table(tmp_path / "cut" / "documents.parquet")
    assert set(documents["split"]) == {"train", "evidence", "held-out"}


def test_what_can_not_be_packed_is_refused_and_old_hashes_stay(tmp_path: Path) -> None:
    for more in ({"source": "builtin"}, {"source_field": "repo"}):
        with pytest.raises(BadInput, match="corpus.pack joins documents that are sources of their own"):
            build_corpus(study(tmp_path, **{"pack": True, **more}), tiny_tokenizer(), tmp_path / "out")
    dump = settings_of(study(tmp_path))
    assert not {"pack", "pieces"} & dump["corpus"].keys()
    assert "start_token" not in dump["subject"]
    assert settings_of(study(tmp_path, pieces=9))["corpus"]["pieces"] == 9
