"""The stage: documents in, three tables of disjoint documents and contexts out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from autointerp.corpus.builtin import Passages, builtin_documents
from autointerp.corpus.contexts import (
    CHARACTERS_PER_TOKEN,
    Tokenised,
    Window,
    require_offsets,
    tokenised_batches,
    window,
    window_starts,
)
from autointerp.corpus.document import Document, text_hash
from autointerp.corpus.files import SUFFIXES, file_documents, hub_documents
from autointerp.corpus.listing import BUILTIN, builtin_text
from autointerp.corpus.row_files import suffix_of
from autointerp.corpus.sizing import in_packs, in_pieces
from autointerp.corpus.split import NearDuplicates, Splitter, assert_disjoint, quotas
from autointerp.errors import BadInput
from autointerp.progress import Bar, bar, say
from autointerp.records import Context, Split
from autointerp.rows import DocumentRow
from autointerp.study import Study
from autointerp.study_inputs import Corpus
from autointerp.tables import TableWriter, read_table, table_writer

DOCUMENTS, SHOWN, TRAINING = "documents.parquet", "contexts.parquet", "work/train.parquet"
"""The files of this stage, inside the run folder."""
_KEPT = 16
"""Digits of a text's hash in the table: as good as all 64 to tell texts apart, and most of the table's bytes."""
_SHORTEST_CUT = 4096


def build_corpus(
    study: Study, tokenizer: PreTrainedTokenizerBase, out: Path, splits: Mapping[str, Split] | None = None
) -> None:
    """Write `documents.parquet`, `contexts.parquet` and `work/train.parquet` in folder `out`.

    `splits`: sources that were given to a split before (see `read_ahead`).

    Documents are read as a stream until every split has its share of `corpus.tokens`, or the input ends. What is kept
    in memory is a batch of documents, a few kB per kept document to find copies of it, and some hashes per context.
    Of a long document only the head is used, 32 characters for each token that can be taken. The contexts appear
    only once the splits have been found disjoint. The same study, tokenizer and text give the same bytes.

    Raises BadInput for a source that can't be read and for a split without a context, CheckFailed if two splits share
    a document, a source or a text.
    """
    require_offsets(tokenizer)
    corpus = study.corpus
    quota = quotas(corpus)
    say_text(corpus)
    documents = _packed(open_documents(corpus, study.seed_for("corpus")), corpus, tokenizer)
    with ExitStack() as files:
        shown = files.enter_context(table_writer("contexts", out / SHOWN))
        training = files.enter_context(table_writer("contexts", out / TRAINING))
        with (
            table_writer("documents", out / DOCUMENTS) as kept,
            bar("corpus", sum(quota.values()) * corpus.context, "tokens") as progress,
        ):
            writers = {split: training if split is Split.TRAIN else shown for split in Split}
            filling = _Filling(
                study,
                Splitter(quota, study.seed_for("corpus"), splits),
                kept,
                writers,
                progress,
                Passages(corpus.context),
            )
            filling.fill(documents, tokenizer)
            _require_contexts(corpus, filling)
        assert_disjoint(read_table(out / DOCUMENTS))
    say(filling.summary)


def say_text(corpus: Corpus) -> None:
    """Say which text the built-in corpus has here, and whether it is the committed one; nothing of other corpora."""
    if corpus.source == BUILTIN:
        say(f"  {builtin_text().line}")


def _packed(documents: Iterator[Document], corpus: Corpus, tokenizer: PreTrainedTokenizerBase) -> Iterator[Document]:
    if not corpus.pack:
        return documents
    if tokenizer.eos_token_id is None:
        raise BadInput("corpus.pack: the tokenizer has no end token to part texts by", "leave it out")
    if corpus.source_field is not None or corpus.source == BUILTIN:
        raise BadInput(
            "corpus.pack joins documents that are sources of their own, and these share sources",
            "leave out corpus.pack, or corpus.source_field where each row stands for itself",
        )
    say("  short texts are packed, with the end token between them: attention goes across it")
    return in_packs(documents, corpus.context, str(tokenizer.eos_token))


def open_documents(corpus: Corpus, seed: int) -> Iterator[Document]:
    """The documents of `corpus.source`, as a stream; BadInput when there is no such source.

    Very long ones come in pieces where `corpus.pieces` says so.
    """
    return in_pieces(_open(corpus, seed), corpus.pieces)


def _open(corpus: Corpus, seed: int) -> Iterator[Document]:
    if corpus.source == BUILTIN:
        return builtin_documents(seed)
    path = Path(corpus.source).expanduser()
    if path.exists():
        return file_documents(path, corpus, seed)
    if suffix_of(path) in SUFFIXES or path.is_absolute() or corpus.source.startswith((".", "~")):
        raise BadInput(f"no corpus file or folder {path}", "correct corpus.source, or use 'builtin'")
    return hub_documents(corpus)


@dataclass
class _Filling:
    """The splits while they fill."""

    study: Study
    splitter: Splitter
    documents: TableWriter
    contexts: Mapping[Split, TableWriter]
    progress: Bar
    passages: Passages
    read: int = 0
    short: int = 0
    copies: int = 0
    written: int = 0

    def fill(self, documents: Iterator[Document], tokenizer: PreTrainedTokenizerBase) -> None:
        """Take documents until every split is full, or there are no more."""
        corpus = self.study.corpus
        seen = NearDuplicates(corpus.near_duplicate, self.study.seed_for("corpus"))
        longest = max(CHARACTERS_PER_TOKEN * corpus.context * corpus.max_per_document, _SHORTEST_CUT)
        batches = tokenised_batches(documents, tokenizer, longest)
        while not self.splitter.full and (batch := next(batches, None)):
            for document, tokenised in batch:
                self._take(document, tokenised, seen)
            self.progress.note(f"{self.documents.rows:,} documents")

    def _take(self, document: Document, tokenised: Tokenised, seen: NearDuplicates) -> None:
        self.read += 1
        if len(tokenised.tokens) < self.study.corpus.context:
            self.short += 1
            return
        split = self.splitter.split_of(document.source)
        room = self.splitter.room(split) if split else 0
        if split is None or room <= 0:
            return
        windows = self._new_windows(document, tokenised)[:room]
        if not windows or not seen.add_if_new(document.text):
            self.copies += 1
            return
        self._write(document, tokenised, split, windows)

    def _new_windows(self, document: Document, tokenised: Tokenised) -> list[Window]:
        """Windows whose text does not stand in earlier contexts."""
        corpus = self.study.corpus
        key = (self.study.seed_for("corpus"), text_hash(document.text))
        starts = window_starts(len(tokenised.tokens), corpus.context, corpus.max_per_document, key)
        found = [window(document.text, tokenised, start, corpus.context) for start in starts]
        return [w for w in found if not self.passages.seen("".join(w.pieces))]

    def _write(self, document: Document, tokenised: Tokenised, split: Split, windows: Iterable[Window]) -> None:
        number, count = self.documents.rows, 0
        for w in windows:
            row = Context(self.written, split, number, document.source, w.start, w.tokens, w.pieces)
            self.contexts[split].add(row)
            self.passages.add(row.text)
            self.written, count = self.written + 1, count + 1
        characters, tokens = len(document.text), len(tokenised.tokens)
        text = text_hash(document.text)[:_KEPT]
        self.documents.add(
            DocumentRow(number, document.source, split, document.licence, characters, tokens, count, text)
        )
        self.splitter.take(split, count)
        self.progress.advance(count * self.study.corpus.context)

    @property
    def summary(self) -> str:
        """What was taken and what was left, in one line."""
        shares = ", ".join(f"{split} {n:,}" for split, n in self.splitter.taken.items())
        return (
            f"  corpus: {self.documents.rows:,} documents of {self.read:,} read, {self.written:,} contexts ({shares}); "
            f"left out {self.copies:,} near-duplicates and {self.short:,} shorter than a context"
        )


def _require_contexts(corpus: Corpus, filling: _Filling) -> None:
    if not filling.read:
        raise BadInput(f"corpus '{corpus.source}' is empty", "give one that holds text")
    taken = filling.splitter.taken
    for split, n in taken.items():
        if n == 0:
            raise BadInput(
                f"too few contexts: corpus '{corpus.source}' has {sum(taken.values())} of {corpus.context} tokens in"
                f" all ({filling.read} documents, {filling.short} of them shorter), none in split '{split}'",
                "give more text from more sources, or lower corpus.context",
            )
