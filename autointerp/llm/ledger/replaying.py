"""No provider at all: answers come from the ledger, or there is a clear error."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from autointerp.errors import BadInput
from autointerp.llm.ledger.ledger import Ledger
from autointerp.llm.request import Answer, Request, key


class UnrecordedRequest(BadInput):
    """A replay met a request that was never answered."""

    def __init__(self, request: Request, endpoint: str) -> None:
        name = key(request, endpoint)[:12]
        super().__init__(
            f"the ledger holds no answer to request {name} to model '{request.model}' ({endpoint})",
            "replay the study, prompts and inputs that the answers were made with, or run it without --replay",
        )


class ReplayModel:
    """Stands where a model in the process would: it names it, and can't compute."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, identity: str) -> None:
        self.tokenizer = tokenizer
        """The model's own."""
        self.identity = identity
        """The model's."""

    def next_token_logprobs(self, texts: Sequence[str]) -> Iterator[Float[Tensor, "prompt vocabulary"]]:
        """Raises BadInput: what is asked for is not in the ledger."""
        raise self._unrecorded()

    def logprobs_at(
        self, prompt: Sequence[int], positions: Sequence[int], tokens: Sequence[int]
    ) -> Float[Tensor, "position token"]:
        """Raises BadInput: what is asked for is not in the ledger."""
        raise self._unrecorded()

    def logprobs_after(self, prompts: Sequence[Sequence[int]], tokens: Sequence[int]) -> Float[Tensor, "prompt token"]:
        """Raises BadInput: what is asked for is not in the ledger."""
        raise self._unrecorded()

    def _unrecorded(self) -> BadInput:
        return BadInput(
            f"the ledger lacks log-probabilities of model {self.identity}",
            "replay the study, prompts and inputs that they were computed with, or run it without --replay",
        )


class ReplayAsker:
    """An Asker that asks nobody."""

    def __init__(self, ledger: Ledger, identity: str, reasks: int) -> None:
        self.identity = identity
        """Of the provider that gave the answers."""
        self.reasks = reasks
        """As in the study: re-asks were recorded too."""
        self._ledger = ledger

    def stream(self, requests: Iterable[Request]) -> Iterator[tuple[int, Answer]]:
        """Recorded answers, in order. Raises UnrecordedRequest for what the ledger does not hold."""
        for position, request in enumerate(requests):
            answer = self._ledger.get(request, self.identity)
            if answer is None:
                raise UnrecordedRequest(request, self.identity)
            yield position, answer
