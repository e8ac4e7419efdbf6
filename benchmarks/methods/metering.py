"""Methods asked for real by nobody: every prompt that they make is counted, and nothing is answered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import log
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from autointerp.llm.local.encode import common_prefix, encode, encode_text
from autointerp.llm.open import Mode
from autointerp.llm.request import Answer, Failure, Request
from autointerp.planted.measuring import WatchedResources
from autointerp.study import Study
from autointerp.study_models import Llm

_COUNTED = Failure("counted, not asked", "refusal")
"""The last word on a request: it is not asked again."""


@dataclass
class Meter:
    """The prompts of one method, unit by unit."""

    tokenizer: Any
    """Counts, for whatever model would be asked."""
    prompts: list[list[int]] = field(default_factory=list)
    """Of the current unit, in token ids."""
    most: list[int] = field(default_factory=list)
    """Answer tokens that may be written after each."""
    _seen: set[tuple[int, ...]] = field(default_factory=set)

    def add(self, prompt: Sequence[int], most: int) -> None:
        """Take note of a prompt. One that came before, of this unit or another, costs nothing: the ledger has it."""
        name = tuple(prompt)
        if name not in self._seen:
            self._seen.add(name)
            self.prompts.append(list(prompt))
            self.most.append(most)

    def request(self, request: Request) -> None:
        """Take note of a request."""
        self.add(encode(request, self.tokenizer), request.max_tokens)

    def taken(self) -> Spent:
        """What was noted since this was last called."""
        prompts, most, self.prompts, self.most = self.prompts, self.most, [], []
        total = sum(len(prompt) for prompt in prompts)
        shared = common_prefix(prompts) * len(prompts) if len(prompts) > 1 else 0
        return Spent(len(prompts), total, shared, sum(most))


@dataclass(frozen=True)
class Spent:
    """What a method asked."""

    requests: int
    prompt: int
    """Tokens."""
    shared: int
    """Those of them in the beginning that all these prompts have in common."""
    most: int
    """Answer tokens that may be written."""


class _Asker:
    """Answers nothing."""

    identity = "nobody"
    reasks = 0

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    def stream(self, requests: Iterable[Request]) -> Iterator[tuple[int, Answer]]:
        """Note every request."""
        for position, request in enumerate(requests):
            self._meter.request(request)
            yield position, _COUNTED


class _Model:
    """A model in this process to which all tokens are alike."""

    identity = "nobody"

    def __init__(self, meter: Meter, batch: int) -> None:
        self._meter, self.batch = meter, batch
        self.tokenizer = meter.tokenizer
        self._logprob = -log(len(meter.tokenizer))

    def next_token_logprobs(self, texts: Sequence[str]) -> Iterator[Float[Tensor, "prompt vocabulary"]]:
        """Note every text."""
        for text in texts:
            self._meter.add(encode_text(text, self.tokenizer), 0)
            yield torch.full((1, len(self.tokenizer)), self._logprob)

    def logprobs_at(
        self, prompt: Sequence[int], positions: Sequence[int], tokens: Sequence[int]
    ) -> Float[Tensor, "position token"]:
        """Note the prompt."""
        self._meter.add(prompt, 0)
        return torch.full((len(positions), len(tokens)), self._logprob)

    def logprobs_after(self, prompts: Sequence[Sequence[int]], tokens: Sequence[int]) -> Float[Tensor, "prompt token"]:
        """Note every prompt."""
        for prompt in prompts:
            self._meter.add(prompt, 0)
        return torch.full((len(prompts), len(tokens)), self._logprob)


class MeteredResources(WatchedResources):
    """Resources in which every model is the meter's."""

    def __init__(self, study: Study, work: Path, ledger: Path, meter: Meter) -> None:
        super().__init__(study, work, Mode(), ledger)
        self._meter = meter

    @contextmanager
    def asker(self, name: str, stage: str, *, batch: bool = False) -> Iterator[Any]:
        """Nobody."""
        yield _Asker(self._meter)

    def _local(self, llm: Llm) -> Any:
        return _Model(self._meter, llm.batch)
