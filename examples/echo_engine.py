"""The model behind `echo_server.py`: reads prompts, continues them, and spells the tokens' log-probabilities."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from autointerp.corpus.contexts import piece_ends, require_offsets
from autointerp.errors import BadInput
from autointerp.llm.local.blocks import BLOCK, BlockReader
from autointerp.llm.local.decode import pick
from autointerp.llm.local.encode import common_prefix
from autointerp.llm.local.guided import Guide, Guided, masked
from autointerp.llm.local.logprobs import Scored, Spelling, written
from autointerp.llm.local.prefix import Batch, rows_that_fit
from autointerp.llm.request import TokenLogprob
from autointerp.models import LoadedModel

MOST = 20
"""Alternatives per token at most."""
_LONGEST_ANSWER = 1024
"""Tokens of an answer whose length was left open."""


@dataclass(frozen=True)
class Wish:
    """How prompts are to be continued."""

    tokens: int
    """At most."""
    temperature: float
    draws: int
    """Continuations of each prompt."""
    stops: tuple[str, ...]
    """A text ends before the first of these."""
    seed: int | None
    """None: another one each time."""
    alternatives: int | None
    """Log-probabilities of this many likeliest tokens at each place; None: of none, the token's own neither."""
    schema: str = ""
    """The JSON schema (as text) that a text is held to; '': none."""


@dataclass
class Continuation:
    """What was written after a prompt."""

    rng: np.random.Generator
    held: Guided | None = None
    tokens: list[int] = field(default_factory=list)
    scores: list[Scored] = field(default_factory=list)
    text: str = ""
    finish: str = "length"
    """`stop` where the model or a stop text ended it."""
    count: int = 0
    """Tokens that the model wrote, the one that ended the text included."""


class _Alone:
    """A prompt being continued by a few tokens: a Batch of one row, of which the reader may hold the most already."""

    def __init__(self, reader: BlockReader, prompt: Sequence[int]) -> None:
        self._reader, self._tokens = reader, list(prompt)
        self.logits: Float[Tensor, "one vocabulary"] = reader.logits_at(self._tokens, [len(self._tokens) - 1])
        """Of the token after the prompt and what was appended to it."""

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows alone: there is but one."""

    def append(self, tokens: Sequence[Sequence[int]]) -> None:
        """Append the one row's tokens, and compute the logits after them. At most a block is read again."""
        (own,) = tokens
        self._tokens += own
        self.logits = self._reader.logits_at(self._tokens, [len(self._tokens) - 1])


class Engine:
    """One model, which does one thing at a time: callers take turns."""

    def __init__(self, loaded: LoadedModel) -> None:
        """Raises BadInput for a tokenizer that can't tell which characters a token is from."""
        require_offsets(loaded.tokenizer)
        self.identity = loaded.identity
        """Names the weights."""
        self.tokenizer = loaded.tokenizer
        """The model's own."""
        self._model = loaded.model
        self._spelling, self._reader = Spelling(loaded.tokenizer), BlockReader(loaded.model)
        self._read: list[int] = []
        self._scores: list[Scored] = []
        self._guide = Guide(loaded.tokenizer, _end_tokens(loaded))
        self.context: float = getattr(loaded.model.config.get_text_config(), "max_position_embeddings", math.inf)
        """Tokens of prompt and answer together; infinite where the model has no bound."""

    def room(self, prompt: Sequence[int], wanted: int | None) -> int:
        """How many tokens may be written: `wanted`, or what there is room for. BadInput for a prompt that is too long.

        An empty prompt is refused as well: nothing comes before its first token.
        """
        if not prompt:
            raise BadInput("the prompt is empty", "send some text")
        left = self.context - len(prompt)
        if left < (1 if wanted is None else wanted):
            raise BadInput(
                f"a prompt of {len(prompt)} tokens and an answer of {wanted or 1}: "
                f"the maximum context length is {self.context}", "send less",
            )  # fmt: skip
        return int(min(left, _LONGEST_ANSWER)) if wanted is None else wanted

    def read(self, text: str, alternatives: int) -> list[TokenLogprob]:
        """Every token of a text, with the likeliest ones at its place; nothing is known of the first."""
        encoded = self.tokenizer(text, return_offsets_mapping=True)
        ends = piece_ends(np.array(encoded["offset_mapping"], dtype=np.int64)).tolist()
        first, *rest = [text[start:end] for start, end in pairwise([0, *ends])]
        scored = zip(rest, self._scored(encoded["input_ids"]), strict=True)
        found = [TokenLogprob(piece, logprob, top[:alternatives]) for piece, (logprob, top) in scored]
        return [TokenLogprob(first, None), *found]

    def _scored(self, prompt: list[int]) -> list[Scored]:
        """Of all tokens but the first. What a prompt shares with the last one is not computed again."""
        known = max(common_prefix([self._read, prompt]) - 1, 0) // BLOCK * BLOCK
        scores, self._read = self._scores[:known], []
        for begin in range(known, len(prompt) - 1, BLOCK):
            end = min(begin + BLOCK, len(prompt) - 1)
            logits = self._reader.logits_at(prompt, range(begin, end)).cpu()
            scores += self._spelling.score(logits, torch.tensor(prompt[begin + 1 : end + 1]), [MOST] * (end - begin))
        self._read, self._scores = prompt, scores
        return scores

    @torch.inference_mode()
    def write(self, prompts: Sequence[list[int]], wish: Wish) -> list[Continuation]:
        """Continue all prompts (token ids) together: the draws of the first one, then those of the next."""
        seeds = np.random.SeedSequence(wish.seed).spawn(len(prompts) * wish.draws)
        rows = [Continuation(np.random.default_rng(seed), self._held(wish.schema)) for seed in seeds]
        drawn = [prompt for prompt in prompts for _ in range(wish.draws)]
        if wish.tokens:
            together = rows_that_fit(self._model, max(len(prompt) for prompt in drawn) + wish.tokens)
            for start in range(0, len(rows), together):
                part = slice(start, start + together)
                self._finish(rows[part], self._begun(drawn[part], wish.tokens), wish)
        return rows

    def _finish(self, rows: Sequence[Continuation], batch: Batch | _Alone, wish: Wish) -> None:
        """Continue the rows, which the batch has read, until all have ended."""
        alive = list(rows)
        while alive:
            logits = masked([row.held for row in alive], batch.logits.cpu())
            chosen = pick(logits, [wish.temperature] * len(alive), [row.rng.random() for row in alive])
            scores = self._score(logits, chosen, wish.alternatives)
            going = [
                place
                for place, (row, token, score) in enumerate(zip(alive, chosen.tolist(), scores, strict=True))
                if self._extend(row, token, score, wish)
            ]
            if going and len(going) < len(alive):
                batch.keep(going)
            if going:
                batch.append([alive[place].tokens[-1:] for place in going])
            alive = [alive[place] for place in going]

    def _held(self, schema: str) -> Guided | None:
        return self._guide.held(schema) if schema else None

    def _begun(self, prompts: Sequence[list[int]], tokens: int) -> Batch | _Alone:
        """The prompts, read: together, or a single one in the way that reads fewer tokens again."""
        if len(prompts) == 1 and tokens * BLOCK < len(prompts[0]):
            return _Alone(self._reader, prompts[0])
        return Batch(self._model, prompts, tokens)

    def _score(
        self, logits: Float[Tensor, "row vocabulary"], tokens: Int[Tensor, " row"], alternatives: int | None
    ) -> Sequence[Scored | None]:
        if alternatives is None:
            return [None] * len(tokens)
        return self._spelling.score(logits, tokens, [alternatives] * len(tokens))

    def _extend(self, row: Continuation, token: int, score: Scored | None, wish: Wish) -> bool:
        """Take one more token; whether another one may follow."""
        row.count += 1
        if token in self._guide.ends:
            row.finish = "stop"
            return False
        row.tokens.append(token)
        if score is not None:
            row.scores.append(score)
        text = str(self.tokenizer.decode(row.tokens, skip_special_tokens=False, clean_up_tokenization_spaces=False))
        places = [place for stop in wish.stops if (place := text.find(stop)) >= 0]
        row.text = text[: min(places, default=len(text))]
        if row.held is not None:
            row.held.take(token)
        whole = bool(places) or (row.held is not None and row.held.ended)
        row.finish = "stop" if whole else "length"
        return not whole and row.count < wish.tokens

    def spelled(self, row: Continuation) -> list[TokenLogprob]:
        """The tokens of a continuation's text; none where no log-probabilities were wished for."""
        return written(row.tokens, row.scores, len(row.text), self._spelling) if row.scores else []


def _end_tokens(loaded: LoadedModel) -> frozenset[int]:
    """The tokens with which the model ends a text."""
    configured: Any = loaded.model.generation_config.eos_token_id if loaded.model.generation_config else None
    ends = configured if isinstance(configured, list) else [configured]
    return frozenset(end for end in (*ends, loaded.tokenizer.eos_token_id) if end is not None)
