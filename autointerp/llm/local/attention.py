"""What the rows of a batch keep of what they read, and how they look at it.

On a CPU the tokens that all rows begin with are kept once and read once for all rows, and heads that share their keys
and values read them where they lie: transformers would copy both, per row and per head.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.cache_utils import Cache, DynamicLayer
from transformers.masking_utils import sdpa_mask

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


_APART = "autointerp_apart"
"""What transformers knows the attention below by."""
_read_now: ContextVar[Cache | None] = ContextVar("_read_now", default=None)
"""The cache whose prefix is read apart, in the forward pass that is under way."""


def can_read_apart(model: PreTrainedModel) -> bool:
    """Whether the model lets its attention be replaced by that below, on this device. Nothing is said of whether it
    would compute the same (some add to their attention what `attend_apart` does not know)."""
    replaceable = model._supports_attention_backend and model.config._attn_implementation == "sdpa"
    return replaceable and model.device.type == "cpu"


@contextmanager
def prefix_apart(model: PreTrainedModel, cache: Cache) -> Iterator[None]:
    """Let the forward passes of the block read the prefix of the cache's layers, SharedPrefixLayers, by itself."""
    before, token = model.config._attn_implementation, _read_now.set(cache)
    model.config._attn_implementation = _APART
    try:
        yield
    finally:
        model.config._attn_implementation = before
        _read_now.reset(token)


def attend_apart(
    module: torch.nn.Module,
    query: Float[Tensor, "row head token dim"],
    key: Float[Tensor, "row shared own dim"],
    value: Float[Tensor, "row shared own dim"],
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Float[Tensor, "row token head dim"], None]:
    """Attention of every row to the prefix, of which there is one copy, and to its own tokens; then the two together.

    As far as a row's softmax over all is concerned, each part counts with the sum of its exponentials (the way that
    flash attention puts its blocks together). `attention_mask`, of the prefix and the own tokens, hides none of the
    prefix; None hides nothing. `kwargs` are what transformers hands to any attention.
    """
    cache = _read_now.get()
    assert cache is not None
    layer = cache.layers[module.layer_idx]  # type: ignore[index]  # a module's attributes have no type
    assert isinstance(layer, SharedPrefixLayer)
    prefix_keys, prefix_values = layer.shared_prefix
    rows, heads, tokens, dim = query.shape
    shared = key.shape[1]
    # Of the prefix, all rows and all heads that share keys ask together: one sequence of queries per shared head.
    asked = query.reshape(rows, shared, -1, dim).transpose(0, 1).reshape(1, shared, -1, dim)
    of_all, sum_of_all = _FLASH(asked, prefix_keys, prefix_values, 0.0, False, scale=scaling)
    of_all = of_all.reshape(shared, rows, -1, dim).transpose(0, 1).reshape(rows, heads, tokens, dim)
    sum_of_all = sum_of_all.reshape(shared, rows, -1).transpose(0, 1).reshape(rows, heads, tokens)
    hidden = None
    if attention_mask is not None:
        seen = attention_mask[..., prefix_keys.shape[2] :]
        hidden = torch.zeros(seen.shape, dtype=query.dtype).masked_fill_(~seen, -torch.inf)
    own, sum_of_own = _FLASH(query, key, value, 0.0, False, attn_mask=hidden, scale=scaling)
    share = torch.sigmoid(sum_of_all - sum_of_own)[..., None].to(query.dtype)
    return torch.lerp(own, of_all, share).transpose(1, 2).contiguous(), None


_FLASH = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
"""What `scaled_dot_product_attention` is on a CPU, and the logarithm of the sum of exponentials besides."""
AttentionInterface.register(_APART, attend_apart)
AttentionMaskInterface.register(_APART, sdpa_mask)


class SharedPrefixLayer(DynamicLayer):  # type: ignore[no-untyped-call]  # transformers leaves it untyped
    """Keys and values of one layer: what all rows begin with, then what each row has of its own.

    Where tokens will be appended, every row has a buffer with room for them, so that a token costs no copy of what came
    before. Apart, the prefix is stored once and given out once (`shared_prefix`), and the rows' own part alone is in
    the buffers and in what `update` returns. Else the buffers hold the whole; without room the two are joined only
    while the layer works.
    """

    def __init__(self, prefix: DynamicLayer, room: int, apart: bool = False) -> None:
        """`room`: tokens that will be appended to each row; `apart`: who attends reads the prefix by itself."""
        super().__init__()  # type: ignore[no-untyped-call]
        self._prefix = prefix if prefix.get_seq_length() else None
        self._room, self._apart = room, apart
        self._buffers: tuple[Tensor, Tensor] | None = None
        self._filled = 0

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Append to the rows; return the whole of every row, or all of it but the prefix."""
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
        if self._prefix is None or self._apart:
            return keys, values
        prefix_keys, prefix_values = self._of_prefix(len(keys))
        return torch.cat([prefix_keys, keys], dim=-2), torch.cat([prefix_values, values], dim=-2)

    def _of_prefix(self, rows: int) -> tuple[Tensor, Tensor]:
        """The prefix as each row would hold it; nothing is copied."""
        keys, values = self.shared_prefix
        return keys.expand(rows, -1, -1, -1), values.expand(rows, -1, -1, -1)

    def _roomy(self, key_states: Tensor, value_states: Tensor) -> tuple[Tensor, Tensor]:
        """Buffers that hold the prefix, if it is not apart, and have room for these and all that will follow."""
        before = 0 if self._apart else self._of_all
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
            return self._filled + (self._of_all if self._apart else 0)
        return super().get_seq_length() + self._of_all

    @property
    def _of_all(self) -> int:
        """Tokens of the prefix."""
        return self._prefix.get_seq_length() if self._prefix else 0

    @property
    def shared_prefix(self) -> tuple[Float[Tensor, "1 head token dim"], Float[Tensor, "1 head token dim"]]:
        """Keys and values that all rows begin with; there must be some."""
        assert self._prefix is not None
        assert self._prefix.keys is not None
        assert self._prefix.values is not None
        return self._prefix.keys, self._prefix.values

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
