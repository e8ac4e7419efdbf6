"""The digit that a model in the process expects, from the log-probabilities of every token that spells one."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from autointerp.errors import BadInput
from autointerp.records import Unscored
from autointerp.simulate.vocabulary import digit_tokens

NO_DIGIT = Unscored("no digit has any probability at some token")


class DigitTokens:
    """The ten digits in one tokenizer's vocabulary, each with and without a leading space."""

    def __init__(self, tokenizer: Any, simulator: str) -> None:
        """Raises BadInput, in the name of `simulator`, when the tokenizer splits a digit."""
        variants = digit_tokens(tokenizer)
        if isinstance(variants, Unscored):
            raise BadInput(
                f"simulator '{simulator}': {variants.reason}", "use simulate.method = 'lift' or another model"
            )
        self.tokens = [token for ids in variants for token in ids]
        """Ids of all variants: 0's, then 1's, up to 9's."""
        self._digits = [float(digit) for digit, ids in enumerate(variants) for _ in ids]

    def expected(self, logprobs: Float[Tensor, "place variant"]) -> Float[np.ndarray, " place"] | Unscored:
        """The expected digit at each place, 0 to 9, renormalised over `tokens`, whose log-probabilities these are."""
        if not bool(torch.isfinite(logprobs).any(dim=1).all()):
            return NO_DIGIT
        digits = torch.tensor(self._digits, dtype=logprobs.dtype)
        means: Float[np.ndarray, " place"] = (torch.softmax(logprobs, dim=1) @ digits).numpy()
        return means
