"""The subject's forward pass: activations at every hook in one pass, which stops after the last of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from transformers import PreTrainedTokenizerBase

from autointerp import study_inputs
from autointerp.errors import BadInput
from autointerp.models import LoadedModel, load_model
from autointerp.subject.hooks import HookPoint, resolve


class _Stop(Exception):
    """Raised inside a hook when everything asked for has been read."""


class NotFinite(BadInput):
    """A hook gave NaN or infinity: whatever is made of that is about nothing."""

    def __init__(self, hook: str, row: int, dtype: str, context: str = "") -> None:
        """`row`: the first such context of the batch, which `context` calls by another name."""
        self.hook, self.row, self.dtype = hook, row, dtype
        """Where, and the precision of the subject."""
        super().__init__(
            f"hook '{hook}' gives NaN or infinite activations in {context or f'context {row} of a batch'} "
            f"(subject.dtype = '{dtype}')",
            "read the subject in float32 or bfloat16, or check its weights",
        )


class Subject:
    """A language model with named hook points.

    One pass at a time: the hooks are on the model itself, which other parts of the process may share.
    """

    def __init__(self, loaded: LoadedModel, hooks: Sequence[str], start_token: int | None) -> None:
        """Resolve `hooks` and run a few tokens through the model, to see in which order and how wide they are.

        Raises BadInput for a name that is unknown, a module that a pass does not run exactly once, or one whose
        tensor is not a real vector per token.
        """
        if not hooks:
            raise BadInput("the subject has no hooks", "name at least one in subject.hooks")
        self._loaded = loaded
        self.hooks: tuple[HookPoint, ...] = tuple(resolve(loaded.model, name) for name in dict.fromkeys(hooks))
        """In the order asked for, without repetitions."""
        self.start_token = start_token
        """Put before every context, its position dropped afterwards; None: nothing is put there."""
        self.identity = loaded.identity
        """Names the weights, not where they are."""
        self._last, self.widths = self._probe()

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The model's own tokenizer."""
        return self._loaded.tokenizer

    @property
    def loaded(self) -> LoadedModel:
        """Model, tokenizer, identity and device."""
        return self._loaded

    @property
    def model(self) -> Any:
        """The model itself, a `transformers` one, on its device."""
        return self._loaded.model

    @property
    def device(self) -> torch.device:
        """Where the model and its activations are."""
        return self._loaded.device

    def activations(
        self, tokens: Int[np.ndarray, "context token"]
    ) -> dict[str, Float[torch.Tensor, "context token width"]]:
        """What the model computes at each hook for contexts of equal length, by hook name.

        float32, on the model's device, in the tensor's own scale, without gradients; ordinary tensors that a trainer
        may use. Raises BadInput when the contexts are longer than the model's positions, NotFinite for NaN or infinity.
        """
        ids = self.with_start(tokens)
        captured: dict[str, torch.Tensor] = {}

        def keep(hook: HookPoint, tensor: torch.Tensor) -> None:
            captured[hook.name] = _per_token(hook, tensor, ids.shape)[:, self._offset :].to(torch.float32, copy=True)
            if hook.name == self._last:
                raise _Stop

        with self._hooked(keep):
            self._run(ids)
        for hook in self.hooks:
            finite = torch.isfinite(captured[hook.name])
            if not bool(finite.all()):
                row = int((~finite).flatten(1).any(dim=1).int().argmax())
                raise NotFinite(hook.name, row, self._loaded.precision)
        return {hook.name: captured[hook.name] for hook in self.hooks}

    @property
    def _offset(self) -> int:
        return 0 if self.start_token is None else 1

    def with_start(self, tokens: Int[np.ndarray, "context token"]) -> Int[torch.Tensor, "context position"]:
        """The ids that the model reads: the start token, if there is one, and the context; on the model's device.

        Raises BadInput when they are more than the model's positions, and for an id that the model has no embedding of.
        """
        ids = torch.as_tensor(tokens, dtype=torch.long)
        embeddings: Any = self._loaded.model.get_input_embeddings()
        known = embeddings.weight.shape[0]
        if ids.numel() and int(ids.max()) >= known:
            raise BadInput(
                f"the tokenizer gives id {int(ids.max())}, the model has embeddings of {known} tokens alone",
                "give the folder the tokenizer that the model was trained with",
            )
        if self.start_token is not None:
            ids = torch.nn.functional.pad(ids, (1, 0), value=self.start_token)
        text: Any = self._loaded.model.config.get_text_config()
        positions = getattr(text, "max_position_embeddings", None)
        if positions is not None and ids.shape[1] > positions:
            raise BadInput(
                f"contexts of {tokens.shape[1]} tokens are too long for a model of {positions} positions",
                f"set corpus.context to {positions - self._offset} or less",
            )
        return ids.to(self.device)

    def _run(self, ids: Int[torch.Tensor, "context position"]) -> None:
        model: Any = self._loaded.model
        with torch.inference_mode():
            try:
                model(input_ids=ids, use_cache=False)
            except _Stop:
                return

    @contextmanager
    def _hooked(self, see: Callable[[HookPoint, torch.Tensor], None]) -> Iterator[None]:
        """Call `see` with each hook's tensor as it is computed; the hooks are gone afterwards, whatever happens."""
        with ExitStack() as stack:
            for hook in self.hooks:
                stack.callback(_attach(self._loaded.model.get_submodule(hook.path), hook, see).remove)
            yield

    def _probe(self) -> tuple[str, dict[str, int]]:
        """The hook that runs last, and the width of each."""
        seen: list[str] = []
        widths: dict[str, int] = {}
        # Two contexts of three tokens, so that a tensor flattened over both is told from one that is not.
        ids = self.with_start(np.zeros((2, 3), dtype=np.int64))

        def note(hook: HookPoint, tensor: torch.Tensor) -> None:
            seen.append(hook.name)
            widths[hook.name] = _per_token(hook, tensor, ids.shape).shape[2]

        with self._hooked(note):
            self._run(ids)
        for hook in self.hooks:
            if (times := seen.count(hook.name)) != 1:
                raise BadInput(
                    f"hook '{hook.name}': a forward pass runs '{hook.path}' {times} times",
                    "name a module that runs once per pass",
                )
        return seen[-1], {hook.name: widths[hook.name] for hook in self.hooks}


def open_subject(config: study_inputs.Subject) -> Subject:
    """Load the model of a study and find its hooks.

    The start token `auto` is the tokenizer's beginning-of-sequence token, else its end-of-sequence token (what models
    such as Qwen see between documents), else none. Raises BadInput as `load_model` and `Subject` do, and for a start
    token that the tokenizer lacks.
    """
    loaded = load_model(config.model, revision=config.revision, device=config.device, dtype=config.dtype)
    known = {"bos": loaded.tokenizer.bos_token_id, "eos": loaded.tokenizer.eos_token_id}
    if config.start_token == "auto":
        start = known["bos"] if known["bos"] is not None else known["eos"]
    elif config.start_token == "none":
        start = None
    elif (start := known[config.start_token]) is None:
        raise BadInput(f"subject.start_token = '{config.start_token}': the tokenizer has no such token", "take another")
    return Subject(loaded, config.hooks, start)


def _attach(
    module: torch.nn.Module, hook: HookPoint, see: Callable[[HookPoint, torch.Tensor], None]
) -> torch.utils.hooks.RemovableHandle:
    def before(_: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        with torch.inference_mode(mode=False):
            see(hook, _first_tensor(hook, (*args, *kwargs.values())))

    def after(_: torch.nn.Module, args: tuple[Any, ...], output: Any) -> None:
        with torch.inference_mode(mode=False):
            see(hook, _first_tensor(hook, output if isinstance(output, tuple) else (output,)))

    if hook.side == "in":
        return module.register_forward_pre_hook(before, with_kwargs=True)
    return module.register_forward_hook(after)


def _first_tensor(hook: HookPoint, values: tuple[Any, ...]) -> torch.Tensor:
    for value in values:
        if isinstance(value, torch.Tensor):
            return value
    raise BadInput(f"hook '{hook.name}': the {hook.side}put of '{hook.path}' is no tensor", "name another module")


def _per_token(
    hook: HookPoint, tensor: torch.Tensor, shape: torch.Size
) -> Float[torch.Tensor, "context position width"]:
    """`tensor` with one real vector per position; some models (OPT's MLP) flatten contexts and positions into one."""
    contexts, positions = shape
    if tensor.is_floating_point():
        if tensor.ndim == 3 and tensor.shape[:2] == shape:
            return tensor
        if tensor.ndim == 2 and tensor.shape[0] == contexts * positions:
            return tensor.reshape(contexts, positions, -1)
    kind = f"{str(tensor.dtype).removeprefix('torch.')} of shape {tuple(tensor.shape)}"
    raise BadInput(
        f"hook '{hook.name}' is {kind} for {contexts} contexts of {positions} tokens",
        "name a module whose tensor is (context, token, width)",
    )
