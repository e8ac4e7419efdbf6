"""What an endpoint can do: found by a probe, remembered per endpoint and model."""

from __future__ import annotations

from dataclasses import dataclass

UNKNOWN = "unknown"


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
