"""Continue a batch of prompts, token by token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from autointerp.llm.local.attention import closed_up
from autointerp.llm.local.guided import Guide, Guided, masked
from autointerp.llm.local.logprobs import Scored, Spelling, written
from autointerp.llm.local.prefix import Batch, rows_that_fit
from autointerp.llm.request import Answer, Failure, Request, Response


@dataclass
class _Decoding:
    """One request under way."""

    request: Request
    input_tokens: int
    rng: np.random.Generator
    """Its own: an answer does not depend on its neighbours' draws."""
    held: Guided | None = None
    """What holds the answer to the request's JSON schema."""
    tokens: list[int] = field(default_factory=list)
    scores: list[Scored] = field(default_factory=list)
    """One per token that was picked, the last one included, when the request asks for log-probabilities."""
    unread: list[int] = field(default_factory=list)
    """Tokens of the answer that the model has not read."""
    answer: Answer | None = None


@torch.inference_mode()
def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[int]],
    requests: Sequence[Request],
    guide: Guide,
) -> list[Answer]:
    """Answer each request by continuing its prompt (token ids).

    An answer ends at a special token, before a stop text, or when its JSON schema is fulfilled; one that reaches
    `max_tokens` is a Failure, unless the request takes it all the same. Tokens to which a schema leaves no choice are
    read together with the one before them; prompts that take too much memory together are continued in several parts,
    one after the other. Each request is sampled at its own temperature with its own generator. Log-probabilities are
    those of temperature 1, whatever the request's own is, among the tokens that the request's schema allows.
    """
    rows = [
        _Decoding(
            request,
            len(prompt),
            np.random.default_rng(request.draw_seed),
            guide.held(request.schema) if request.schema else None,
        )
        for request, prompt in zip(requests, prompts, strict=True)
    ]
    room = max(request.max_tokens for request in requests)
    parts = ceil(len(rows) / rows_that_fit(model, max(len(prompt) for prompt in prompts) + room))
    for part in np.array_split(np.arange(len(rows)), parts):
        batch = Batch(model, [prompts[place] for place in part], room)
        _finish([rows[place] for place in part], batch, tokenizer, guide.ends)
    return [row.answer for row in rows if row.answer is not None]


def _finish(rows: Sequence[_Decoding], batch: Batch, tokenizer: PreTrainedTokenizerBase, ends: frozenset[int]) -> None:
    """Continue the rows, which the batch has read, until all have an answer."""
    spelling, alive = Spelling(tokenizer), list(rows)
    while True:
        positions = [position for position, row in enumerate(alive) if not row.unread]
        ready = [alive[position] for position in positions]
        logits = masked([row.held for row in ready], batch.logits[positions].cpu())
        tokens = pick(logits, [row.request.temperature for row in ready], [row.rng.random() for row in ready])
        _score(ready, logits, tokens, spelling)
        for row, token in zip(ready, tokens.tolist(), strict=True):
            row.unread = [token]
            _extend(row, token, ends, tokenizer, spelling)
            while batch.takes_many and (forced := _forced(row)) is not None:
                row.unread.append(forced)
                _extend(row, forced, ends, tokenizer, spelling)
        kept = [position for position, row in enumerate(alive) if row.answer is None]
        if not kept:
            return
        if len(kept) < len(alive):
            kept = closed_up(kept)
            alive = [alive[position] for position in kept]
            batch.keep(kept)
        # No more than most rows have at once: what pads the others is computed, too.
        width = int(np.median([len(row.unread) for row in alive]))
        batch.append([row.unread[:width] for row in alive])
        for row in alive:
            del row.unread[:width]


def pick(
    logits: Float[Tensor, "prompt vocabulary"], temperatures: Sequence[float], draws: Sequence[float]
) -> Int[Tensor, " prompt"]:
    """One token per row: the most likely one at temperature 0, else the quantile `draws` (uniform in [0, 1))."""
    chosen = logits.argmax(dim=1)
    warm = [position for position, temperature in enumerate(temperatures) if temperature > 0]
    if warm:
        scale = torch.tensor([temperatures[position] for position in warm], dtype=torch.float64)
        cumulated = torch.softmax(logits[warm].double() / scale[:, None], dim=1).cumsum(dim=1)
        targets = torch.tensor([draws[position] for position in warm], dtype=torch.float64)[:, None] * cumulated[:, -1:]
        positions = torch.searchsorted(cumulated, targets, right=True)[:, 0]
        chosen[warm] = positions.clamp_max(logits.shape[1] - 1)
    return chosen


def ending_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Every special token: the end, but also the start of another turn or document."""
    ends = set(tokenizer.all_special_ids)
    configured = model.generation_config.eos_token_id if model.generation_config is not None else None
    if isinstance(configured, int):
        ends.add(configured)
    elif configured is not None:
        ends.update(int(i) for i in configured)
    return frozenset(ends)


def _forced(row: _Decoding) -> int | None:
    """The one token that a row's schema allows next: the model need not be asked. None where it is to be."""
    if row.answer is not None or row.held is None or row.request.top_logprobs:
        return None
    token = row.held.only()
    if token is not None:
        row.rng.random()  # what is drawn later must not depend on what was forced
    return token


def _score(
    rows: Sequence[_Decoding], logits: Float[Tensor, "row vocabulary"], tokens: Int[Tensor, " row"], spelling: Spelling
) -> None:
    """Note the log-probabilities at this place for the rows that ask for them."""
    positions = [position for position, row in enumerate(rows) if row.request.top_logprobs]
    if positions:
        counts = [rows[position].request.top_logprobs for position in positions]
        for position, score in zip(
            positions, spelling.score(logits[positions], tokens[positions], counts), strict=True
        ):
            rows[position].scores.append(score)


def _extend(
    row: _Decoding, token: int, ends: frozenset[int], tokenizer: PreTrainedTokenizerBase, spelling: Spelling
) -> None:
    """Append a token to a row's answer, and close the answer if that ends it."""
    counts = (row.input_tokens, len(row.tokens) + 1)
    if token in ends:
        row.answer = _response(row, _text(row.tokens, tokenizer), counts, spelling)
        return
    row.tokens.append(token)
    if row.held is not None:
        row.held.take(token)
    fulfilled = row.held is not None and row.held.ended
    full = len(row.tokens) >= row.request.max_tokens
    if not (row.request.stop or fulfilled or full):
        return
    text = _text(row.tokens, tokenizer)
    stops = [place for stop in row.request.stop if (place := text.find(stop)) >= 0]
    if stops:
        row.answer = _response(row, text[: min(stops)], counts, spelling)
    elif fulfilled or (full and row.request.whole_when_cut):
        row.answer = _response(row, text, counts, spelling)
    elif full:
        row.answer = Failure("the answer was cut at max_tokens", "length", text, *counts)


def _response(row: _Decoding, text: str, counts: tuple[int, int], spelling: Spelling) -> Response:
    scores = row.scores[: len(row.tokens)]  # the token that ended the answer is not part of it
    entries = written(row.tokens, scores, len(text), spelling) if scores else []
    return Response(text, *counts, logprobs=tuple(entries))


def _text(tokens: Sequence[int], tokenizer: PreTrainedTokenizerBase) -> str:
    return str(tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False))
