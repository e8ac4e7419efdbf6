"""Answers in the bodies that OpenAI-compatible servers send: any JSON may come under status 200."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from autointerp.llm.client import Transient
from autointerp.llm.openai.logprobs import Piece, covering, read_pieces, read_prompt_field
from autointerp.llm.request import Answer, Failure, Request, Response, TokenLogprob
from autointerp.quoting import well_formed

_NO_LOGPROBS = "no-logprobs"
_AT_LIMIT = "the answer was cut at max_tokens"
# Finish reasons, in lower case: OpenAI's, and those of other servers and gateways. What is in none of the three did
# not end the answer: `abort`, `cancelled`, `insufficient_system_resource`...
_WHOLE = frozenset({"stop", "eos", "eos_token", "stop_sequence", "end_turn"})
_CUT: Mapping[str, str] = {
    "length": _AT_LIMIT,
    "max_tokens": _AT_LIMIT,
    "max_length": _AT_LIMIT,
    "model_length": "the answer was cut at the end of the model's context",
}
_FILTERED = frozenset({
    "content_filter", "content_filtered", "guardrail_intervened", "safety", "prohibited_content", "blocklist",
    "recitation", "refusal",
})  # fmt: skip


class Counts(TypedDict):
    """Token counts, named as Response and Failure name them; None where the endpoint did not say."""

    input_tokens: int | None
    output_tokens: int | None
    cached_input_tokens: int | None


def read_answer(body: object, request: Request, echo: bool = False) -> Answer:
    """Read a chat's or a completion's first choice. Raises Transient when the body is not what it should be.

    `echo`: the endpoint was asked to send the prompt before the answer, as one text.
    """
    choices = body.get("choices") if isinstance(body, dict) else None
    if not isinstance(body, dict) or not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise Transient("no choices in the endpoint's answer")
    choice = choices[0]
    message = choice.get("message")
    fields = message if isinstance(message, dict) else {}
    text = _text(fields.get("content") if "message" in choice else choice.get("text"))
    counts = usage(body)
    answer = text.removeprefix(well_formed(request.messages[0][1])) if text is not None and echo else text
    cut = kept_length(answer or "", request.stop)
    finish = _finish(choice.get("finish_reason"), counts["output_tokens"], request.max_tokens)
    thought = not text and _only_thought(fields)
    if finish in _CUT and cut == len(answer or "") and not (request.whole_when_cut and text is not None):
        reason = f"{_CUT[finish]}, while the model reasoned" if thought else _CUT[finish]
        return Failure(reason, "length", answer or "", **counts)
    if fields.get("refusal"):
        return Failure("the model refused", "refusal", answer or "", **counts)
    if finish in _FILTERED:
        return Failure("stopped by the endpoint's content filter", "refusal", answer or "", **counts)
    if finish not in _WHOLE and finish not in _CUT:
        raise Transient("the endpoint broke off its answer")
    if thought and finish in _WHOLE:
        return Failure(f"no text came, only `{thought}`", "no-text", **counts)
    if text is None or answer is None:
        raise Transient("no text in the endpoint's answer")
    return _with_logprobs(choice, request, text, answer, cut, counts)


def _only_thought(message: Mapping[str, Any]) -> str:
    """The field in which a reasoning model's thought came, where it did; else ''."""
    return next((name for name in ("reasoning_content", "reasoning") if message.get(name)), "")


def _finish(given: object, written: int | None, limit: int) -> str:
    """The finish reason in lower case; where a server gives none, what the number of written tokens tells."""
    if given is None or given == "":
        return "stop" if written is None or written < limit else "length"
    return given.lower() if isinstance(given, str) else "unknown"


def _with_logprobs(
    choice: dict[str, Any], request: Request, text: str, answer: str, cut: int, counts: Counts
) -> Answer:
    """The Response with the log-probabilities that the request asked for, or the Failure that says which lack."""
    of_prompt: Sequence[TokenLogprob] | None = None
    of_answer: Sequence[TokenLogprob] | None = None
    pieces = read_pieces(choice.get("logprobs")) if request.top_logprobs or request.prompt_logprobs else None
    if request.prompt_logprobs:
        of_prompt = _of_prompt(choice, request, pieces if text != answer else None, counts["input_tokens"])
        if not of_prompt or not any(token.top for token in of_prompt):
            return Failure("no log-probabilities of the prompt came back", _NO_LOGPROBS, answer, **counts)
    if request.top_logprobs:
        of_answer = None if pieces is None else covering(pieces, answer, cut)
        if of_answer is None or any(token.logprob is None or not token.top for token in of_answer):
            return Failure("no log-probabilities of the answer came back", _NO_LOGPROBS, answer, **counts)
    return Response(answer[:cut], **counts, logprobs=tuple(of_answer or ()), prompt_logprobs=tuple(of_prompt or ()))


def _of_prompt(
    choice: dict[str, Any], request: Request, echoed: list[Piece] | None, tokens: int | None
) -> list[TokenLogprob] | None:
    """The prompt's tokens: from vLLM's field, else from an echo; None when they are not there.

    `echoed`: the tokens of prompt and answer. `tokens`: those of the prompt by the endpoint's own count, which the
    number of entries must agree with.
    """
    prompt = request.messages[0][1]
    read = read_prompt_field(choice.get("prompt_logprobs"), prompt)
    if read is not None:
        return read if tokens in (None, len(read)) else None
    if echoed is None:
        return None
    count = tokens if tokens is not None else _within(echoed, len(prompt.encode("utf8", "replace")))
    if not 0 < count <= len(echoed):
        return None
    found = [piece.token for piece in echoed[:count]]
    return found if all(token.logprob is not None for token in found[1:]) else None


def _within(pieces: Sequence[Piece], length: int) -> int:
    """The number of tokens that begin within the first `length` bytes."""
    place, count = 0, 0
    for piece in pieces:
        if place >= length:
            break
        place, count = place + len(piece.raw), count + 1
    return count


def _text(content: object) -> str | None:
    """A message's text; some servers send it in parts, as a list."""
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text"]
        texts = [part for part in parts if isinstance(part, str)]
        return well_formed("".join(texts)) if texts else None
    return well_formed(content) if isinstance(content, str) else None


def kept_length(text: str, stops: Sequence[str]) -> int:
    """Characters of `text` before the first stop text: not every server takes all of them, or leaves them out."""
    places = [place for stop in stops if stop and (place := text.find(stop)) >= 0]
    return min(places, default=len(text))


def usage(body: dict[str, Any]) -> Counts:
    """The token counts of a body. Some servers count a hidden chain of thought in the total only: it is output, too."""
    given = body.get("usage")
    counts = given if isinstance(given, dict) else {}
    details = counts.get("prompt_tokens_details")
    prompt, answer, total = (token_count(counts.get(f"{name}_tokens")) for name in ("prompt", "completion", "total"))
    if prompt is not None and total is not None:
        answer = max(answer or 0, total - prompt)
    return {
        "input_tokens": prompt,
        "output_tokens": answer,
        "cached_input_tokens": token_count(details.get("cached_tokens")) if isinstance(details, dict) else None,
    }


def token_count(value: object) -> int | None:
    """`value` if it can be a number of tokens, else None."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
