"""From requests to token ids. Text is data: nothing in it can become a special token and forge a role."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from autointerp.errors import BadInput
from autointerp.llm.request import Request, without_system


def defuse(text: str, tokenizer: PreTrainedTokenizerBase) -> str:
    """`text` with a space inside each special token that it spells, so that it is read as ordinary text."""
    added: dict[int, Any] = tokenizer.added_tokens_decoder
    for token in added.values():
        name = str(token.content)
        if token.special and len(name) > 1 and name in text:
            text = text.replace(name, f"{name[0]} {name[1:]}")
    return text


def encode_text(text: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Token ids of a text to be continued, with the start token if the model wants one.

    Raises BadInput for a text without a token.
    """
    ids: list[int] = tokenizer(defuse(text, tokenizer))["input_ids"]
    if not ids:
        raise BadInput("the prompt is empty", "correct the prompt file")
    return ids


def encode(request: Request, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Token ids of a request: a completion as it is, a chat through the model's own template.

    Raises BadInput when the model has no template, or one that refuses the roles.
    """
    if request.is_completion:
        return encode_text(request.messages[0][1], tokenizer)
    if tokenizer.chat_template is None:
        raise BadInput(
            f"model '{request.model}' has no chat template", "use an instruct model, or a prompt of form completion"
        )
    try:
        try:
            text = _templated(request.messages, tokenizer)
        except TemplateError:  # some know no system role
            if not any(role == "system" for role, _ in request.messages):
                raise
            text = _templated(without_system(request.messages), tokenizer)
    except TemplateError as error:
        roles = ", ".join(role for role, _ in request.messages)
        raise BadInput(
            f"the chat template of model '{request.model}' refuses the roles {roles} ({error})",
            "give a prompt with other roles in prompts_folder",
        ) from error
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def _templated(messages: Sequence[tuple[str, str]], tokenizer: PreTrainedTokenizerBase) -> str:
    chat = [{"role": role, "content": defuse(content, tokenizer)} for role, content in messages]
    return str(tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True))


def common_prefix(prompts: Sequence[Sequence[object]]) -> int:
    """How many leading tokens all prompts share."""
    first, length = prompts[0], min(len(prompt) for prompt in prompts)
    for prompt in prompts[1:]:
        length = next((place for place in range(length) if prompt[place] != first[place]), length)
    return length
