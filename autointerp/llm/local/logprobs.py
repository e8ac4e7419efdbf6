"""Log-probabilities of a local model's tokens: of those it wrote, and of those of a prompt."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from autointerp.llm.local.blocks import BLOCK, BlockReader
from autointerp.llm.request import TokenLogprob

_HALF = "\ufffd"
"""What a tokenizer writes for bytes that are no whole character."""
Scored = tuple[float, tuple[tuple[str, float], ...]]
"""Log-probability (nats) of a token, and the likeliest tokens at its place."""


class Spelling:
    """From logits and token ids to texts and log-probabilities, with one tokenizer."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._anchor: list[int] = tokenizer("a", add_special_tokens=False)["input_ids"][-1:]
        self._before = len(self._decode(self._anchor))
        self._known: dict[int, str] = {}

    def _decode(self, tokens: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def alone(self, token: int) -> str:
        """A token's text inside a text, its leading blank included (some tokenizers drop it at the beginning)."""
        if token not in self._known:
            self._known[token] = self._decode([*self._anchor, token])[self._before :]
        return self._known[token]

    def shares(self, tokens: Sequence[int]) -> list[str]:
        """What each token adds to the text. One that only starts a character adds '', the one that ends it all."""
        parts, done = [], 0
        for end in range(1, len(tokens) + 1):
            text = self._decode(tokens[:end])
            whole = text if end == len(tokens) else text.rstrip(_HALF)
            parts.append(whole[done:])
            done = max(done, len(whole))
        return parts

    def score(
        self, logits: Float[Tensor, "row vocabulary"], tokens: Int[Tensor, " row"], counts: Sequence[int]
    ) -> list[Scored]:
        """Log-probability of each row's token at temperature 1, and the `counts` likeliest ones of the row."""
        rows = torch.log_softmax(logits.float(), dim=1)
        own = rows.gather(1, tokens[:, None])[:, 0].tolist()
        values, ids = rows.topk(min(max(counts), rows.shape[1]), dim=1)
        return [
            (logprob, tuple((self.alone(i), v) for i, v in zip(found[:n], likely[:n], strict=True) if v > -torch.inf))
            for logprob, found, likely, n in zip(own, ids.tolist(), values.tolist(), counts, strict=True)
        ]


def written(tokens: Sequence[int], scores: Sequence[Scored], kept: int, spelling: Spelling) -> list[TokenLogprob]:
    """An answer's tokens as far as they are in its first `kept` characters; the texts join to just those."""
    entries, start = [], 0
    for text, (logprob, top) in zip(spelling.shares(tokens), scores, strict=True):
        if start < kept:
            entries.append(TokenLogprob(text[: kept - start], logprob, top))
        start += len(text)
    return entries


def of_prompt(prompt: Sequence[int], count: int, reader: BlockReader, spelling: Spelling) -> list[TokenLogprob]:
    """Every token of a prompt (ids), with the `count` likeliest ones at its place; nothing is known of the first."""
    texts = spelling.shares(prompt)
    entries = [TokenLogprob(texts[0], None)]
    for begin in range(0, len(prompt) - 1, BLOCK):
        end = min(begin + BLOCK, len(prompt) - 1)
        logits = reader.logits_at(prompt, range(begin, end)).cpu()
        scores = spelling.score(logits, torch.tensor(list(prompt[begin + 1 : end + 1])), [count] * (end - begin))
        named = zip(texts[begin + 1 : end + 1], scores, strict=True)
        entries += [TokenLogprob(text, logprob, top) for text, (logprob, top) in named]
    return entries
