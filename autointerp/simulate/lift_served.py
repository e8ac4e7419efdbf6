"""`lift` through a server that gives log-probabilities of a prompt: one request per explanation and distinct word.

A server tells what it thinks of the tokens of a prompt, not of the whole vocabulary. So each word is asked for by name:
`log P(word | prefix)` is the log-probability of the text `prefix word` less that of `prefix` alone. What both texts
share cancels; a word that is one token comes to that token's log-probability, as in the process, a word that is several
to the sum of theirs, given one another.

A token's word is its text without the space around it, after one space. A token of white space alone is asked for as it
is, without a space before it. A token that only starts a character takes the value of the one that ends it; where the
context ends before that, 0: no word is there to be raised.

Costs a request of some twenty tokens for every distinct word of an explanation's contexts, and as many for each
explanation of the bank, which all units share. A server that keeps prefixes computes one token of each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from math import fsum

import numpy as np
from jaxtyping import Float

from autointerp.errors import BadInput
from autointerp.llm.client import Asker
from autointerp.llm.questions import read_each
from autointerp.llm.request import COMPLETION, Question, Request, Response, TokenLogprob
from autointerp.progress import Bar
from autointerp.prompting import Prompt
from autointerp.quoting import unmarked, visible
from autointerp.records import Context, Scale, Simulation, Unscored
from autointerp.simulate.interface import Task
from autointerp.simulate.lift import NAME, prefix
from autointerp.simulate.vocabulary import by_explanation

MOST = 500_000
"""Requests of one call to `simulate` at most: hours of a server of one's own, and more than anyone means to pay for."""
NO_LOGPROB = Unscored("a token of a word has no log-probability")
Tokens = tuple[TokenLogprob, ...]
"""A prompt's tokens."""
_Asked = tuple[str, str]
"""Prefix and word."""


class LiftServed:
    """Predicts `max(0, log P(word | explanation) - mean over the bank of log P(word | unrelated))`, in nats."""

    name = NAME
    scale = Scale.NATS

    def __init__(self, asker: Asker, prompt: Prompt, bank: Sequence[str], model: str, seed: int) -> None:
        """`bank` holds the unrelated explanations; `model`: the study's name of the language model."""
        self._asker, self._prompt, self._model, self._seed = asker, prompt, model, seed
        self._bank = [self._prefix(explanation) for explanation in bank]

    def _prefix(self, explanation: str) -> str:
        return unmarked(prefix(self._prompt, explanation))

    def simulate(self, tasks: Sequence[Task], progress: Bar) -> Iterator[tuple[int, Simulation | Unscored]]:
        """Each distinct word is asked for once per explanation; a task of which one stays unanswered is Unscored.

        Raises BadInput, before anything is asked, when that would be more than MOST requests.
        """
        by_text, hopeless = by_explanation(tasks)
        for place, why in hopeless.items():
            progress.advance()
            yield place, why
        words = {text: _words(c for place in places for c in tasks[place].contexts) for text, places in by_text.items()}
        every = sorted(set().union(*words.values()))
        prefixes = {text: self._prefix(text) for text in by_text}
        self._check(len(self._bank), len(every), sum(len(found) for found in words.values()))
        alone = self._alone(list(dict.fromkeys([*self._bank, *prefixes.values()])))
        unrelated = self._unrelated(every, alone)
        for text, own in self._own(words, prefixes, alone):
            for place in by_text[text]:
                progress.advance()
                yield place, self._whole(tasks[place], own, unrelated)

    def _check(self, bank: int, every: int, own: int) -> None:
        if bank * every + own > MOST:
            raise BadInput(
                f"simulator '{NAME}' through an endpoint would send {bank * every + own:,} requests "
                f"({bank} word lists x {every:,} distinct words, and {own:,} for the explanations)",
                "use fewer units, candidates or derangements, a smaller simulate.bank (8), "
                "'lift-in-context', or a model in this process",
            )

    def _alone(self, prefixes: Sequence[str]) -> dict[str, Tokens | Unscored]:
        """The tokens of each prefix by itself."""
        questions = (Question(self._request(text), lambda response: response.prompt_logprobs) for text in prefixes)
        return {prefixes[place]: tokens for place, tokens in read_each(self._asker, questions, Bar())}

    def _unrelated(self, words: Sequence[str], alone: Mapping[str, Tokens | Unscored]) -> dict[str, float | Unscored]:
        """The mean log-probability of each word over the bank; Unscored when one of them is not known."""
        asked = [(text, word) for text in self._bank for word in words]
        values = np.zeros((len(self._bank), len(words)))
        failed: dict[str, Unscored] = {}
        for number, value in self._ask(asked, alone):
            row, column = divmod(number, len(words))
            if isinstance(value, Unscored):
                failed.setdefault(words[column], value)
            else:
                values[row, column] = value
        means = zip(words, values.mean(axis=0).tolist(), strict=True)
        return {word: failed.get(word, mean) for word, mean in means}

    def _own(
        self,
        words: Mapping[str, Sequence[str]],
        prefixes: Mapping[str, str],
        alone: Mapping[str, Tokens | Unscored],
    ) -> Iterator[tuple[str, dict[str, float | Unscored]]]:
        """The log-probability of each of its words under each explanation, as these are complete."""
        owners = [(text, word) for text, wanted in words.items() for word in wanted]
        gathered: dict[str, dict[str, float | Unscored]] = {text: {} for text in words}
        yield from ((text, {}) for text, wanted in words.items() if not wanted)
        for number, value in self._ask([(prefixes[text], word) for text, word in owners], alone):
            text, word = owners[number]
            gathered[text][word] = value
            if len(gathered[text]) == len(words[text]):
                yield text, gathered.pop(text)

    def _ask(
        self, asked: Sequence[_Asked], alone: Mapping[str, Tokens | Unscored]
    ) -> Iterator[tuple[int, float | Unscored]]:
        """The log-probability of each word after its prefix.

        Words are asked for even where the prefix alone has failed: an estimate counts them that way.
        """
        questions = (
            Question(self._request(text + word), partial(log_probability, alone=alone[text])) for text, word in asked
        )
        yield from read_each(self._asker, questions, Bar())

    def _request(self, text: str) -> Request:
        """A text whose continuation (a token, since servers want one) is not read."""
        return Request(((COMPLETION, text),), self._model, 1, 0.0, self._seed, prompt_logprobs=1)

    def _whole(
        self, task: Task, own: Mapping[str, float | Unscored], unrelated: Mapping[str, float | Unscored]
    ) -> Simulation | Unscored:
        rows: list[Float[np.ndarray, " token"]] = []
        for context in task.contexts:
            row: list[float] = []
            for word in spelled(context.pieces):
                gain = _gain(own[word], unrelated[word]) if word else 0.0
                if isinstance(gain, Unscored):
                    return gain
                row.append(gain)
            rows.append(np.array(row, dtype=np.float32))
        return Simulation(np.stack(rows), self.scale)


def log_probability(response: Response, alone: Tokens | Unscored) -> float | Unscored:
    """`log P(prefix and word) - log P(prefix)` in nats, of an answer about both and the tokens of the prefix alone.

    Nothing is known of a prompt's first token, and both have the same. What can't be read is final: a prompt stays as
    it is.
    """
    if isinstance(alone, Unscored):
        return alone
    both = response.prompt_logprobs
    shared = 1
    while shared < min(len(both), len(alone)) and both[shared].text == alone[shared].text:
        shared += 1
    gained, lost = _known(both[shared:]), _known(alone[shared:])
    return NO_LOGPROB if gained is None or lost is None else fsum(gained) - fsum(lost)


def _known(tokens: Tokens) -> list[float] | None:
    """The tokens' log-probabilities; None when one has none."""
    values = [token.logprob for token in tokens if token.logprob is not None]
    return values if len(values) == len(tokens) else None


def spelled(pieces: Sequence[str]) -> list[str]:
    """The text that is asked for in the place of each token, after the prefix; '' for one that has none."""
    words: list[str] = []
    text = ""
    for piece in reversed(pieces):
        if piece:
            word = unmarked(visible(piece.strip()))
            text = f" {word}" if word else piece
        words.append(text)
    return words[::-1]


def _words(contexts: Iterable[Context]) -> list[str]:
    """The distinct texts that are asked for."""
    return sorted({word for context in contexts for word in spelled(context.pieces) if word})


def _gain(own: float | Unscored, unrelated: float | Unscored) -> float | Unscored:
    if isinstance(own, Unscored):
        return own
    return unrelated if isinstance(unrelated, Unscored) else max(0.0, own - unrelated)
