"""The model that gave the accounts, asked again about reviews with words taken out: what it says is what methods see.

Methods ask through a `MaskScorer`, one review after the other; an endpoint wants many requests at a time. So every
method is carried out twice: first what it wants to know is written down (`foresee`), then all of it is asked in one
stream, then it gets its answers (`carry_out`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
from jaxtyping import Float

from autointerp.attribution.masks import Masks, MaskScorer
from autointerp.llm.answers.json import answer_object, find_json
from autointerp.llm.answers.logprobs import shares, tokens_at
from autointerp.llm.client import Asker
from autointerp.llm.questions import InOrder, read_each
from autointerp.llm.request import Question, Request, Response, Unreadable
from autointerp.progress import bar
from autointerp.prompting import Prompt
from autointerp.quoting import quoted
from autointerp.records import Unscored
from autointerp.self_explanation.own_accounts import CONFIDENCE, LABEL, NEGATIVE, NO_LABEL, POSITIVE, Label, read_label
from autointerp.self_explanation.review_words import ReviewWords

T = TypeVar("T")
TOP_LOGPROBS = 5
"""Alternatives of the label's token."""
NOT_LIKELY = Unreadable("no label among the top log-probabilities")
_ANSWER_TOKENS = 48
_BEGINNINGS = tuple(frozenset(word[:end] for end in range(1, len(word) + 1)) for word in (POSITIVE, NEGATIVE))
"""What a first token of each label may be: they differ in the first letter."""


@dataclass(frozen=True)
class Predicting:
    """How labels alone are asked for."""

    prompt: Prompt
    model: str
    seed: int
    logprobs: bool
    """P(positive) is read off the label's token; else it is the confidence that the model says."""

    def question(self, text: str) -> Question[Label]:
        """Ask for the label of a text."""
        members = {"label": LABEL} if self.logprobs else {"label": LABEL, "confidence": CONFIDENCE}
        request = Request(
            messages=self.prompt.render(review=quoted(text), confidence=not self.logprobs),
            model=self.model,
            max_tokens=_ANSWER_TOKENS,
            temperature=0.0,
            seed=self.seed,
            top_logprobs=TOP_LOGPROBS if self.logprobs else 0,
            json_object=True,
            schema=answer_object(members),
        )
        return Question(request, partial(read_prediction, logprobs=self.logprobs))


def read_prediction(response: Response, logprobs: bool) -> Label | Unreadable:
    """A label with its probability: the label's share of both at its first token, or the confidence that is said.

    With log-probabilities the likelier label counts, which is the one that is written at temperature 0.
    """
    part = find_json(response.text)
    if isinstance(part, Unreadable):
        return part
    if not isinstance(part.value, dict):
        return NO_LABEL
    label = read_label(part.value if not logprobs else {**part.value, "confidence": 1})
    if isinstance(label, Unreadable) or not logprobs:
        return label
    said = POSITIVE if label.positive else NEGATIVE
    place = response.text.casefold().rfind(said, part.start, part.end)
    tokens = tokens_at(response, [place])
    if isinstance(tokens, Unreadable):
        return tokens
    found = shares(tokens[0], _BEGINNINGS) if tokens else None
    if found is None:
        return NOT_LIKELY
    return Label(found[0] >= 0.5, max(found), False)


class _NotAsked(Exception):
    """Something that a method wants to know is not known yet."""


class _NoAnswer(Exception):
    """Something that a method wants to know was asked, and came to nothing."""

    def __init__(self, why: Unscored) -> None:
        super().__init__(why.reason)
        self.why = why


class MaskedReviews:
    """Labels of reviews with words taken out. Equal texts are asked about once."""

    def __init__(self, predicting: Predicting) -> None:
        self._predicting = predicting
        self._known: dict[str, Label | Unscored] = {}
        self._wanted: dict[str, None] = {}

    def label(self, text: str) -> Label | Unscored:
        """What the model says of a text that was asked about."""
        return self._known[text]

    def want(self, text: str) -> None:
        """Have `ask` ask about a text."""
        if text not in self._known:
            self._wanted[text] = None

    def scorer(self, review: ReviewWords, positive: bool) -> MaskScorer:
        """Probability of one label, for each mask: column 0. For use inside `foresee` and `carry_out` alone."""

        def score(masks: Masks) -> Float[np.ndarray, "draw target"]:
            texts = [review.kept(mask) for mask in masks]
            for text in texts:
                self.want(text)
            if any(text in self._wanted for text in texts):
                raise _NotAsked
            return np.array([[self._probability(text, positive)] for text in texts])

        return score

    def _probability(self, text: str, positive: bool) -> float:
        found = self._known[text]
        if isinstance(found, Unscored):
            raise _NoAnswer(found)
        return found.p_positive if positive else 1 - found.p_positive

    def foresee(self, compute: Callable[[], object]) -> None:
        """Note what `compute` wants to know of a scorer; it must want all of it at once."""
        try:
            compute()
        except (_NotAsked, _NoAnswer):
            return

    def carry_out(self, compute: Callable[[], T]) -> T | Unscored:
        """What `compute` comes to, all that it wants to know having been asked; Unscored where an answer is."""
        try:
            return compute()
        except _NoAnswer as error:
            return error.why

    def ask(self, asker: Asker, title: str) -> None:
        """Ask about every text that is wanted, in one stream."""
        texts = list(self._wanted)
        questions = (self._predicting.question(text) for text in texts)
        with bar(title, len(texts), "texts") as progress:
            for place, said in read_each(InOrder(asker), questions, progress):
                self._known[texts[place]] = said
        self._wanted.clear()
