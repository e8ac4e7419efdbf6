"""Splits: every source falls in one, and their token shares follow the study."""

from __future__ import annotations

from collections.abc import Mapping

from autointerp.artifacts import seed_of
from autointerp.errors import BadInput
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
