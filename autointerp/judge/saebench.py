"""`saebench`: which of fourteen contexts hold what the explanation says? After SAEBench's autointerp evaluation
(Karvonen et al. 2025); prompt and code are our own.

Four active contexts, the two strongest and two drawn with their peaks as weights, and ten random ones, in random order;
the answer is a list of numbers, divided by commas, or "None". The score is the share of contexts that are answered
right, so that "None" for all of them scores 10/14 = 0.714: it stands beside the score as its chance. There a random
context may be active after all; here it was seen to be silent, so that every unit has the same share. An answer there
that is no list is left out of the mean; here it is asked again, and counted.
"""

from __future__ import annotations

import re
from functools import partial

import numpy as np

from autointerp.judge.interface import Case, HeldOut, Item, Items, JudgeSettings, Traits
from autointerp.judge.items import TOO_FEW_ACTIVE, TOO_FEW_INACTIVE
from autointerp.llm.answers.thoughts import without_thoughts
from autointerp.llm.request import Question, Request, Response, Unreadable
from autointerp.prompting import load_prompt
from autointerp.quoting import quoted
from autointerp.records import Unscored

TOP, WEIGHTED, RANDOM = 2, 2, 10
"""Strongest contexts, further active ones drawn by their peaks, and silent ones."""
SHOWN = TOP + WEIGHTED + RANDOM
_ANSWER_TOKENS = 80
"""For all fourteen numbers, and a few words around them."""
_NUMBERS = re.compile(r"\d+(?:(?:[\s,;&*-]|\b(?:and|or|excerpts?|examples?)\b)+\d+)*", re.I)
_NONE = re.compile(r"\W*none\b", re.I)
_DIGITS = 3
"""Of a number at most."""
NO_LIST = Unreadable("the answer is no list of numbers")
NO_SUCH_ITEM = Unreadable("a number that was not shown")


class SaeBench:
    """Shows an explanation and fourteen contexts, without marks, and asks for the numbers of those that fit."""

    name = "saebench"
    traits = Traits(metrics=("share_right", "balanced_accuracy", "auroc"), share=(TOP + WEIGHTED) / SHOWN)

    def __init__(self, settings: JudgeSettings) -> None:
        """Raises BadInput when the prompt can't be loaded."""
        self._prompt = load_prompt(settings.prompt or "saebench/v1", settings.prompts_folder)
        self.prompt = self._prompt.identity
        """`name@hash`."""
        self._model, self._seed = settings.llm.model, settings.seed

    def batches(self, case: Case, rng: np.random.Generator) -> list[Items] | Unscored:
        """One request; Unscored with fewer than four active contexts, or ten that were drawn blindly and are silent."""
        active = sorted((c for c in case.contexts if c.peak > 0), key=lambda c: (-c.peak, c.context.context))
        silent = [c for c in case.contexts if c.random and c.peak == 0]
        if len(active) < TOP + WEIGHTED:
            return TOO_FEW_ACTIVE
        if len(silent) < RANDOM:
            return TOO_FEW_INACTIVE
        rest = active[TOP:]
        peaks = np.array([c.peak for c in rest])
        weighted = [rest[int(i)] for i in rng.choice(len(rest), WEIGHTED, replace=False, p=peaks / peaks.sum())]
        drawn = [*active[:TOP], *weighted, *(silent[int(i)] for i in rng.choice(len(silent), RANDOM, replace=False))]
        return [self._asked(case.explanation, [drawn[int(i)] for i in rng.permutation(SHOWN)])]

    def _asked(self, explanation: str, contexts: list[HeldOut]) -> Items:
        messages = self._prompt.render(
            explanation=quoted(explanation), excerpts=[quoted(c.context.text) for c in contexts]
        )
        items = tuple(Item(c.context.context, place, c.peak > 0) for place, c in enumerate(contexts))
        request = Request(messages, self._model, _ANSWER_TOKENS, temperature=0.0, seed=self._seed)
        return Items(items, Question(request, partial(read_numbers, count=len(items))))


def read_numbers(response: Response, count: int) -> tuple[float, ...] | Unreadable:
    """1.0 for each of `count` items whose number (from 1) is in the list, else 0.0; after "none" 0.0 for all.

    Unreadable where there is no list, where there are two, and for a number beyond `count`.
    """
    text = without_thoughts(response.text)
    if _NONE.match(text):
        return (0.0,) * count
    lists = _NUMBERS.findall(text)
    if len(lists) != 1:
        return NO_LIST
    numbers = re.findall(r"\d+", lists[0])
    named = {int(number) for number in numbers if len(number) <= _DIGITS}
    if not named <= set(range(1, count + 1)) or any(len(number) > _DIGITS for number in numbers):
        return NO_SUCH_ITEM
    return tuple(float(number in named) for number in range(1, count + 1))
