"""What an endpoint can do, found by a probe and remembered per endpoint and model; and what a method needs of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from autointerp.artifacts import hash_value, user_cache, write_json
from autointerp.errors import BadInput
from autointerp.llm.address import identity
from autointerp.llm.providers import LOCAL, provider_traits
from autointerp.progress import say
from autointerp.study_models import Llm

UNKNOWN = "unknown"
BY_NUMBER = "token ids in place of text: start the server without --return-tokens-as-token-ids"
CUT = "its answer was cut while it thought"
"""Why a probe could not tell."""
QUESTION = (("user", "Name the capital of France in one sentence."),)
"""What is asked to see how fast a model answers."""

_LOCAL_ALTERNATIVES = 20
"""A model in the process knows them all; more than this nobody asks for."""


@dataclass(frozen=True)
class Capabilities:
    """What was found. None: could not be told."""

    endpoint: str
    """Identity of the provider."""
    model: str
    """As the endpoint names it."""
    top_logprobs: int = 0
    """Alternatives per token of a chat's answer; 0: no log-probabilities."""
    prompt_logprobs: int = 0
    """Alternatives per token of a completion's prompt; 0: none."""
    json_object: bool = False
    """Whether it accepts, and keeps to, the JSON mode."""
    json_schema: bool = False
    """Whether it holds answers to a JSON schema."""
    seed: bool = False
    """Whether it accepts a seed."""
    context: int | None = None
    """Tokens of prompt and answer together."""
    latency: float | None = None
    """Seconds until a short answer was there."""
    tokens_per_second: float | None = None
    """Answer tokens, one request at a time."""
    whole_distribution: bool = False
    """Next-token log-probabilities of the whole vocabulary: a model in the process only."""
    dialect: dict[str, Any] | None = None
    """How the endpoint wants a request written, in the words of its provider: a run begins with it."""
    token_ids: bool = False
    """Its log-probabilities name tokens by number, and not by their text: they are of no use here."""
    cut: bool = False
    """The probe's answer was all thought when its tokens were used up: what it would have held is not known."""


@dataclass(frozen=True)
class Needs:
    """What a simulator or a judge needs of its language model, in the words of Capabilities."""

    top_logprobs: int = 0
    """Alternatives per token of a chat's answer."""
    prompt_logprobs: int = 0
    """Alternatives per token of a prompt."""
    whole_distribution: bool = False
    """Log-probabilities of the whole vocabulary: a model in this process."""
    computes: bool = False
    """A model in this process is read and not asked, whatever else an endpoint would have to give."""
    sentences: bool = False
    """The study's sentence model, and no language model at all."""
    nothing: bool = False
    """No model of either kind: then none is opened, and no key or price is wanted."""

    @property
    def language_model(self) -> bool:
        """Whether a language model is needed."""
        return not (self.sentences or self.nothing)


def missing(needs: Needs, capabilities: Capabilities) -> str | None:
    """What is needed and an endpoint does not give, in words; None when it has all."""
    if needs.whole_distribution and not capabilities.whole_distribution:
        return "log-probabilities of the whole vocabulary (a model in this process gives them)"
    if capabilities.prompt_logprobs < needs.prompt_logprobs:
        return _too_few("token of a prompt", needs.prompt_logprobs, capabilities.prompt_logprobs)
    if capabilities.token_ids and needs.top_logprobs:
        return f"log-probabilities with the text of tokens (it gives {BY_NUMBER})"
    if capabilities.cut and needs.top_logprobs:
        return f"log-probabilities of a chat's answer ({CUT}: ask again with llm.NAME.thinking_tokens)"
    if capabilities.top_logprobs < needs.top_logprobs:
        return _too_few("token of a chat's answer", needs.top_logprobs, capabilities.top_logprobs)
    return None


def _too_few(where: str, needed: int, there: int) -> str:
    several = f"at least {needed} tokens per" if needed > 1 else "every"
    return f"log-probabilities of {several} {where} (it gives {there or 'none'})"


def known(llm: Llm, endpoint: str | None = None) -> Capabilities | None:
    """What is known of a configured model without any call; None: nothing.

    A model in the process has everything. A provider without log-probabilities has nothing that a probe would
    have to find. Any other endpoint has what the last probe found. `endpoint`: the identity that its provider gives it;
    None: that of the built-in providers.
    """
    if llm.provider == LOCAL:
        many = _LOCAL_ALTERNATIVES
        return Capabilities(
            LOCAL, llm.model, top_logprobs=many, prompt_logprobs=many, json_schema=True, seed=True,
            whole_distribution=True,
        )  # fmt: skip
    endpoint = identity(llm) if endpoint is None else endpoint
    remembered = recall(endpoint, llm.model)
    if remembered is None and not provider_traits(llm).logprobs:
        return Capabilities(endpoint, llm.model)
    return remembered


def remember(found: Capabilities) -> None:
    """Keep what a probe found, in the user's cache folder or below AUTOINTERP_CACHE; it holds no secret."""
    try:
        write_json(_file(found.endpoint, found.model), asdict(found))
    except (BadInput, OSError) as error:
        say(f"what '{found.model}' can do is not remembered: {error}")


def recall(endpoint: str, model: str) -> Capabilities | None:
    """What the last probe of this endpoint and model found; None without one, and for a damaged file."""
    try:
        return _READER.validate_json(_file(endpoint, model).read_bytes())
    except (OSError, ValidationError):
        return None


_READER = TypeAdapter(Capabilities)


def _file(endpoint: str, model: str) -> Path:
    """One file for each, so that two probes at a time don't lose each other's."""
    return user_cache() / "endpoints" / f"{hash_value([endpoint, model])[:32]}.json"
