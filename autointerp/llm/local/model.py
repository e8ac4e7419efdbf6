"""A language model in this process: answers, and the log-probabilities that simulators need."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

import torch
from jaxtyping import Float
from torch import Tensor

from autointerp.errors import BadInput
from autointerp.llm.ledger.ledger import Ledger, LedgerEntry
from autointerp.llm.local.blocks import BlockReader
from autointerp.llm.local.decode import ending_tokens, generate
from autointerp.llm.local.encode import encode, encode_text
from autointerp.llm.local.guided import Guide
from autointerp.llm.local.logprobs import Spelling, of_prompt
from autointerp.llm.local.prefix import Batch, takes_positions
from autointerp.llm.request import Answer, Failure, Request, Response, key, request_text
from autointerp.models import LoadedModel
from autointerp.models.load import FULL


class LocalModel:
    """A loaded model that can be asked. What the prompts of a batch share at their beginning runs once."""

    def __init__(self, loaded: LoadedModel, batch: int) -> None:
        """`batch`: prompts that are answered together, fewer where they take too much memory."""
        self.tokenizer = loaded.tokenizer
        """The model's own."""
        self.identity = named(loaded.identity, loaded.precision)
        """Names provider, weights, and a precision that is not float32."""
        self.batch = batch
        """Prompts that are answered together."""
        self._model = loaded.model
        self._guide = Guide(loaded.tokenizer, ending_tokens(loaded.model, loaded.tokenizer))
        self._blocks: BlockReader | None = None
        self._room: int | None = getattr(loaded.model.config.get_text_config(), "max_position_embeddings", None)

    def generate(self, requests: Sequence[Request]) -> list[Answer]:
        """Answer one batch of requests, in order; one that does not fit into the model's context is a Failure.

        Raises BadInput for log-probabilities of a chat's prompt.
        """
        if any(request.prompt_logprobs and not request.is_completion for request in requests):
            raise BadInput("log-probabilities of the prompt of a chat", "use a prompt of form completion")
        prompts = [encode(request, self.tokenizer) for request in requests]
        answers: list[Answer] = [
            Failure("the prompt does not fit into the model's context", "too-long", "", len(prompt), 0)
            for prompt in prompts
        ]
        fit = [i for i, p in enumerate(prompts) if self._fits(len(p) + requests[i].max_tokens)]
        if fit:
            asked = [requests[i] for i in fit]
            written = generate(self._model, self.tokenizer, [prompts[i] for i in fit], asked, self._guide)
            for place, answer in zip(fit, written, strict=True):
                answers[place] = self._with_prompt(answer, requests[place], prompts[place])
        return answers

    def _with_prompt(self, answer: Answer, request: Request, prompt: Sequence[int]) -> Answer:
        """Add what the model thought of the prompt, if that was asked."""
        if not request.prompt_logprobs or not isinstance(answer, Response):
            return answer
        entries = of_prompt(prompt, request.prompt_logprobs, self._reader(), Spelling(self.tokenizer))
        return replace(answer, prompt_logprobs=tuple(entries))

    def _reader(self) -> BlockReader:
        if self._blocks is None:
            self._blocks = BlockReader(self._model)
        return self._blocks

    def _fits(self, tokens: int) -> bool:
        return self._room is None or tokens <= self._room

    def _check(self, tokens: int) -> None:
        if not self._fits(tokens):
            raise BadInput(
                f"a prompt of {tokens} tokens, the model reads {self._room} at most",
                "use a model with a longer context, or shorter contexts (corpus.context)",
            )

    def next_token_logprobs(self, texts: Sequence[str]) -> Iterator[Float[Tensor, "prompt vocabulary"]]:
        """Log-probabilities (nats) of the token after each text: at most `batch` texts at a time, in their order.

        Texts that begin alike should follow one another: on a CPU what they share is computed once. Raises BadInput
        for a text that is empty or does not fit into the model's context.
        """
        batch = self.batch if takes_positions(self._model) else 1
        for start in range(0, len(texts), batch):
            prompts = [encode_text(text, self.tokenizer) for text in texts[start : start + batch]]
            longest = max(len(p) for p in prompts)
            self._check(longest)
            # A GPU takes fewer, larger steps.
            joined = self._model.device.type == "cpu" and self._reader().can_join(longest)
            with torch.inference_mode():
                logits = self._reader().logits_after(prompts) if joined else Batch(self._model, prompts).logits
                rows = torch.log_softmax(logits, dim=1)
            yield rows

    def logprobs_at(
        self, prompt: Sequence[int], positions: Sequence[int], tokens: Sequence[int]
    ) -> Float[Tensor, "position token"]:
        """Log-probability (nats) of each of `tokens` as the one that follows each position of `prompt` (token ids).

        Positions ascend. Prompts that begin alike should follow one another: what a prompt shares with the last one
        is not computed again. Raises BadInput for a prompt that does not fit into the model's context.
        """
        self._check(len(prompt))
        return _logprobs(self._reader().logits_at(prompt, positions), tokens)

    def logprobs_after(self, prompts: Sequence[Sequence[int]], tokens: Sequence[int]) -> Float[Tensor, "prompt token"]:
        """Log-probability (nats) of each of `tokens` as the one that follows each prompt (token ids).

        What several prompts share at their beginning is computed once. Raises BadInput for a prompt that does not fit
        into the model's context.
        """
        self._check(max(len(prompt) for prompt in prompts))
        return _logprobs(self._reader().logits_after(prompts), tokens)


@torch.inference_mode()
def _logprobs(logits: Float[Tensor, "place vocabulary"], tokens: Sequence[int]) -> Float[Tensor, "place token"]:
    return torch.log_softmax(logits, dim=1)[:, torch.tensor(list(tokens), device=logits.device)]


def named(weights: str, dtype: str) -> str:
    """What the ledger calls a model in this process, from the names of its weights and of its precision."""
    return f"local {weights}" if dtype == FULL else f"local {weights} in {dtype}"


class LocalAsker:
    """Asks a LocalModel, batch by batch.

    Batches are the requests in their given order, cut every `batch`. A batch that the ledger holds whole is served;
    any other runs whole, so that no sum depends on what an interrupted run had left to do.
    """

    def __init__(self, model: LocalModel, ledger: Ledger, reasks: int) -> None:
        self.identity = model.identity
        """The model's."""
        self.reasks = reasks
        """Further draws of an answer that can't be read."""
        self._model, self._ledger = model, ledger

    def stream(self, requests: Iterable[Request]) -> Iterator[tuple[int, Answer]]:
        """Answers in the order of the requests; each batch is stored before the next one runs."""
        waiting = iter(requests)
        start = 0
        while chunk := list(islice(waiting, self._model.batch)):
            yield from enumerate(self._batch(chunk), start)
            start += len(chunk)

    def _batch(self, requests: Sequence[Request]) -> list[Answer]:
        stored = [self._ledger.get(request, self.identity) for request in requests]
        held = [answer for answer in stored if answer is not None]
        if len(held) == len(requests):
            return held
        written = self._model.generate(requests)
        return self._ledger.keep_all(
            [
                LedgerEntry(key(request, self.identity), self.identity, request.model, request_text(request), answer)
                for request, answer in zip(requests, written, strict=True)
            ]
        )
