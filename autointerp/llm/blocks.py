"""Logits inside long prompts, in blocks, keeping what the next prompt shares with the last one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import Cache

from autointerp.llm.encode import common_prefix
from autointerp.llm.prefix import empty_cache

BLOCK = 128
"""Tokens per forward pass. A block is computed in the same way whether the ones before it were kept or not, so
results don't depend, to the last bit, on which prompts came before."""


class BlockReader:
    """Reads one prompt at a time; whole blocks that it shares with the last one are not computed again."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model
        self._read: list[int] = []
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
        needed = list(prompt[: positions[-1] + 1])
        start = self._rewind(min(common_prefix([self._read, needed]), positions[0]) // BLOCK * BLOCK)
        rows = []
        for begin in range(start, len(needed), BLOCK):
            block = needed[begin : begin + BLOCK]
            wanted = [p - begin for p in positions if begin <= p < begin + len(block)]
            logits = self._forward(block, begin, wanted or [len(block) - 1])
            if wanted:
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

    def _forward(self, block: Sequence[int], begin: int, wanted: Sequence[int]) -> Float[Tensor, "kept vocabulary"]:
        device = self._model.device
        output = self._model(
            input_ids=torch.tensor([list(block)], device=device),
            position_ids=torch.arange(begin, begin + len(block), device=device)[None],
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=torch.tensor(list(wanted), device=device),
        )
        logits: Tensor = output.logits
        return logits[0].float()
