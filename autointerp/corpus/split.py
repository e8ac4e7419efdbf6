"""Splits: every source falls in one, their token shares follow the study, near-duplicates are dropped, all is checked.

Near-duplicates: MinHash signatures of word 5-grams in locality-sensitive bands (Broder 1997).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import pandas as pd
from datasketch import MinHash, MinHashLSH

from autointerp.artifacts import seed_of
from autointerp.corpus.document import normalised, text_hash
from autointerp.errors import BadInput, CheckFailed
from autointerp.records import Split
from autointerp.study_inputs import Corpus


def quotas(corpus: Corpus) -> dict[Split, int]:
    """How many contexts each split with a share gets; BadInput when a split would get none."""
    shares = {
        Split.TRAIN: corpus.train,
        Split.EVIDENCE: corpus.evidence,
        Split.CALIBRATION: corpus.calibration,
        Split.HELD_OUT: corpus.held_out,
    }
    wanted = {split: share for split, share in shares.items() if share > 0}
    found = {split: round(share * corpus.tokens / corpus.context) for split, share in wanted.items()}
    for split, n in found.items():
        if n == 0:
            raise BadInput(
                f"corpus.tokens = {corpus.tokens} leaves split '{split}' no context of {corpus.context} tokens",
                f"raise it to at least {int(corpus.context / min(wanted.values())) + 1}",
            )
    return found


class Splitter:
    """Assigns sources to splits while they stream by. A source is never moved; memory grows with their number.

    A new source goes to a split that still has room: to an empty one if there is any (so that a handful of sources
    fills every split), else to one drawn with a chance in proportion to what it lacks of its share of the contexts
    taken so far. The draw depends on the seed and the name of the source alone.
    """

    def __init__(self, quota: Mapping[Split, int], seed: int, splits: Mapping[str, Split] | None = None) -> None:
        """`splits`: sources that have theirs already."""
        self._quota = dict(quota)
        self._seed = seed
        self._split_of = dict(splits or {})
        self.taken = dict.fromkeys(self._quota, 0)
        """Contexts taken so far, per split."""

    def room(self, split: Split) -> int:
        """Contexts that the split still takes."""
        return self._quota[split] - self.taken[split]

    @property
    def full(self) -> bool:
        """Whether no split takes any more."""
        return self.taken == self._quota

    @property
    def split_by_source(self) -> dict[str, Split]:
        """The split of every source met so far."""
        return dict(self._split_of)

    def split_of(self, source: str) -> Split | None:
        """The split of a source; None for a source not met before when every split is full."""
        if source not in self._split_of:
            if self.full:
                return None
            self._split_of[source] = self._choose(source)
        return self._split_of[source]

    def take(self, split: Split, contexts: int) -> None:
        """Count contexts that a split has taken."""
        self.taken[split] += contexts

    def _choose(self, source: str) -> Split:
        empty = [split for split, n in self.taken.items() if n == 0]
        if empty:
            return max(empty, key=self._quota.__getitem__)
        ahead = (sum(self.taken.values()) + 1) / sum(self._quota.values())
        lacks = {s: max(q * ahead - self.taken[s], 0.0) if self.room(s) else 0.0 for s, q in self._quota.items()}
        point = seed_of(self._seed, "split", source) / 2**63 * sum(lacks.values())
        for split, lack in lacks.items():
            point -= lack
            if point < 0:
                return split
        return max(lacks, key=lacks.__getitem__)


def assert_disjoint(documents: pd.DataFrame) -> None:
    """Check table `documents`: ids and text hashes are unique, and no source is in two splits.

    Raises CheckFailed, naming what is wrong.
    """
    for column, word in (("document", "document"), ("text_hash", "text")):
        twice = documents[documents[column].duplicated()]
        if len(twice):
            row = twice.iloc[0]
            raise CheckFailed(f"{word} {row[column]} is in the corpus twice (the second time from {row['source']})")
    _one_split_each(documents, "source")


def assert_contexts_follow(documents: pd.DataFrame, contexts: pd.DataFrame) -> None:
    """Check table `contexts` (columns context, split, document, source): ids are unique, and each context is in the
    split and source of its document.

    Raises CheckFailed, naming what is wrong.
    """
    twice = contexts[contexts["context"].duplicated()]
    if len(twice):
        raise CheckFailed(f"context {twice.iloc[0]['context']} is in the corpus twice")
    parents = documents.set_index("document").reindex(contexts["document"])
    for column in ("split", "source"):
        wrong = contexts[parents[column].to_numpy() != contexts[column].to_numpy()]
        if len(wrong):
            row = wrong.iloc[0]
            raise CheckFailed(
                f"context {row['context']} has {column} '{row[column]}', and its document {row['document']} has not"
            )


def _one_split_each(documents: pd.DataFrame, column: str) -> None:
    splits = documents.groupby(column)["split"].nunique()
    shared = splits[splits > 1]
    if len(shared):
        name = shared.index[0]
        names = sorted(set(documents.loc[documents[column] == name, "split"]))
        raise CheckFailed(f"{column} '{name}' is in {len(names)} splits: {', '.join(names)}")


PERMUTATIONS = 64
"""Length of a signature; the standard error of an estimated similarity is 1/16 at most."""
_WORDS_PER_SHINGLE = 5
_RECALL = 0.95
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|\w+")
"""A word; in scripts that put no space between words, a character."""


class NearDuplicates:
    """Remembers the documents that were kept, and tells whether a new one is a copy of any of them.

    Memory grows with the number of kept documents (a hash, a signature of 64 numbers and its bands: a few kB each),
    not with their length. A candidate shares a band with a kept document; it is a copy when the two whole signatures
    agree in a share of at least `threshold` places, the MinHash estimate of the Jaccard similarity of their shingles.
    """

    def __init__(self, threshold: float, seed: int) -> None:
        self._threshold = threshold
        self._blank = MinHash(num_perm=PERMUTATIONS, seed=seed_of(seed, "near-duplicates") % 2**32)
        rows = _rows_per_band(threshold)
        self._bands = MinHashLSH(num_perm=PERMUTATIONS, params=(PERMUTATIONS // rows, rows))
        self._signatures: list[np.ndarray] = []
        self._exact: set[bytes] = set()

    def add_if_new(self, text: str) -> bool:
        """Remember `text` and say True, or say False when it is a copy of a text remembered earlier."""
        exact = bytes.fromhex(text_hash(text))
        if exact in self._exact:
            return False
        sketch = self._blank.copy()
        sketch.update_batch([shingle.encode() for shingle in shingles(text)])
        signature = sketch.hashvalues.astype(np.uint32)
        for other in self._bands.query(sketch):
            if np.mean(self._signatures[other] == signature) >= self._threshold:
                return False
        self._exact.add(exact)
        self._bands.insert(len(self._signatures), sketch, check_duplication=False)
        self._signatures.append(signature)
        return True


def shingles(text: str) -> set[str]:
    """The word 5-grams of the normalised text; a shorter text is one shingle."""
    words = _WORD.findall(normalised(text))
    n = _WORDS_PER_SHINGLE
    return {" ".join(words[i : i + n]) for i in range(max(len(words) - n + 1, 1))}


def _rows_per_band(threshold: float) -> int:
    """The most selective banding that still finds 95% of the pairs whose similarity is the threshold."""
    for rows in (32, 16, 8, 4, 2):
        if 1 - (1 - threshold**rows) ** (PERMUTATIONS // rows) >= _RECALL:
            return rows
    return 1
