"""One model and many reviews: its accounts, what it says of reviews with words taken out, and what comes of both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from autointerp.artifacts import rng_of
from autointerp.llm.client import Asker
from autointerp.llm.questions import InOrder, read_each
from autointerp.progress import bar
from autointerp.prompting import Prompt
from autointerp.records import Unscored
from autointerp.self_explanation.account_measures import BY_DELETION, PLANTED_FOUND, by_deletion, planted_found
from autointerp.self_explanation.masked_reviews import MaskedReviews, Predicting
from autointerp.self_explanation.own_accounts import ORDERS, Account, Label, account_question
from autointerp.self_explanation.review_words import ReviewWords
from autointerp.self_explanation.reviews import Review
from autointerp.self_explanation.rival_accounts import (
    LIME,
    OCCLUSION,
    OTHER_REVIEW,
    PLANTED,
    RIVALS,
    Importance,
    limed,
    occluded,
    of_another_review,
    without_the_model,
)  # fmt: skip

NOT_ASKED = Unscored("not asked")
NO_OTHER = Unscored("no other review has an account")


@dataclass(frozen=True)
class AccountAsking:
    """How the model is asked."""

    predicting: Predicting
    orders: tuple[str, ...]
    """Of ORDERS, those in which accounts are asked for; the first one's are the accounts of another review."""
    prompts: dict[str, Prompt]
    """Order -> prompt."""
    seed: int
    lime_draws: int
    foresight: bool = False
    """Nothing is answered, requests are counted: what a method would say is made up, so that its measures are asked."""


@dataclass
class ExplainedReview:
    """What came of one review."""

    review: Review
    words: ReviewWords
    prediction: Label | Unscored = NOT_ASKED
    """What the model says when it is asked for the label alone: what every method is held against."""
    accounts: dict[str, Account | Unscored] = field(default_factory=dict)
    """By order."""
    importances: dict[str, Importance | Unscored] = field(default_factory=dict)
    """Method (an order, or a rival) -> how much each word speaks for the predicted label."""
    measures: dict[str, dict[str, float | Unscored]] = field(default_factory=dict)
    """Method -> measure -> value."""


def explain(asker: Asker, reviews: Sequence[Review], asking: AccountAsking) -> list[ExplainedReview]:
    """Ask for everything in four rounds: accounts, labels, occlusion and LIME, and what takes words away."""
    found = [ExplainedReview(review, ReviewWords(review.text)) for review in reviews]
    _ask_accounts(asker, found, asking)
    masked = MaskedReviews(asking.predicting)
    for each in found:
        masked.want(each.words.text)
    masked.ask(asker, "labels")
    for each in found:
        each.prediction = masked.label(each.words.text)
        if asking.foresight and isinstance(each.prediction, Unscored):
            each.prediction = Label(True, 1.0, False)
    _attribute(asker, masked, found, asking)
    _measure(asker, masked, found, asking)
    return found


def _ask_accounts(asker: Asker, found: Sequence[ExplainedReview], asking: AccountAsking) -> None:
    owners = [(each, order) for order in asking.orders for each in found]
    predicting = asking.predicting
    questions = (
        account_question(order, each.words, asking.prompts[order], predicting.model, predicting.seed)
        for each, order in owners
    )
    with bar("accounts", len(owners), "accounts") as progress:
        for place, said in read_each(InOrder(asker), questions, progress):
            each, order = owners[place]
            each.accounts[order] = said


def _attribute(asker: Asker, masked: MaskedReviews, found: Sequence[ExplainedReview], asking: AccountAsking) -> None:
    """Fill `importances`."""
    computed: list[tuple[ExplainedReview, str, Callable[[], Importance]]] = []
    for number, each in enumerate(found):
        if isinstance(each.prediction, Unscored):
            each.importances = {OCCLUSION: each.prediction, LIME: each.prediction}
            continue
        score, words = masked.scorer(each.words, each.prediction.positive), len(each.words.words)
        computed.append((each, OCCLUSION, partial(occluded, score, words)))
        computed.append((each, LIME, partial(limed, score, words, asking.lime_draws, asking.seed, number)))
    for _, _, compute in computed:
        masked.foresee(compute)
    masked.ask(asker, "occlusion and LIME")
    own = [_towards_its_label(each.accounts[asking.orders[0]]) for each in found]
    for number, each in enumerate(found):
        for order in asking.orders:
            each.importances[order] = _towards(each.accounts[order], each.prediction)
        other = of_another_review(number, own, len(each.words.words), asking.seed)
        each.importances[OTHER_REVIEW] = NO_OTHER if other is None else other
        each.importances |= without_the_model(each.review, each.words, asking.seed, number)
    for each, method, compute in computed:
        each.importances[method] = masked.carry_out(compute)
    for each in found:
        each.importances = {name: each.importances[name] for name in (*ORDERS, *RIVALS) if name in each.importances}
    for number, each in enumerate(found if asking.foresight else ()):
        for method, said in each.importances.items():
            if isinstance(said, Unscored):
                each.importances[method] = rng_of("made up", number, method).random(len(each.words.words))


def _towards(account: Account | Unscored, label: Label | Unscored) -> Importance | Unscored:
    """The numbers of an account, positive where they speak for a label."""
    if isinstance(account, Unscored):
        return account
    if isinstance(label, Unscored):
        return label
    return np.array(account.importances) * (1 if label.positive else -1)


def _towards_its_label(account: Account | Unscored) -> Importance | None:
    found = _towards(account, account if isinstance(account, Unscored) else account.label)
    return None if isinstance(found, Unscored) else found


def _measure(asker: Asker, masked: MaskedReviews, found: Sequence[ExplainedReview], asking: AccountAsking) -> None:
    """Fill `measures`."""
    computed: list[tuple[ExplainedReview, str, Callable[[], dict[str, float | Unscored]]]] = []
    for number, each in enumerate(found):
        for method, importance in each.importances.items():
            failed = each.prediction if isinstance(each.prediction, Unscored) else importance
            if isinstance(failed, Unscored):
                each.measures[method] = _all_unscored(failed)
                continue
            assert not isinstance(each.prediction, Unscored)
            assert not isinstance(importance, Unscored)
            ties = partial(rng_of, asking.seed, "ties", number, method)
            score = masked.scorer(each.words, each.prediction.positive)
            computed.append((each, method, partial(by_deletion, score, importance, ties)))
            if method != PLANTED:
                each.measures[method] = {PLANTED_FOUND: planted_found(importance, each.review.decisive, ties())}
    for _, _, compute in computed:
        masked.foresee(compute)
    masked.ask(asker, "words taken away")
    for each, method, compute in computed:
        said = masked.carry_out(compute)
        known = each.measures.setdefault(method, {})
        known |= _all_unscored(said) if isinstance(said, Unscored) else said


def _all_unscored(why: Unscored) -> dict[str, float | Unscored]:
    return dict.fromkeys(BY_DELETION, why)
