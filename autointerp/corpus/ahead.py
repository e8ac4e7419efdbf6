"""Sources given to their splits before there is a tokenizer, so that one can be learned from training text alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from autointerp.corpus.document import Document, shortened
from autointerp.corpus.split import Splitter, quotas
from autointerp.errors import BadInput
from autointerp.progress import bar
from autointerp.records import Split
from autointerp.study_inputs import Corpus

_CHARACTERS_PER_TOKEN = 4
_MOST_CHARACTERS = 5_000_000
"""Text from which the merges of a small vocabulary are learned well: more changes hardly any of them."""
_LONGEST = 20_000
"""Characters of one document at most, so that no long one decides what the tokens are."""


@dataclass(frozen=True)
class Ahead:
    """What was read ahead."""

    texts: tuple[str, ...]
    """Documents of the training split, in the order of the corpus."""
    splits: dict[str, Split]
    """The split of every source that was met, of whatever split."""


def read_ahead(documents: Iterable[Document], corpus: Corpus, seed: int) -> Ahead:
    """Read documents until the training split has about as much text as it will get, five million characters at most.

    Sources are split as `build_corpus` does it, by their share of the text and not yet by that of the tokens;
    `build_corpus` keeps to these splits. Documents that it leaves out later, as too short or as near-duplicates, may
    be among the texts. Raises BadInput when the study has no training split or the corpus gives it no text.
    """
    quota = quotas(corpus)
    if Split.TRAIN not in quota:
        raise BadInput("corpus.train = 0 leaves nothing to train the subject on", "raise it, or take out subject.train")
    wanted = min(_CHARACTERS_PER_TOKEN * corpus.context * quota[Split.TRAIN], _MOST_CHARACTERS)
    splitter = Splitter({split: -(-n * wanted // quota[Split.TRAIN]) for split, n in quota.items()}, seed)
    texts: list[str] = []
    with bar("text for the tokenizer", wanted, "characters") as progress:
        for document in documents:
            split = splitter.split_of(document.source)
            if split is None:
                break
            text = shortened(document, _LONGEST).text
            splitter.take(split, len(text))
            if split is Split.TRAIN:
                texts.append(text)
                progress.advance(len(text))
                if splitter.room(split) <= 0:
                    break
    if not any(texts):
        raise BadInput(
            f"corpus '{corpus.source}' has no text for the training split", "give more text, or more sources"
        )
    return Ahead(tuple(texts), splitter.split_by_source)
