"""Hold a local model to a JSON schema: before each token, which tokens may stand there."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float
from llguidance import LLMatcher, LLTokenizer
from llguidance.hf import from_tokenizer
from torch import Tensor
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from autointerp.errors import BadInput, CheckFailed


class Guide:
    """Makes the masks for one tokenizer."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, ends: frozenset[int]) -> None:
        """`ends`: ids of the tokens that end an answer."""
        self._hf = tokenizer
        self.ends = ends
        """The same."""

    @cached_property
    def _tokenizer(self) -> LLTokenizer | None:  # takes half a second
        """None for a tokenizer in Python alone: the bytes of its tokens are not known."""
        if not isinstance(self._hf, PreTrainedTokenizerFast):
            return None
        return from_tokenizer(self._hf, eos_token=sorted(self.ends))

    def held(self, schema: str) -> Guided | None:
        """An answer that is to follow `schema` (JSON text); None for a tokenizer that can't be guided.

        Raises BadInput for a schema that can't be followed.
        """
        if self._tokenizer is None:
            return None
        # One way to lay the answer out, that of the prompts' worked examples: no tokens are spent on blanks.
        grammar = LLMatcher.grammar_from_json_schema(
            schema, overrides={"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
        )
        matcher = LLMatcher(self._tokenizer, grammar)
        if matcher.is_error():
            raise BadInput(f"a JSON schema that can't be followed: {schema[:80]}", matcher.get_error())
        return Guided(matcher)


class Guided:
    """One answer under way."""

    def __init__(self, matcher: LLMatcher) -> None:
        self._matcher = matcher

    @property
    def ended(self) -> bool:
        """Whether the answer is whole, and nothing may follow."""
        return bool(self._matcher.is_stopped())

    def allowed(self) -> Bool[np.ndarray, " vocabulary"]:
        """Which tokens may stand next; at least one. As long as the tokenizer's vocabulary."""
        bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        return np.unpackbits(bits, bitorder="little").astype(bool)

    def only(self) -> int | None:
        """The one token that may stand next; None where there are several."""
        bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        (places,) = np.nonzero(bits)
        byte = int(bits[places[0]])
        if len(places) > 1 or byte.bit_count() > 1:
            return None
        return int(places[0]) * 8 + byte.bit_length() - 1

    def masked(self, logits: Float[Tensor, " vocabulary"]) -> Float[Tensor, " vocabulary"]:
        """The logits, with minus infinity for the tokens that may not stand next. A copy."""
        allowed = torch.zeros(len(logits), dtype=torch.bool)
        known = torch.from_numpy(self.allowed())[: len(logits)]
        allowed[: len(known)] = known
        return logits.masked_fill(~allowed, -torch.inf)

    def take(self, token: int) -> None:
        """Go on behind `token`, one of the allowed ones. Raises CheckFailed for another."""
        if not self._matcher.consume_token(token):
            raise CheckFailed(f"the answer's JSON schema does not allow token {token} at this place")


def masked(held: Sequence[Guided | None], logits: Float[Tensor, "row vocabulary"]) -> Float[Tensor, "row vocabulary"]:
    """The logits, with minus infinity for the tokens that may not stand next in a row's answer."""
    if all(one is None for one in held):
        return logits
    rows = [own if one is None else one.masked(own) for one, own in zip(held, logits, strict=True)]
    return torch.stack(rows)
