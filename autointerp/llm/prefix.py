"""A batch of prompts in a local model: the tokens that all share run once and are stored once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

from autointerp.errors import BadInput
from autointerp.llm.encode import common_prefix

MOST_BYTES = 3 << 30
"""Bytes that the keys and values of a batch may take where every row holds its own copy of the prefix."""


class SharedPrefixLayer(DynamicLayer):  # type: ignore[no-untyped-call]  # transformers leaves it untyped
    """Keys and values of one layer: what all rows begin with, then what each row has of its own.

    Where tokens will be appended and memory allows it, every row holds the whole in a buffer with room for them, so
    that a token costs no copy of what came before. Else the prefix is stored once, `keys` and `values` (row, head,
    token, dimension) hold the rows' own part, and the two are joined only while the layer works: memory grows by one
    prefix and not by one per row.
    """

    def __init__(self, prefix: DynamicLayer, room: int, most_bytes: float) -> None:
        """`room`: tokens that will be appended to each row. `most_bytes`: that the buffers may take."""
        super().__init__()  # type: ignore[no-untyped-call]
        self._prefix = prefix if prefix.get_seq_length() else None
        self._room, self._most_bytes = room, most_bytes
        self._buffers: tuple[Tensor, Tensor] | None = None
        self._filled = 0

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Append to the rows; return the whole of every row."""
        if self._buffers is None and not self.get_own_length():
            self._buffers = self._roomy(key_states, value_states)
        if self._buffers is not None:
            end = self._filled + key_states.shape[-2]
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

    def _roomy(self, key_states: Tensor, value_states: Tensor) -> tuple[Tensor, Tensor] | None:
        """Buffers that hold the prefix and have room for these and all that will follow; None: there is no need, or
        they would be too large."""
        before = self._prefix.get_seq_length() if self._prefix else 0
        tokens = before + key_states.shape[-2] + self._room
        states = (key_states, value_states)
        size = sum(s.element_size() * s.numel() // s.shape[-2] * tokens for s in states)
        if not self._room or size > self._most_bytes:
            return None
        keys, values = (s.new_empty(*s.shape[:2], tokens, s.shape[-1]) for s in states)
        if before:
            prefix_keys, prefix_values = self._of_prefix(len(key_states))
            keys[:, :, :before], values[:, :, :before] = prefix_keys, prefix_values
        self._filled = before
        return keys, values

    def get_own_length(self) -> int:
        """Tokens that the rows hold beside a prefix that is stored once."""
        return super().get_seq_length()

    def get_seq_length(self) -> int:
        """Tokens of each row, the prefix included."""
        if self._buffers is not None:
            return self._filled
        return self.get_own_length() + (self._prefix.get_seq_length() if self._prefix else 0)

    def batch_select_indices(self, indices: Tensor) -> None:
        """Go on with these rows alone."""
        if self._buffers is None:
            super().batch_select_indices(indices)
        else:
            keys, values = self._buffers
            self._buffers = keys[indices], values[indices]


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


def _window_may_end(model: PreTrainedModel, tokens: int) -> bool:
    """Whether a sliding-window layer looks back on fewer than `tokens` tokens."""
    layers = DynamicCache(config=model.config).layers
    return any(isinstance(layer, DynamicSlidingWindowLayer) and layer.sliding_window < tokens for layer in layers)


class Batch:
    """Prompts being continued, one row each. Rows are padded on the left, between shared prefix and own part."""

    def __init__(self, model: PreTrainedModel, prompts: Sequence[Sequence[int]], room: int = 0) -> None:
        """Read the prompts (token ids, at least one each); at most `room` tokens will be appended to each.

        A sliding window counts places, padding included. So where one may end inside the text, nothing is shared and
        the padding stands before the whole prompt, out of every window's way.
        """
        self._model = model
        shared = min(common_prefix(prompts), min(len(p) for p in prompts) - 1)
        if _window_may_end(model, max(len(p) for p in prompts) + room):
            shared = 0
        prefix = empty_cache(model)
        if shared:
            self._forward(torch.tensor([prompts[0][:shared]]), prefix, torch.arange(shared)[None], None)
        self._cache = Cache(
            layers=[
                SharedPrefixLayer(layer, room, MOST_BYTES / len(prefix.layers))
                for layer in prefix.layers
                if isinstance(layer, DynamicLayer)
            ]
        )
        longest = max(len(p) for p in prompts)
        tokens = torch.zeros(len(prompts), longest - shared, dtype=torch.long)
        mask = torch.ones(len(prompts), longest, dtype=torch.long)
        for row, prompt in enumerate(prompts):
            padding = longest - len(prompt)
            tokens[row, padding:] = torch.tensor(prompt[shared:])
            mask[row, shared : shared + padding] = 0
        self._mask = mask
        self._lengths = mask.sum(dim=1)
        positions = (mask.cumsum(dim=1) - 1).clamp_min(0)[:, shared:]
        self.logits: Float[Tensor, "prompt vocabulary"] = self._forward(tokens, self._cache, positions, mask)
        """Of the token after each prompt and what was appended to it."""

    def _forward(
        self,
        tokens: Int[Tensor, "row token"],
        cache: Cache,
        positions: Int[Tensor, "row token"],
        mask: Int[Tensor, "row all"] | None,
    ) -> Float[Tensor, "row vocabulary"]:
        device = self._model.device
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
        """Go on with these rows alone."""
        index = torch.tensor(rows, dtype=torch.long)
        self._mask, self._lengths = self._mask[index], self._lengths[index]
        self.logits = self.logits[index.to(self.logits.device)]
        for layer in self._cache.layers:
            assert isinstance(layer, SharedPrefixLayer)
            layer.batch_select_indices(index.to(self._model.device))

    def append(self, tokens: Int[Tensor, " prompt"]) -> None:
        """Append one token to each row, and compute the logits after it."""
        self._mask = torch.cat([self._mask, torch.ones(len(tokens), 1, dtype=torch.long)], dim=1)
        self.logits = self._forward(tokens[:, None], self._cache, self._lengths[:, None], self._mask)
        self._lengths = self._lengths + 1
