"""What a model says of each output token, as a function of one of its own tensors: the embeddings, or a hook's.

Everything that is attributed goes through here: log-probabilities of the output tokens, teacher-forced, so that one
pass gives all targets; a target depends on the positions before it alone, because the models read from left to right.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from autointerp.attribution.passages import Passage
from autointerp.errors import BadInput
from autointerp.models import LoadedModel
from autointerp.subject.forward import Subject
from autointerp.subject.hooks import HookPoint
from autointerp.subject.splicing import replacing

EMBEDDINGS = "embeddings"
"""The place where tokens become vectors; a hook's name stands for any other."""
MEMORY = 2.0
"""GiB that the tensors of one batch may take, where nobody says another number."""


@dataclass(frozen=True)
class Outputs:
    """The output tokens of a passage, seen from one place of the model."""

    loaded: LoadedModel
    passage: Passage
    place: str = EMBEDDINGS
    """`embeddings`, or the name of a hook."""
    memory: float = MEMORY
    """GiB for the tensors of one batch."""

    @cached_property
    def point(self) -> HookPoint:
        """Where the tensor is. Raises BadInput for an unknown hook."""
        model: Any = self.loaded.model
        if self.place != EMBEDDINGS:
            return Subject(self.loaded, [self.place], None).hooks[0]
        embeddings = model.get_input_embeddings()
        path = next(name for name, module in model.named_modules() if module is embeddings)
        return HookPoint(EMBEDDINGS, path, "out")

    @cached_property
    def ids(self) -> Int[Tensor, "1 position"]:
        """All tokens but the last, which no target depends on."""
        ids = torch.tensor([self.passage.ids[:-1]], device=self.loaded.device)
        known = embeddings_of(self.loaded).shape[0]
        if int(ids.max()) >= known:
            raise BadInput(
                f"the tokenizer gives id {int(ids.max())}, the model has embeddings of {known} tokens alone",
                "give the folder the tokenizer that the model was trained with",
            )
        return ids

    @cached_property
    def tensor(self) -> Float[Tensor, "position width"]:
        """What stands in the place when the model reads the passage as it is."""
        seen: list[Tensor] = []

        def keep(tensor: Tensor) -> Tensor:
            seen.append(tensor.detach().reshape(self.ids.shape[1], -1).clone())
            return tensor

        with torch.no_grad(), replacing(self.loaded.model, self.point, keep):
            self._run(self.ids)
        if len(seen) != 1:
            raise BadInput(f"'{self.place}' is run {len(seen)} times per pass", "name a place that runs once")
        return seen[0]

    @cached_property
    def scores(self) -> Float[Tensor, " target"]:
        """Log-probability of each output token, the passage as it is."""
        with torch.no_grad():
            return self._targets(self._run(self.ids))[0]

    def replaced(self, tensors: Float[Tensor, "row position width"]) -> Float[Tensor, "row target"]:
        """The same with other tensors in the place, row by row; gradients flow to them."""
        ids = self.ids.expand(len(tensors), -1)

        def put(tensor: Tensor) -> Tensor:
            return tensors.to(tensor.dtype).reshape(tensor.shape)

        with replacing(self.loaded.model, self.point, put):
            return self._targets(self._run(ids))

    def _run(self, ids: Int[Tensor, "row position"]) -> Float[Tensor, "row last token"]:
        """Logits of the last positions, at least one for each target."""
        model: Any = self.loaded.model
        last = {"logits_to_keep": self.passage.targets} if takes_last(model) else {}
        logits: Tensor = model(input_ids=ids, use_cache=False, **last).logits
        return logits[:, -self.passage.targets :]

    def _targets(self, logits: Float[Tensor, "row target token"]) -> Float[Tensor, "row target"]:
        wanted = torch.tensor(self.passage.ids[self.passage.prompt :], device=logits.device)
        every = logits.float()
        chosen = every.gather(2, wanted[None, :, None].expand(len(logits), -1, 1))[..., 0]
        return chosen - every.logsumexp(dim=2)

    @cached_property
    def rows(self) -> int:
        """How many rows fit into the memory at once, gradients with them: at least one."""
        return max(1, int(self.memory * 2**30 // self.bytes_per_row))

    @cached_property
    def bytes_per_row(self) -> int:
        """What autograd keeps of one row, counted on the passage itself, and its logits twice."""
        kept: dict[tuple[int, int], int] = {}
        weights = {each.untyped_storage().data_ptr() for each in self.loaded.model.parameters()}

        def note(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in weights:
                kept[storage.data_ptr(), storage.nbytes()] = storage.nbytes()
            return tensor

        row = self.tensor[None].float().requires_grad_()
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            scores = self.replaced(row)
        logits = 2 * 4 * scores.shape[1] * int(self.loaded.model.config.get_text_config().vocab_size)
        return sum(kept.values()) + logits


def embeddings_of(loaded: LoadedModel) -> Float[Tensor, "token width"]:
    """The vectors that tokens become, before the model scales them."""
    module: Any = loaded.model.get_input_embeddings()
    weight: Tensor = module.weight
    return weight


def takes_last(model: Any) -> bool:
    """Whether a model can be asked for the logits of its last positions alone."""
    return "logits_to_keep" in inspect.signature(model.forward).parameters


@contextmanager
def plain_attention(loaded: LoadedModel) -> Iterator[None]:
    """The model with attention that gives its weights, which the fast kernels do not."""
    model: Any = loaded.model
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(before)
