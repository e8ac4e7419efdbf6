"""A prompt and what a model wrote after it, token by token: that of which every output token is attributed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from transformers import PreTrainedTokenizerBase

from autointerp.artifacts import hash_value
from autointerp.errors import BadInput
from autointerp.llm.local.encode import encode, encode_text
from autointerp.llm.request import Request
from autointerp.models import LoadedModel

Chat = Literal["auto", "yes", "no"]


@dataclass(frozen=True)
class Passage:
    """Token ids of a prompt and of an output, in the order in which the model reads them."""

    ids: tuple[int, ...]
    prompt: int
    """How many of them are the prompt's; at least one. The others, at least one, are the output's: the targets."""
    pieces: tuple[str, ...]
    """Text of each token; of a character that is several tokens, '' for all but the last."""
    fixed: int
    """How many of the first tokens are never taken away: 1 with a start token, else 0."""

    @property
    def targets(self) -> int:
        """How many tokens are attributed."""
        return len(self.ids) - self.prompt

    @property
    def parts(self) -> int:
        """How many tokens can be taken away: all but the fixed ones, and the last, which nothing follows."""
        return len(self.ids) - 1 - self.fixed

    @property
    def key(self) -> str:
        """Names it, for what is drawn for it alone."""
        return hash_value([list(self.ids), self.prompt])[:16]

    def before(self, target: int) -> int:
        """How many positions the model has read when it writes a target, counted from 0."""
        return self.prompt + target


def passage_of(
    loaded: LoadedModel, prompt: str, *, output: str | None = None, tokens: int = 16, chat: Chat = "auto"
) -> Passage:
    """The passage of a prompt: continued by `output`, or by the at most `tokens` tokens that the model likes best.

    `chat`: through the model's own template, as a user's turn; `auto`: where the model has one. What a prompt spells of
    special tokens is read as plain text. Raises BadInput for a prompt or output without a token, one that is longer
    than the model's positions, and for a model without a template that is asked to chat.
    """
    tokenizer = loaded.tokenizer
    ids = _prompt_ids(loaded, prompt, chat)
    if output is None:
        written = _continued(loaded, ids, tokens)
    else:
        written = [int(i) for i in tokenizer(output, add_special_tokens=False)["input_ids"]]
        if not written:
            raise BadInput("the output is empty", "give a text with at least one token")
    whole = [*ids, *written]
    _check_length(loaded, len(whole))
    return Passage(tuple(whole), len(ids), pieces_of(whole, tokenizer), _fixed(ids, tokenizer))


def _prompt_ids(loaded: LoadedModel, prompt: str, chat: Chat) -> list[int]:
    tokenizer = loaded.tokenizer
    if not prompt:
        raise BadInput("the prompt is empty", "give a text with at least one token")
    if chat == "yes" or (chat == "auto" and tokenizer.chat_template is not None):
        asked = Request(messages=(("user", prompt),), model=loaded.identity, max_tokens=1, temperature=0.0, seed=0)
        return encode(asked, tokenizer)
    ids = encode_text(prompt, tokenizer)
    start = tokenizer.bos_token_id
    return ids if start is None or ids[0] == start else [int(start), *ids]


def _fixed(ids: Sequence[int], tokenizer: PreTrainedTokenizerBase) -> int:
    return int(ids[0] == tokenizer.bos_token_id and len(ids) > 1)


def _check_length(loaded: LoadedModel, length: int) -> None:
    positions = getattr(loaded.model.config.get_text_config(), "max_position_embeddings", None)
    if positions is not None and length > positions:
        raise BadInput(
            f"prompt and output are {length} tokens, the model has {positions} positions", "give a shorter prompt"
        )


def _continued(loaded: LoadedModel, ids: Sequence[int], tokens: int) -> list[int]:
    """What the model writes greedily; its end token ends it, and is a target like any other."""
    _check_length(loaded, len(ids) + tokens)
    model: Any = loaded.model
    ends = model.generation_config.eos_token_id
    read = torch.tensor([list(ids)], device=loaded.device)
    with torch.inference_mode():
        whole = model.generate(
            read, attention_mask=torch.ones_like(read), max_new_tokens=tokens, do_sample=False, num_beams=1,
            temperature=None, top_p=None, top_k=None, pad_token_id=ends[0] if isinstance(ends, list) else ends,
        )  # fmt: skip
    return [int(i) for i in whole[0, len(ids) :]]


def pieces_of(ids: Sequence[int], tokenizer: PreTrainedTokenizerBase) -> tuple[str, ...]:
    """Texts that join to that of all ids; special tokens are spelled out."""
    pieces, known = [], ""
    for stop in range(1, len(ids) + 1):
        text = str(tokenizer.decode(list(ids[:stop]), clean_up_tokenization_spaces=False))
        last = stop == len(ids)
        whole = text if last else text.rstrip("\ufffd")  # bytes of a character that is not there yet
        pieces.append(whole[len(known) :] if whole.startswith(known) else "")
        known = whole if whole.startswith(known) else known
    return tuple(pieces)
