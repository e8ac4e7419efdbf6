"""The models that a study asks and what they may cost: [llm.NAME], [budget], [sentences]."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from autointerp.study_inputs import Section


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
    input_usd: float | None = Field(default=None, ge=0)
    """Dollars per million prompt tokens; unknown stays unknown."""
    cached_input_usd: float | None = Field(default=None, ge=0)
    """Dollars per million prompt tokens that the endpoint has in its own cache; none means `input_usd`."""
    output_usd: float | None = Field(default=None, ge=0)
    """Dollars per million answer tokens."""
    tokenizer: str | None = None
    """Folder or hub id of the endpoint's tokenizer, for estimates; `local` models bring their own."""

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
