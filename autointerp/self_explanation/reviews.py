"""The reviews that a model is asked about: generated ones, whose decisive words are known, or a file of the user's."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from autointerp.artifacts import hash_file, rng_of
from autointerp.corpus.row_files import rows_of
from autointerp.errors import BadInput
from autointerp.quoting import well_formed
from autointerp.self_explanation.review_templates import HALVES, ReviewParts
from autointerp.self_explanation.review_words import words_of

OWN = "own"
"""Kind of a review out of a user's file."""
FEWEST, MOST = 2, 120
"""Words and marks that a review may have: one word has no order, and the answer about many is long."""
_STARRED = re.compile(r"\*([^*]+)\*")
_LABELS = {"positive": True, "pos": True, "1": True, "true": True,
           "negative": False, "neg": False, "0": False, "false": False}  # fmt: skip
_FIELDS = {"text": "text", "label": "label"}


@dataclass(frozen=True)
class Review:
    """One review and its label."""

    text: str
    positive: bool
    """The label that is true of it."""
    kind: str
    """`plain`, `negated` or `contrast`; `own` out of a file."""
    decisive: tuple[int, ...] | None = None
    """Places of the words that decide by the rule that made it; None where nobody knows them."""


@dataclass(frozen=True)
class ReviewSet:
    """Reviews, and what they are."""

    name: str
    """In words: which half of the generated ones, or a file's name and hash."""
    reviews: tuple[Review, ...]
    left_out: dict[str, int]
    """Why reviews of a file are not asked about -> how many."""


def generated(half: str, count: int, seed: int) -> ReviewSet:
    """`count` reviews of a half (`development` or `held-out`), as many positive as negative ones, templates in turn.

    The two halves share no sentence, no polar word and no noun.
    """
    parts, found = HALVES[half], list[Review]()
    for number in range(count):
        rng = rng_of(seed, "review", half, number)
        kind, template = parts.templates[(number // 2) % len(parts.templates)]
        found.append(_made(kind, template, parts, number % 2 == 0, rng))
    return ReviewSet(f"generated reviews, {half} half", tuple(found), {})


def _made(kind: str, template: str, parts: ReviewParts, positive: bool, rng: np.random.Generator) -> Review:
    own, other = (parts.positive, parts.negative) if positive else (parts.negative, parts.positive)
    first, second = rng.choice(len(parts.nouns), size=2, replace=False)
    starred = template.format(
        p=own[rng.integers(len(own))], q=other[rng.integers(len(other))], n=parts.nouns[first], m=parts.nouns[second]
    )
    decisive, text, end = list[int](), "", 0
    for match in _STARRED.finditer(starred):
        text += starred[end : match.start()]
        decisive.append(len(words_of(text)))
        text += match[1]
        end = match.end()
    return Review(text + starred[end:], positive, kind, tuple(decisive))


def read_reviews(file: Path, count: int, seed: int) -> ReviewSet:
    """`count` reviews at most, drawn by `seed`, out of a file with the fields `text` and `label` (positive, negative).

    Reviews with no text, another label, under two or over 120 words are left out, with the reason. Raises BadInput for
    a file that can't be read, or that holds none.
    """
    try:
        rows = list(rows_of(file, file.name, _FIELDS))
        name = f"{file.name} (sha256 {hash_file(file)[:12]})"
    except (OSError, UnicodeError, pa.ArrowException) as error:
        raise BadInput(f"{file} can't be read as reviews ({error})", "give JSON lines, CSV, TSV or Parquet") from error
    left, found = Counter[str](), list[Review]()
    for row in rows:
        review = _read(row)
        if isinstance(review, Review):
            found.append(review)
        else:
            left[review] += 1
    if not found:
        raise BadInput(f"no review in {file} ({dict(left) or 'no row'})", "give rows with the fields text and label")
    places = sorted(rng_of(seed, "reviews of a file").permutation(len(found))[:count].tolist())
    return ReviewSet(name, tuple(found[place] for place in places), dict(left))


def _read(row: Any) -> Review | str:
    """The review of a row, or why it is none."""
    text, label = row.get("text"), row.get("label")
    if not isinstance(text, str) or not text.strip():
        return "no text"
    positive = _LABELS.get(str(label).strip().casefold())
    if positive is None:
        return "a label other than positive and negative"
    text = well_formed(text.strip())
    if not FEWEST <= (words := len(words_of(text))) <= MOST:
        return f"under {FEWEST} words" if words < FEWEST else f"over {MOST} words"
    return Review(text, positive, OWN)


def majority(reviews: Sequence[Review]) -> float:
    """Accuracy of the dumbest labelling: the more frequent label for all."""
    share = float(np.mean([review.positive for review in reviews]))
    return max(share, 1 - share)
