"""`lift-in-context`: how much likelier an explanation makes each token of a context where it stands.

The prediction at token w with the text c before it is `log P(w | heading(e), c) - log P(w | heading(neutral), c)` in
nats, clipped at 0: the explanation in a heading over the context, and in its place one that says nothing. A strong
model can see in this what a word alone does not show; a weak one sees nothing. The neutral
heading's run over a context is shared by all explanations.

`LiftInContext` is the difference, for whatever gives the log-probabilities: a model in the process (`TokenLikelihood`),
or a server that gives those of a prompt (`TextLikelihood`), asked once per explanation and context. The server cuts the
prompt into tokens of its own; where these stand in the text is found out from their texts (`alignment`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
from jaxtyping import Float

from autointerp.llm.local.encode import encode_text
from autointerp.llm.request import COMPLETION, Question, Request, Response
from autointerp.progress import Bar
from autointerp.prompting import Prompt
from autointerp.quoting import unmarked
from autointerp.records import Context, Scale, Simulation, Unscored
from autointerp.simulate.alignment import carry_over, places_of
from autointerp.simulate.asked import Asked, Row
from autointerp.simulate.computed import Computed
from autointerp.simulate.digits import OTHER_PROMPT, InPrompt
from autointerp.simulate.interface import Numbers, Simulator, Task
from autointerp.simulate.vocabulary import ContextReader, prompt_line

NAME = "lift-in-context"
NEUTRAL = "words of all kinds"
"""Stands in the heading where no explanation does: true of every text."""


class LiftInContext:
    """Predicts `max(0, log P(token | explanation, text before) - log P(token | neutral, text before))`, in nats."""

    name = NAME
    scale = Scale.NATS

    def __init__(self, likelihood: Simulator) -> None:
        """`likelihood` "predicts" the log-probability of every token under an explanation."""
        self._likelihood = likelihood

    def simulate(self, tasks: Sequence[Task], progress: Bar) -> Iterator[tuple[int, Simulation | Unscored]]:
        """First the neutral heading over every context, then the tasks, as they are complete.

        A task of which a context has no log-probabilities, under either heading, is Unscored with the reason.
        """
        contexts = list({c.context: c for task in tasks for c in task.contexts}.values())
        plain: dict[int, Simulation | Unscored] = {}
        for place, result in self._likelihood.simulate([Task(NEUTRAL, (c,)) for c in contexts], Bar()):
            plain[contexts[place].context] = result
        for place, result in self._likelihood.simulate(tasks, progress):
            yield place, _gained(result, [plain[c.context] for c in tasks[place].contexts])


def _gained(told: Simulation | Unscored, plain: Sequence[Simulation | Unscored]) -> Simulation | Unscored:
    """What an explanation adds to the neutral log-probabilities of the same contexts."""
    rows: list[Float[np.ndarray, "1 token"]] = []
    for result in (told, *plain):
        if isinstance(result, Unscored):
            return result
        rows.append(result.predicted)
    return Simulation(np.maximum(rows[0] - np.concatenate(rows[1:]), 0), Scale.NATS)


class TokenLikelihood(Computed):
    """The log-probability of every token of a context under an explanation, of a model in this process.

    One forward pass over heading and context; a token of the subject takes the mean over the simulator's tokens that it
    shares characters with.
    """

    name = NAME
    scale = Scale.NATS

    def __init__(self, model: InPrompt, prompt: Prompt, same: bool, ledger: Numbers | None = None) -> None:
        """`same`: subject and simulator share a vocabulary. `ledger` keeps what was computed.

        Raises BadInput when they don't, and the simulator's tokenizer gives no character offsets.
        """
        super().__init__(model.identity, ledger)
        self._model, self._prompt = model, prompt
        self._reader = ContextReader(model.tokenizer, same)

    def row(self, explanation: str, context: Context) -> Row | Unscored:
        """The log-probability of each token of the context, in nats."""
        above = encode_text(heading(self._prompt, explanation), self._model.tokenizer)
        own = self._reader.encoded(context)

        def compute() -> Row:
            distinct, column = np.unique(own, return_inverse=True)
            places = range(len(above) - 1, len(above) + len(own) - 1)
            found = self._model.logprobs_at([*above, *own.tolist()], places, distinct.tolist()).float().cpu().numpy()
            row: Row = found[np.arange(len(own)), column]
            return row

        row = self.kept([above, own.tolist()], compute)
        return row if isinstance(row, Unscored) else self._reader.spread(row, context)


def heading(prompt: Prompt, explanation: str) -> str:
    """What stands before a context: the prompt with an explanation in it."""
    ((_, text),) = prompt.render(explanation=prompt_line(explanation))
    return text


NO_LOGPROB = Unscored("a token of the context has no log-probability")


class TextLikelihood(Asked):
    """The log-probability of every token of a context under an explanation, as a server tells it."""

    name = NAME
    scale = Scale.NATS

    def question(self, explanation: str, context: Context) -> Question[Row]:
        """One text, whose continuation (a token, since servers want one) is not read."""
        above = unmarked(heading(self._prompt, explanation))
        pieces = harmless(context.pieces)
        request = Request(
            ((COMPLETION, above + "".join(pieces)),), self._model, 1, 0.0, self._seed, prompt_logprobs=1
        )  # fmt: skip
        return Question(request, partial(read_likelihood, above=above, pieces=pieces))


def read_likelihood(response: Response, above: str, pieces: tuple[str, ...]) -> Row | Unscored:
    """The log-probability of each of `pieces`: the mean over the server's tokens that it shares characters with.

    What can't be read is final: a prompt stays as it is.
    """
    tokens = response.prompt_logprobs
    places = places_of([token.text for token in tokens], above + "".join(pieces))
    if places is None:
        return OTHER_PROMPT
    of_context = [
        (token.logprob, (start - len(above), end - len(above)))
        for token, (start, end) in zip(tokens, places, strict=True)
        if end > len(above)
    ]
    known = [logprob for logprob, _ in of_context if logprob is not None]
    if len(known) < len(of_context):
        return NO_LOGPROB
    return carry_over(np.array(known, dtype=np.float32), pieces, [place for _, place in of_context])


def harmless(pieces: tuple[str, ...]) -> tuple[str, ...]:
    """The pieces with a space inside the marks of chat templates that they spell, together or alone."""
    text = unmarked("".join(pieces))
    place, mended = 0, []
    for piece in pieces:
        start = place
        for character in piece:
            place += 1 if text[place] == character else 2
        mended.append(text[start:place])
    return tuple(mended)
