"""The models that a study asks and what they may cost: [llm.NAME], [budget], [sentences]."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from autointerp.study_inputs import Section

ENVIRONMENT = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)")
"""How a value names the environment variable that holds it."""


class Llm(Section):
    """A language model to ask."""

    provider: str = "local"
    """`local` (in this process), `openai` (any OpenAI-compatible endpoint), `anthropic`, or a registered one."""
    model: str = "builtin"
    """`local`: builtin, hub id, folder or GGUF file; else the name the endpoint knows."""
    base_url: str | None = None
    """Address of the endpoint; none means the SDK's default."""
    api_key_env: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """NAME of the environment variable that holds the key; the key itself is never stored."""
    concurrency: int = Field(default=8, ge=1)
    """Requests in flight at most; fewer while an endpoint answers 429."""
    batch: int = Field(default=128, ge=1)
    """Requests per forward pass (`local`)."""
    dtype: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    """Of a `local` model: on a CPU of its linear layers' products alone, all else is float32; on a GPU of the whole."""
    timeout: float = Field(default=60.0, gt=0)
    """Seconds."""
    attempts: int = Field(default=10, ge=1)
    """Tries per request, the first included, where the endpoint is at fault."""
    reasks: int = Field(default=2, ge=0)
    """Further draws of an answer that can't be read."""
    temperature: float = Field(default=0.7, ge=0)
    """Of what explainers write; simulators and judges ask at 0."""
    max_tokens: int = Field(default=64, ge=1)
    """Tokens of an explainer's answer at most."""
    thinking_tokens: int = Field(default=0, ge=0)
    """Tokens on top of every method's own limit, for a model that thinks before it answers; budgets count them."""
    top_p: float | None = Field(default=None, gt=0, le=1)
    """Share of the probability that answers are drawn from, for endpoints; none: as the endpoint has it."""
    reasoning_effort: str | None = Field(default=None, pattern=r"^[a-z]+$")
    """How much a reasoning model of an OpenAI-compatible endpoint thinks: `low`, for example."""
    extra_body: dict[str, Any] = Field(default_factory=dict)
    """Further parameters for the endpoint, sent with every request as they are; they take the place of ours of the same
    name. `{chat_template_kwargs = {enable_thinking = false}}`, for example."""
    headers: dict[str, str] = Field(default_factory=dict)
    """Further headers for the endpoint. A value `$NAME` is that of the environment variable NAME, which is never
    stored."""
    input_usd: float | None = Field(default=None, ge=0)
    """Dollars per million prompt tokens; unknown stays unknown."""
    cached_input_usd: float | None = Field(default=None, ge=0)
    """Dollars per million prompt tokens that the endpoint has in its own cache; none means `input_usd`."""
    output_usd: float | None = Field(default=None, ge=0)
    """Dollars per million answer tokens."""
    tokenizer: str | None = None
    """Folder or hub id of the endpoint's tokenizer, for estimates; `local` models bring their own."""

    @field_validator("headers")
    @classmethod
    def _no_secret(cls, headers: dict[str, str]) -> dict[str, str]:
        """What looks like a secret comes from the environment: studies are stored."""
        for name, value in headers.items():
            if not re.fullmatch(r"[A-Za-z0-9-]+", name):
                raise ValueError("a header's name may hold letters, digits and '-' only")
            if re.search(r"auth|key|token|secret|cookie|pass", name, re.I) and not ENVIRONMENT.fullmatch(value):
                raise ValueError(f"header '{name}' may hold a secret: give the variable that holds it, as '$NAME'")
            if not (value.isascii() and value.isprintable()):
                raise ValueError(f"header '{name}' holds a character that no header may hold")
        return headers

    @model_validator(mode="after")
    def _where_they_mean_something(self) -> Llm:
        if self.provider == "local" and self.parameters:
            raise ValueError(f"{', '.join(self.parameters)}: of endpoints alone, and provider = 'local' asks none")
        if self.provider == "anthropic" and self.reasoning_effort is not None:
            raise ValueError(
                "reasoning_effort is none of Anthropic's parameters: give extra_body = {thinking = {type = 'enabled', "
                "budget_tokens = 1024}}, and thinking_tokens of as many"
            )
        if names := sorted({"model", "messages", "prompt", "stream", "n"} & self.extra_body.keys()):
            raise ValueError(f"extra_body holds '{names[0]}', which is not for it: take it out")
        return self

    @property
    def parameters(self) -> dict[str, Any]:
        """What the study wants sent beside each request, by its key; nothing that it leaves as it is."""
        keys = ("top_p", "reasoning_effort", "extra_body", "headers")
        return {key: value for key in keys if (value := getattr(self, key))}

    @property
    def priced(self) -> bool:
        """Whether both prices are known."""
        return self.input_usd is not None and self.output_usd is not None


class Budget(Section):
    """What a run may spend at most, over all its models and calls, requests in flight included."""

    limit_usd: float | None = Field(default=None, ge=0)
    """Dollars; needs the prices of every endpoint that is asked."""
    limit_tokens: int | None = Field(default=None, ge=0)
    """Prompt and answer tokens sent to and got from endpoints; a model in the process is free."""


class Sentences(Section):
    """The sentence model, by which texts are near each other in meaning."""

    model: str = "builtin"
    """builtin, a local folder or the hub id of an encoder. Loaded only where a method needs it."""
