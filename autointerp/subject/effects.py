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
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from autointerp.records import Effects, Unscored
from autointerp.subject.forward import Subject
from autointerp.subject.hooks import Family, HookPoint, block_of, family_of, find_module

_FINAL_NORMS = ("norm", "ln_f", "final_layer_norm", "final_layernorm")
"""After the last block, by name beside the list of blocks."""
_NO_PATH = Unscored("what is hooked does not write into the residual stream (blocks, attention, MLPs and neurons do)")


def to_residual(
    model: PreTrainedModel, hook: HookPoint, directions: Float[Tensor, "unit width"]
) -> Float[Tensor, "unit residual"] | Unscored:
    """What directions of the hooked vector add to the residual stream, each up to a factor above 0.

    A block's input or output is the residual stream, and so is what stands between its attention and its MLP. An MLP's
    or attention's output is added to it, through the norm after it where there is one (`linear_part`). A neuron's
    coordinate goes through its column of the MLP's second layer, a head's through attention's output projection.
    Everything else (what an MLP reads, modules of a model whose layers are not known) is Unscored.
    """
    family = family_of(model)
    if family is None:
        return Unscored("where this type of model has its blocks is not known")
    number, _, part = hook.path.removeprefix(f"{family.blocks}.").partition(".")
    known = block_of(model, family, number) if hook.path.startswith(f"{family.blocks}.") else None
    if known is None:
        return _NO_PATH
    block = model.get_submodule(f"{family.blocks}.{number}")
    here = (part, hook.side)
    if not part or here in [known.place(name) for name in ("resid_mid", "attn.contribution", "mlp.contribution")]:
        return directions
    if here == known.place("mlp.neurons"):
        return _through(block, known.after_mlp, directions @ _weight(block.get_submodule(part)))
    if here == known.place("attn.z"):
        return _through(block, known.after_attention, directions @ _weight(block.get_submodule(part)))
    if here == known.place("attn.out"):
        return _through(block, known.after_attention, directions)
    if here == known.place("mlp.out") or here == (family.down, "out"):
        return _through(block, known.after_mlp, directions)
    return _NO_PATH


def to_unembedding(
    model: PreTrainedModel, directions: Float[Tensor, "unit residual"]
) -> Float[Tensor, "unit residual"] | Unscored:
    """What directions of the residual stream come to after the final norm (`linear_part`), up to a factor above 0."""
    family = family_of(model)
    norm = _final_norm(model, family) if family is not None else None
    if norm is None:
        return Unscored("the model has no final norm that is known")
    return linear_part(norm, directions)


def linear_part(norm: torch.nn.Module, vectors: Float[Tensor, "n width"]) -> Float[Tensor, "n width"]:
    """What a norm makes of a small change of its input while the size that it divides by stands still.

    That is: the change, less its own mean if the norm is a layer norm, times the norm's gain; the bias drops out, and
    so does the division, a factor above 0 that differs with the text. The gain is read off the norm's answer to a
    vector and to its opposite, since families write it differently (Gemma's is 1 + weight).
    """
    width = vectors.shape[1]
    same = vectors.new_ones(1, width)
    centres = not bool(_odd(norm, same).abs().max() > 1e-4)  # a layer norm sees nothing in equal coordinates
    probe = same.clone()
    probe[:, 1::2] = -1
    gain = _odd(norm, probe) / (probe - probe.mean() if centres else probe)
    return (vectors - vectors.mean(dim=1, keepdim=True) if centres else vectors) * gain


def _odd(norm: torch.nn.Module, vector: Float[Tensor, "1 width"]) -> Float[Tensor, "1 width"]:
    """Half the difference between the norm's answers to a vector and to its opposite: no bias is in it."""
    dtype = next((p.dtype for p in norm.parameters()), torch.float32)
    with torch.inference_mode():
        answers: Tensor = norm(torch.stack([vector, -vector]).to(dtype)).to(vector.dtype)
    return (answers[0] - answers[1]) / 2


def _through(
    block: torch.nn.Module, norm: str | None, directions: Float[Tensor, "unit residual"]
) -> Float[Tensor, "unit residual"]:
    """What comes out of the block's norm of this name, where it has one."""
    return directions if norm is None else linear_part(block.get_submodule(norm), directions)


def _weight(layer: torch.nn.Module) -> Float[Tensor, "coordinate residual"]:
    weight = layer.get_parameter("weight").float()
    return weight if isinstance(layer, Conv1D) else weight.T


def _final_norm(model: PreTrainedModel, family: Family) -> torch.nn.Module | None:
    parent = family.blocks.rpartition(".")[0]
    found = (find_module(model, f"{parent}.{name}") for name in _FINAL_NORMS)
    return next((norm for norm in found if norm is not None), None)


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
