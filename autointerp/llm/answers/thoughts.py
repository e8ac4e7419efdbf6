"""What a model wrote after it had thought aloud, in the marks that servers leave in the text."""

from __future__ import annotations

import re
from dataclasses import replace

from autointerp.llm.request import Response, TokenLogprob

_TAG = r"(think|thinking|thought|thoughts|reasoning)"
_THOUGHT = re.compile(rf"\A\s*[<\[]{_TAG}[>\]].*?([<\[]/\1[>\]]|\Z)", re.I | re.S)
_THOUGHT_ENDS = re.compile(rf"</think>(?![\"'`\u2019\u201d])|[<\[]/{_TAG}[>\]][ \t]*(?:\n|\Z)", re.I)


def without_thoughts(answer: str) -> str:
    """What a model wrote after it had thought; '' where it only thought. Some servers leave the closing mark alone."""
    return answer[_begin(answer) :].strip()


def after_thoughts(response: Response) -> Response:
    """The answer without what the model thought before it, in text and log-probabilities; as it is where it did not."""
    begin = _begin(response.text)
    if not begin:
        return response
    rest = response.text[begin:]
    begin += len(rest) - len(rest.lstrip())
    kept: list[TokenLogprob] = []
    place = 0
    for token in response.logprobs:
        end = place + len(token.text)
        if end > begin:
            kept.append(token if place >= begin else replace(token, text=token.text[begin - place :]))
        place = end
    return replace(response, text=response.text[begin:], logprobs=tuple(kept))


def _begin(answer: str) -> int:
    """Where what follows the thoughts begins: 0 without any, the end where there is nothing else."""
    first = _THOUGHT.match(answer)
    begin = first.end() if first else 0
    return max([begin, *(match.end() for match in _THOUGHT_ENDS.finditer(answer, begin))])
