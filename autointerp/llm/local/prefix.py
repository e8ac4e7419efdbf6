"""A batch of prompts in a local model: the tokens that all share run once and are stored once.

Heads that share their keys and values read them where they lie: on a CPU, transformers would copy them per head.
"""

from __future__ import annotations

from collections.abc import Sequence
from inspect import signature
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

from autointerp.errors import BadInput
from autointerp.llm.local.attention import SharedPrefixLayer, can_read_apart, prefix_apart, shared_heads
from autointerp.llm.local.encode import common_prefix

MOST_BYTES = 3 << 30
"""Bytes that the keys and values of a batch may take, about: each row counts as if it had its own copy of the prefix,
and what pads rows that are out of step is not counted."""
_BY_PLACE = frozenset({"gpt_neo", "llama4", "llama4_text"})
"""Types of model in which something depends on a token's place in the cache, whatever position it is given."""
_held_per_token: WeakKeyDictionary[PreTrainedModel, int] = WeakKeyDictionary()
_apart: WeakKeyDictionary[PreTrainedModel, bool] = WeakKeyDictionary()


def empty_cache(model: PreTrainedModel) -> Cache:
    """A cache that keeps every token in every layer (a sliding window is the mask's business).

    Raises BadInput for a model with recurrent layers: their state can't be shared or cut.
    """
    layers = DynamicCache(config=model.config).layers
    if any(type(layer) not in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers):
        raise BadInput(
            f"a model of type '{model.config.model_type}' keeps a state that prompts can't share",
            "serve it, and ask it through provider 'openai'",
        )
    return Cache(layers=[DynamicLayer() for _ in layers])  # type: ignore[no-untyped-call]


def window_may_end(model: PreTrainedModel, tokens: int) -> bool:
    """Whether a sliding-window layer looks back on fewer than `tokens` tokens."""
    layers = DynamicCache(config=model.config).layers
    return any(isinstance(layer, DynamicSlidingWindowLayer) and layer.sliding_window < tokens for layer in layers)


def takes_positions(model: PreTrainedModel) -> bool:
    """Whether mask and positions alone decide what a token sees and where it stands, and not its place in the cache.

    Else nothing may be padded, and no two prompts may be told apart by a mask (ALiBi counts places, for one).
    """
    config = model.config.get_text_config()
    if getattr(config, "alibi", False) or config.model_type in _BY_PLACE:
        return False
    return "position_ids" in signature(model.forward).parameters


def rows_that_fit(model: PreTrainedModel, tokens: int) -> int:
    """How many rows of at most so many tokens a batch may have that is continued (`MOST_BYTES`); at least one.

    One where rows can't be padded. Raises BadInput for a model that keeps nothing of what it read.
    """
    if not takes_positions(model):
        return 1
    return max(1, MOST_BYTES // (_bytes_per_token(model) * tokens))


@torch.inference_mode()
def _bytes_per_token(model: PreTrainedModel) -> int:
    """Of keys and values in all layers, as the model makes them."""
    if model not in _held_per_token:
        cache = empty_cache(model)
        model(input_ids=torch.zeros(1, 1, dtype=torch.long, device=model.device), past_key_values=cache, use_cache=True)
        layers = [layer for layer in cache.layers if isinstance(layer, DynamicLayer)]
        states = [state for layer in layers for state in (layer.keys, layer.values) if state is not None]
        _held_per_token[model] = sum(state.nbytes for state in states)
        if not _held_per_token[model]:
            raise BadInput(
                f"a model of type '{model.config.model_type}' keeps no keys and values between passes",
                "serve it, and ask it through provider 'openai'",
            )
    return _held_per_token[model]


def reads_apart(model: PreTrainedModel) -> bool:
    """Whether a batch of this model reads its prefix apart: on a CPU, where that gives what reading the whole gives."""
    if model not in _apart:
        _apart[model] = can_read_apart(model) and _same_apart(model)
    return _apart[model]


def _same_apart(model: PreTrainedModel) -> bool:
    whole, told = (Batch(model, [[1, 2, 3], [1, 2, 4]], 1, apart) for apart in (False, True))
    for batch in (whole, told):
        batch.append([[5], [6]])
    return torch.allclose(whole.logits, told.logits, rtol=0, atol=_SAME * float(whole.logits.abs().max()))


_SAME = 1e-3
"""Of the largest logit."""


class Batch:
    """Prompts being continued, one row each; one that is there several times is read once. Rows are padded on the left,
    between shared prefix and own part: no more than `rows_that_fit` of different lengths."""

    def __init__(
        self, model: PreTrainedModel, prompts: Sequence[Sequence[int]], room: int = 0, apart: bool | None = None
    ) -> None:
        """Read the prompts (token ids, at least one each); at most `room` tokens will be appended to each. `apart`:
        whether what all begin with is read apart from the rest; None where it can be.

        A sliding window counts places, padding included. So where one may end inside the text, nothing is shared and
        the padding stands before the whole prompt, out of every window's way.
        """
        self._model = model
        shared, longest = min(common_prefix(prompts), min(len(p) for p in prompts) - 1), max(len(p) for p in prompts)
        if window_may_end(model, longest + room):
            shared = 0
        paddable = len(prompts) == 1 or takes_positions(model)
        distinct = list(dict.fromkeys(map(tuple, prompts)))
        self.takes_many = paddable and not window_may_end(model, longest + len(prompts) * room)
        """Whether several tokens may be appended at a time: that pads the rows which have fewer."""
        self._apart = bool(shared) and (reads_apart(model) if apart is None else apart)
        prefix = empty_cache(model)
        if shared:
            self._forward(torch.tensor([prompts[0][:shared]]), prefix, torch.arange(shared)[None], None)
        layers = [layer for layer in prefix.layers if isinstance(layer, DynamicLayer)]
        self._cache = Cache(layers=[SharedPrefixLayer(layer, room, self._apart) for layer in layers])
        tokens, own = _padded([prompt[shared:] for prompt in distinct])
        mask = torch.cat([torch.ones(len(distinct), shared, dtype=torch.long), own], dim=1)
        self._mask = mask
        self._lengths = mask.sum(dim=1)
        positions = (mask.cumsum(dim=1) - 1).clamp_min(0)[:, shared:]
        self.logits: Float[Tensor, "prompt vocabulary"] = self._forward(tokens, self._cache, positions, mask)
        """Of the token after each prompt and what was appended to it."""
        if len(distinct) < len(prompts):
            rows = {prompt: row for row, prompt in enumerate(distinct)}
            self.keep([rows[tuple(prompt)] for prompt in prompts])

    def _forward(
        self,
        tokens: Int[Tensor, "row token"],
        cache: Cache,
        positions: Int[Tensor, "row token"],
        mask: Int[Tensor, "row all"] | None,
    ) -> Float[Tensor, "row vocabulary"]:
        """`mask`: None for the prefix itself."""
        device = self._model.device
        apart = self._apart and mask is not None
        with prefix_apart(self._model, cache) if apart else shared_heads(device):
            output = self._model(
                input_ids=tokens.to(device),
                past_key_values=cache,
                position_ids=positions.to(device),
                attention_mask=None if mask is None else mask.to(device),
                use_cache=True,
                logits_to_keep=1,
            )
        logits: Tensor = output.logits
        return logits[:, -1].float()

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows, in this order."""
        index = torch.tensor(rows, dtype=torch.long)
        self._mask, self._lengths = self._mask[index], self._lengths[index]
        self.logits = self.logits[index.to(self.logits.device)]
        for layer in self._cache.layers:
            assert isinstance(layer, SharedPrefixLayer)
            layer.batch_select_indices(index.to(self._model.device))

    def append(self, tokens: Sequence[Sequence[int]]) -> None:
        """Append its tokens to each row, at least one (one alone, if not `takes_many`); compute the logits after."""
        padded, own = _padded(tokens)
        positions = (self._lengths[:, None] + own.cumsum(dim=1) - 1).clamp_min(0)
        self._mask = torch.cat([self._mask, own], dim=1)
        self.logits = self._forward(padded, self._cache, positions, self._mask)
        self._lengths = self._lengths + own.sum(dim=1)


def _padded(rows: Sequence[Sequence[int]]) -> tuple[Int[Tensor, "row token"], Int[Tensor, "row token"]]:
    """Token ids padded on the left to one length, and 1 where a token is a row's own."""
    longest = max(len(row) for row in rows)
    tokens, own = (torch.zeros(len(rows), longest, dtype=torch.long) for _ in range(2))
    for position, row in enumerate(rows):
        tokens[position, longest - len(row) :] = torch.tensor(list(row))
        own[position, longest - len(row) :] = 1
    return tokens, own
