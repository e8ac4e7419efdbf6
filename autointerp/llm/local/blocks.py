"""Logits inside long prompts and after many, in blocks, keeping what the next prompts share with the last ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import Cache

from autointerp.llm.local.attention import shared_heads
from autointerp.llm.local.encode import common_prefix
from autointerp.llm.local.prefix import empty_cache, takes_positions, window_may_end

BLOCK = 128
"""Tokens per forward pass. A block is computed in the same way whether the ones before it were kept or not, so
results don't depend, to the last bit, on which prompts came before."""
MOST_IN_TREE = 512
"""Tokens beyond the first prompt that are read with it: each is weighed against all that were read before it."""
_ROOT = -1
_MASKED = ("sdpa", "eager")
"""Kinds of attention that take a mask of our own."""


@dataclass
class _Tree:
    """Prompts joined at what they begin with; each token stands behind the one that it follows."""

    nodes: list[tuple[int, int]] = field(default_factory=list)
    """A token's id, and the place in this list of the token before it (`_ROOT` for a prompt's first)."""
    depths: list[int] = field(default_factory=list)
    """Tokens before each."""
    _places: dict[tuple[int, int], int] = field(default_factory=dict)

    def __len__(self) -> int:
        """Tokens."""
        return len(self.nodes)

    def add(self, prompt: Sequence[int]) -> int:
        """Add a prompt; the place of its last token."""
        place = _ROOT
        for depth, token in enumerate(prompt):
            node = token, place
            if node not in self._places:
                self._places[node] = len(self.nodes)
                self.nodes.append(node)
                self.depths.append(depth)
            place = self._places[node]
        return place

    def known(self, prompt: Sequence[int]) -> int:
        """How many leading tokens of a prompt are here already."""
        place = _ROOT
        for count, token in enumerate(prompt):
            if (token, place) not in self._places:
                return count
            place = self._places[token, place]
        return len(prompt)

    def is_chain(self, end: int) -> bool:
        """Whether each of the first `end` tokens follows the one before it in the list."""
        return self.depths[end - 1] == end - 1

    @cached_property
    def _seen(self) -> Bool[np.ndarray, "token token"]:
        """Row by row: itself, and those before it in a prompt."""
        seen = np.eye(len(self), dtype=bool)
        for position, (_, before) in enumerate(self.nodes):
            if before != _ROOT:
                seen[position] |= seen[before]
        return seen

    def mask(self, begin: int, end: int, dtype: torch.dtype) -> Float[Tensor, "1 1 block all"]:
        """What tokens `begin` to `end` see of the first `end`: 0 for what they see. No prompt is added after this."""
        hidden = torch.from_numpy(~self._seen[begin:end, :end])
        return torch.zeros(hidden.shape, dtype=dtype).masked_fill(hidden, torch.finfo(dtype).min)[None, None]


class BlockReader:
    """Reads prompts; whole blocks that they share with the last ones at their beginning are not computed again."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model
        self._read: list[tuple[int, int]] = []
        self._cache: Cache = empty_cache(model)

    @torch.inference_mode()
    def logits_at(self, prompt: Sequence[int], positions: Sequence[int]) -> Float[Tensor, "position vocabulary"]:
        """Next-token logits after each position of the prompt (token ids); positions ascend.

        Raises ValueError for positions that are none, that don't ascend, or that are not in the prompt.
        """
        if not positions or list(positions) != sorted(set(positions)) or not 0 <= positions[0] <= positions[-1] < len(
            prompt
        ):  # fmt: skip
            raise ValueError(f"positions {list(positions)} don't ascend inside a prompt of {len(prompt)} tokens")
        tree = _Tree()
        tree.add(prompt[: positions[-1] + 1])
        return self._logits(tree, positions)

    @torch.inference_mode()
    def logits_after(self, prompts: Sequence[Sequence[int]]) -> Float[Tensor, "prompt vocabulary"]:
        """Next-token logits after each prompt (token ids, at least one each).

        What several share at their beginning runs once, and prompts of different lengths run in one pass without any
        padding: each token sees those before it in its own prompt. Where a model's attention can't be told so, or a
        sliding window may end inside a prompt, they are read one after the other. Raises ValueError for no prompts.
        """
        if not prompts or not all(prompts):
            raise ValueError("no prompt, or an empty one")
        if not self.can_join(max(len(prompt) for prompt in prompts)):
            return torch.cat([self.logits_at(prompt, [len(prompt) - 1]) for prompt in prompts])
        parts, tree, ends = [], _Tree(), list[int]()
        for prompt in prompts:
            if ends and len(tree) + len(prompt) - tree.known(prompt) > ends[0] + 1 + MOST_IN_TREE:
                parts.append(self._ends(tree, ends))
                tree, ends = _Tree(), []
            ends.append(tree.add(prompt))
        return torch.cat([*parts, self._ends(tree, ends)])

    def _ends(self, tree: _Tree, ends: Sequence[int]) -> Float[Tensor, "prompt vocabulary"]:
        """Logits after these tokens of a tree, in any order."""
        distinct, rows = np.unique(list(ends), return_inverse=True)
        logits = self._logits(tree, distinct.tolist())
        return logits[torch.from_numpy(rows).to(logits.device)]

    def can_join(self, tokens: int) -> bool:
        """Whether prompts of so many tokens are read in one pass: a mask of ours decides what each token sees."""
        masked = self._model.config._attn_implementation in _MASKED and takes_positions(self._model)
        return masked and not window_may_end(self._model, tokens)

    def _logits(self, tree: _Tree, wanted: Sequence[int]) -> Float[Tensor, "wanted vocabulary"]:
        """Logits after the tokens at these places of a tree, which ascend."""
        needed = tree.nodes[: wanted[-1] + 1]
        start = self._rewind(min(common_prefix([self._read, needed]), wanted[0]) // BLOCK * BLOCK)
        rows = []
        for begin in range(start, len(needed), BLOCK):
            end = min(begin + BLOCK, len(needed))
            own = [place - begin for place in wanted if begin <= place < end]
            logits = self._forward(tree, begin, end, own or [end - begin - 1])
            if own:
                rows.append(logits)
        self._read = needed
        return torch.cat(rows)

    def _rewind(self, kept: int) -> int:
        """Forget all but the first `kept` tokens. An interrupted prompt leaves nothing behind."""
        surplus, self._read = len(self._read) - kept, []
        if kept:
            self._cache.crop(-surplus)
        else:
            self._cache = empty_cache(self._model)
        return kept

    def _forward(self, tree: _Tree, begin: int, end: int, wanted: Sequence[int]) -> Float[Tensor, "kept vocabulary"]:
        device = self._model.device
        told = None if tree.is_chain(end) else tree.mask(begin, end, self._model.dtype).to(device)
        with shared_heads(device):
            output = self._model(
                input_ids=torch.tensor([[token for token, _ in tree.nodes[begin:end]]], device=device),
                position_ids=torch.tensor([tree.depths[begin:end]], device=device),
                attention_mask=told,
                past_key_values=self._cache,
                use_cache=True,
                logits_to_keep=torch.tensor(list(wanted), device=device),
            )
        logits: Tensor = output.logits
        return logits[0].float()
