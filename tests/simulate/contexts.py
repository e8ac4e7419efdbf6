"""Contexts out of given pieces, and askers that know the true activations."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from autointerp.llm.request import Request, Response, TokenLogprob
from autointerp.records import Context, Simulation, Split, Unscored

WORDS = "river sea rain list two three return width height area words tiny merges gives fills runs five one".split()


def context(number: int, *pieces: str) -> Context:
    return Context(number, Split.HELD_OUT, number, "s", 0, np.arange(len(pieces)), tuple(pieces))


def random_context(number: int, tokens: int, rng: np.random.Generator) -> Context:
    return context(number, *(f" {word}" for word in rng.choice(WORDS, size=tokens)))


def predicted(result: Simulation | Unscored) -> Float[np.ndarray, "context token"]:
    """What was predicted; raises AssertionError with the reason where nothing was."""
    assert isinstance(result, Simulation), result
    return result.predicted


def listed(request: Request) -> list[str]:
    """The tokens that a request's last message lists; raises AssertionError when they are not 0, 1, 2..."""
    lines = re.findall(r"^(\d+): (\".*\")$", request.messages[-1][1], re.MULTILINE)
    assert [int(index) for index, _ in lines] == list(range(len(lines)))
    return [json.loads(piece) for _, piece in lines]


def in_lines(request: Request) -> list[list[str]]:
    """The tokens of each line of a request's last message; raises AssertionError when they are not lines 1, 2, 3..."""
    lines = re.findall(r"^(\d+): (\[.*\])$", request.messages[-1][1], re.MULTILINE)
    assert [int(number) for number, _ in lines] == list(range(1, len(lines) + 1))
    return [json.loads(tokens) for _, tokens in lines]


def last_token(request: Request) -> tuple[str, str]:
    """The text so far and the last token that a request's last message shows."""
    (text,) = re.findall(r"^Text so far: (\".*\")$", request.messages[-1][1], re.MULTILINE)
    (token,) = re.findall(r"^Last token: (\".*\")$", request.messages[-1][1], re.MULTILINE)
    return json.loads(text), json.loads(token)


def spoken(text: str, top: Mapping[int, Sequence[tuple[str, float]]] | None = None) -> Response:
    """A text as an answer, one character a token; `top` gives the alternatives at some characters."""
    tokens = [TokenLogprob(c, -0.5, tuple((top or {}).get(place, [(c, -0.5)]))) for place, c in enumerate(text)]
    return Response(text, 1, 1, logprobs=tuple(tokens))


def as_json(values: Sequence[float]) -> Response:
    """What a model would answer to `sparse-json`."""
    return Response(json.dumps({str(i): round(v) for i, v in enumerate(values) if round(v)}), 1, 1)


def as_digits(values: Sequence[float]) -> Response:
    """What a model would answer to `digits-output`: between two digits, the expected value is the value."""
    text, top = "", {}
    for index, value in enumerate(values):
        low, share = int(value), value - int(value)
        text += f"{index}="
        pairs = [(str(low), np.log1p(-share)), *([(str(low + 1), np.log(share))] if share else [])]
        top[len(text)] = [(digit, float(logprob)) for digit, logprob in pairs]
        text += f"{low}\n"
    return spoken(text, top)


def as_lists(lines: Sequence[Sequence[float]]) -> Response:
    """What a model would answer to `anthropic-batch`."""
    text = json.dumps({str(number): [round(v) for v in values] for number, values in enumerate(lines, 1)})
    return Response(text, 1, 1)


def as_digit(value: float) -> Response:
    """What a model would answer to `one-by-one`: between two digits, the expected value is the value."""
    low, share = int(value), value - int(value)
    top = [(str(low), float(np.log1p(-share))), *([(str(low + 1), float(np.log(share)))] if share else [])]
    return spoken(str(low), {0: top})


def knowing(
    truth: Callable[[str], float], form: Callable[[Sequence[float]], Response]
) -> Callable[[Request], Response]:
    """An oracle: it answers with the true value (0 to 9) of every token that it is shown."""
    return lambda request: form([truth(piece) for piece in listed(request)])
