"""Output effects: the tokens that a direction promotes and suppresses (direct logit attribution).

A direction at a hook is carried into the residual stream, through the final norm and onto the unembedding. Of the norm
its gain is kept, and its centring if it has one; the size that it divides by depends on the text, and is left out: it
scales all logits of a direction alike. So do temperatures after the unembedding; soft caps keep the order of logits,
not of their changes, and are left out too. What later blocks make of the direction is not seen.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from autointerp.records import Effects, Unscored
from autointerp.subject.effects_paths import to_residual, to_unembedding
from autointerp.subject.forward import Subject

TOKENS = 10
"""Promoted tokens of a unit, and suppressed ones."""
_ROWS = 8192
"""Rows of the unembedding at a time."""


class OutputEffects:
    """Reads the effects of directions at the subject's hooks."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        ids, self._texts = legible_tokens(subject.tokenizer, _unembedding(subject).shape[0])
        self._ids = ids.to(subject.device)

    def of(self, hook: str, directions: Float[Tensor, "unit width"]) -> list[Effects | Unscored]:
        """The effects of each direction of the vectors at `hook`, one of the subject's.

        Unscored with the reason for all of them where the hook has no straight way to the output, and for one that is
        zero when it gets there. Memory: 8,192 logits per direction, whatever the vocabulary.
        """
        model = self._subject.model
        point = next(point for point in self._subject.hooks if point.name == hook)
        written = to_residual(model, point, directions.to(self._subject.device, torch.float32))
        arriving = written if isinstance(written, Unscored) else to_unembedding(model, written)
        if isinstance(arriving, Unscored):
            return [arriving] * len(directions)
        promoted, suppressed = self._extremes(arriving), self._extremes(-arriving)
        silent = Unscored("the unit's output direction is zero")
        return [
            Effects(self._told(high), self._told(low)) if some else silent
            for high, low, some in zip(promoted, suppressed, arriving.any(dim=1).tolist(), strict=True)
        ]

    def _extremes(self, arriving: Float[Tensor, "unit residual"]) -> list[list[int]]:
        """Ids of the tokens with the highest logits, the highest first."""
        rows = _unembedding(self._subject)
        best = arriving.new_empty(len(arriving), 0)
        whose = self._ids.new_empty(len(arriving), 0)
        for ids in torch.split(self._ids, _ROWS):
            logits = arriving @ rows[ids].float().T
            best, whose = torch.cat([best, logits], dim=1), torch.cat([whose, ids.expand(len(arriving), -1)], dim=1)
            best, order = best.topk(min(TOKENS, best.shape[1]), dim=1)
            whose = whose.gather(1, order)
        found: list[list[int]] = whose.tolist()
        return found

    def _told(self, ids: list[int]) -> tuple[str, ...]:
        return tuple(self._texts[i] for i in ids)


def legible_tokens(tokenizer: Any, rows: int) -> tuple[Int[Tensor, " token"], dict[int, str]]:
    """The ids under `rows` whose text can be told, ascending, and the text of each.

    Left out: rows of the unembedding that no token has, special tokens, and pieces of a character.
    """
    special = set(tokenizer.all_special_ids)
    ids = [i for i in range(min(len(tokenizer), rows)) if i not in special]
    texts: list[str] = tokenizer.batch_decode([[i] for i in ids], clean_up_tokenization_spaces=False)
    told = {i: text for i, text in zip(ids, texts, strict=True) if text and "\ufffd" not in text}
    return torch.tensor(list(told), dtype=torch.int64), told


def _unembedding(subject: Subject) -> Float[Tensor, "vocabulary residual"]:
    weight: Tensor = subject.model.get_output_embeddings().weight
    return weight
