"""A meaning as a list of words, which most of a run's explanations are: made by its rule over the evidence.

The rule finds the tokens, their texts are ranked by the activation that they carry, and the first ones are named: the
form, and the way, in which the explainer that asks no model writes a list. So a list never says more than the text
does.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice

import numpy as np

from autointerp.contexts.naming import LIST, word_of
from autointerp.planted.activations import active_rows
from autointerp.planted.meanings import TRUE
from autointerp.planted.rules import Rule
from autointerp.records import Context

WORDS = 10
"""Named at most."""
ENOUGH = 200
"""Active contexts that a list is made from, at most."""


def word_list(rule: Rule, contexts: Sequence[Context], order: Iterable[int]) -> str:
    """`words such as a, b, c`: the texts under the rule, by summed activation; '' where no printable one is active.

    `order` are places of `contexts`, in the order in which they are looked at.
    """
    sums = defaultdict[str, float](float)
    for place, values in islice(active_rows(rule, contexts, order), ENOUGH):
        for token in np.flatnonzero(values).tolist():
            if (word := word_of(contexts[place].pieces[token])) and "," not in word:  # a comma divides the list
                sums[word] += float(values[token])
    words = sorted(sums, key=lambda word: (-sums[word], word))[:WORDS]
    return LIST + ", ".join(words) if words else ""


def word_lists(rules: Mapping[str, Rule], told: Callable[[Rule], str]) -> dict[str, str]:
    """The list of each sort of explanation that can be told so (`told`); none at all where the true one can't."""
    lists = {sort: text for sort, rule in rules.items() if (text := told(rule))}
    return lists if TRUE in lists else {}
