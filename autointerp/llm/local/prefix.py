"""A batch of prompts in a local model: the tokens that all share run once and are stored once.

Heads that share their keys and values read them where they lie: on a CPU, transformers would copy them per head.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from inspect import signature
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

from autointerp.errors import BadInput
from autointerp.llm.local.encode import common_prefix

_ASKED = "TRANSFORMERS_SDPA_FORCE_GQA"
"""Read by transformers in every layer. Without it a mask makes it copy keys and values for each head that shares them,
which for a batch of long prompts takes ten times as long as the attention itself. On a GPU it would choose a slower
kernel."""


@contextmanager
def shared_heads(device: torch.device) -> Iterator[None]:
    """Let the forward passes of the block copy nothing, on a CPU."""
    before = os.environ.get(_ASKED)
    if device.type != "cpu" or before is not None:
        yield
        return
    os.environ[_ASKED] = "1"
    try:
        yield
    finally:
        os.environ.pop(_ASKED, None)  # another thread may have been through here


MOST_BYTES = 3 << 30
"""Bytes that the keys and values of a batch may take, about: every row has its own copy of the prefix, and what pads
rows that are out of step is not counted."""
_BY_PLACE = frozenset({"gpt_neo", "llama4", "llama4_text"})
"""Types of model in which something depends on a token's place in the cache, whatever position it is given."""
_held_per_token: WeakKeyDictionary[PreTrainedModel, int] = WeakKeyDictionary()


class SharedPrefixLayer(DynamicLayer):  # type: ignore[no-untyped-call]  # transformers leaves it untyped
    """Keys and values of one layer: what all rows begin with, then what each row has of its own.

    Where tokens will be appended, every row holds the whole in a buffer with room for them, so that a token costs no
    copy of what came before. Else the prefix is stored once, `keys` and `values` (row, head, token, dimension) hold
    the rows' own part, and the two are joined only while the layer works: memory grows by one prefix and not by one
    per row.
    """

    def __init__(self, prefix: DynamicLayer, room: int) -> None:
        """`room`: tokens that will be appended to each row."""
        super().__init__()  # type: ignore[no-untyped-call]
        self._prefix = prefix if prefix.get_seq_length() else None
        self._room = room
        self._buffers: tuple[Tensor, Tensor] | None = None
        self._filled = 0

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Append to the rows; return the whole of every row."""
        if self._buffers is None and self._room:
            self._buffers = self._roomy(key_states, value_states)
        if self._buffers is not None:
            end = self._filled + key_states.shape[-2]
            if end > self._buffers[0].shape[-2]:  # rows out of step: what pads them was not reckoned with
                self._buffers = self._longer(end + self._room // 4)
            for buffer, states in zip(self._buffers, (key_states, value_states), strict=True):
                buffer[:, :, self._filled : end] = states
            self._filled = end
            keys, values = self._buffers
            return keys[:, :, :end], values[:, :, :end]
        keys, values = super().update(key_states, value_states)
        if self._prefix is None:
            return keys, values
        prefix_keys, prefix_values = self._of_prefix(len(keys))
        return torch.cat([prefix_keys, keys], dim=-2), torch.cat([prefix_values, values], dim=-2)

    def _of_prefix(self, rows: int) -> tuple[Tensor, Tensor]:
        """The prefix as each row would hold it; nothing is copied."""
        assert self._prefix is not None
        keys, values = self._prefix.keys, self._prefix.values
        assert keys is not None
        assert values is not None
        return keys.expand(rows, -1, -1, -1), values.expand(rows, -1, -1, -1)

    def _roomy(self, key_states: Tensor, value_states: Tensor) -> tuple[Tensor, Tensor]:
        """Buffers that hold the prefix and have room for these and all that will follow."""
        before = self._prefix.get_seq_length() if self._prefix else 0
        tokens = before + key_states.shape[-2] + self._room
        keys, values = (s.new_empty(*s.shape[:2], tokens, s.shape[-1]) for s in (key_states, value_states))
        if before:
            prefix_keys, prefix_values = self._of_prefix(len(key_states))
            keys[:, :, :before], values[:, :, :before] = prefix_keys, prefix_values
        self._filled = before
        return keys, values

    def _longer(self, tokens: int) -> tuple[Tensor, Tensor]:
        """The buffers with room for so many tokens."""
        assert self._buffers is not None
        keys, values = (b.new_empty(*b.shape[:2], tokens, b.shape[-1]) for b in self._buffers)
        for longer, held in zip((keys, values), self._buffers, strict=True):
            longer[:, :, : self._filled] = held[:, :, : self._filled]
        return keys, values

    def get_seq_length(self) -> int:
        """Tokens of each row, the prefix included."""
        if self._buffers is not None:
            return self._filled
        return super().get_seq_length() + (self._prefix.get_seq_length() if self._prefix else 0)

    def batch_select_indices(self, indices: Tensor) -> None:
        """Go on with these rows, one of them several times if it is wanted so. A row that keeps its place is not copied
        (see `closed_up`)."""
        if self._buffers is None:
            super().batch_select_indices(indices)
            return
        rows = indices.tolist()
        moved = [(place, row) for place, row in enumerate(rows) if place != row]
        if any(row < len(rows) for _, row in moved):  # would be overwritten before it is read
            self._buffers = self._buffers[0][indices], self._buffers[1][indices]
            return
        for buffer in self._buffers:
            for place, row in moved:
                buffer[place, :, : self._filled] = buffer[row, :, : self._filled]
        self._buffers = self._buffers[0][: len(rows)], self._buffers[1][: len(rows)]


def closed_up(rows: Sequence[int]) -> list[int]:
    """Rows of a batch that go on, ascending, in the order that moves the fewest: the last ones fill the gaps."""
    count = len(rows)
    last = (row for row in reversed(rows) if row >= count)
    there = set(rows)
    return [place if place in there else next(last) for place in range(count)]


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


class Batch:
    """Prompts being continued, one row each; one that is there several times is read once. Rows are padded on the left,
    between shared prefix and own part: no more than `rows_that_fit` of different lengths."""

    def __init__(self, model: PreTrainedModel, prompts: Sequence[Sequence[int]], room: int = 0) -> None:
        """Read the prompts (token ids, at least one each); at most `room` tokens will be appended to each.

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
        prefix = empty_cache(model)
        if shared:
            self._forward(torch.tensor([prompts[0][:shared]]), prefix, torch.arange(shared)[None], None)
        self._cache = Cache(
            layers=[SharedPrefixLayer(layer, room) for layer in prefix.layers if isinstance(layer, DynamicLayer)]
        )
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
        device = self._model.device
        with shared_heads(device):
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
