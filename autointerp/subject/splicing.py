"""The subject's loss when the tensor at a hook is replaced by another, and the forward pass goes on with that."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from autointerp.errors import BadInput
from autointerp.subject.forward import Subject
from autointerp.subject.hooks import HookPoint

Replace: TypeAlias = Callable[[Float[Tensor, "vector width"]], Float[Tensor, "vector width"]]
"""Takes the hook's vectors, position after position and context after context, and gives what stands in for them."""

_LOGITS = 2**27
"""Logits in memory at once; a batch that has more is run in parts."""


class Splicing:
    """Losses of a subject with the tensor at one hook replaced.

    The start token's position keeps its own vector, as `Subject.activations` leaves it out: it holds no text, and in
    many models its vector is an outlier that no autoencoder was trained on.
    """

    def __init__(self, subject: Subject, hook: str) -> None:
        """`hook`: the name of one of the subject's hooks."""
        self._subject = subject
        self._hook = next(point for point in subject.hooks if point.name == hook)

    def losses(
        self, tokens: Int[np.ndarray, "context token"], replace: Replace | None = None
    ) -> Float[np.ndarray, " context"]:
        """Mean cross-entropy of the next token in each context, in nats; without `replace`, of the untouched subject.

        Every prediction counts that is made at a replaced position: those of the second token to the last. `replace`
        gets float32 vectors on the subject's device, and is called once or more per call of this. Raises BadInput for
        contexts of one token, or longer than the model's positions.
        """
        if tokens.shape[1] < 2:
            raise BadInput("a context of one token has no next token to predict", "give contexts of two tokens or more")
        ids = self._subject.with_start(tokens)
        vocabulary = self._subject.model.config.get_text_config().vocab_size
        rows = max(1, _LOGITS // (ids.shape[1] * vocabulary))
        return np.concatenate([self._part(part, replace) for part in torch.split(ids, rows)])

    def _part(self, ids: Int[Tensor, "context position"], replace: Replace | None) -> Float[np.ndarray, " context"]:
        model: Any = self._subject.model
        first = 0 if self._subject.start_token is None else 1
        edit = nullcontext() if replace is None else replacing(model, self._hook, _Edit(replace, ids.shape, first))
        with edit, torch.inference_mode():
            logits = model(input_ids=ids, use_cache=False).logits
            each = [  # context by context: a copy of all logits would double the memory
                torch.nn.functional.cross_entropy(row[first:-1].float(), target[first + 1 :], reduction="none")
                for row, target in zip(logits, ids, strict=True)
            ]
        found: np.ndarray = torch.stack(each).double().mean(dim=1).cpu().numpy()
        return found


class _Edit:
    """Replaces the vectors of a tensor in whatever form the model has it."""

    def __init__(self, replace: Replace, shape: torch.Size, first: int) -> None:
        self._replace, self._shape, self._first = replace, shape, first

    def __call__(self, tensor: Tensor) -> Tensor:
        """A tensor of the same shape and dtype; some models (OPT's MLP) flatten contexts and positions into one."""
        edited = tensor.reshape(*self._shape, -1).clone()
        kept = edited[:, self._first :]
        vectors = self._replace(kept.reshape(-1, kept.shape[-1]).float())
        edited[:, self._first :] = vectors.reshape(kept.shape).to(tensor.dtype)
        return edited.reshape(tensor.shape)


@contextmanager
def replacing(model: Any, hook: HookPoint, edit: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """The model with the tensor at a hook replaced by what `edit` makes of it, of the same shape and dtype."""

    def before(
        _: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        edited = _first_edited((*args, *kwargs.values()), edit)
        return edited[: len(args)], dict(zip(kwargs, edited[len(args) :], strict=True))

    def after(_: torch.nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        return _first_edited(output, edit) if isinstance(output, tuple) else edit(output)

    module = model.get_submodule(hook.path)
    if hook.side == "in":
        handle = module.register_forward_pre_hook(before, with_kwargs=True)
    else:
        handle = module.register_forward_hook(after)
    try:
        yield
    finally:
        handle.remove()


def _first_edited(values: tuple[Any, ...], edit: Callable[[Tensor], Tensor]) -> tuple[Any, ...]:
    """`values` with the first tensor among them edited: the one that `Subject.activations` reads."""
    position = next(position for position, value in enumerate(values) if isinstance(value, Tensor))
    return (*values[:position], edit(values[position]), *values[position + 1 :])
