"""What an explainer is, what it is shown, and what it hands back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from autointerp.contexts.sharing import assert_evidence_only
from autointerp.errors import BadInput
from autointerp.llm.providers import provider_traits
from autointerp.llm.request import Request, Response, Unreadable
from autointerp.prompting import Prompt, load_prompt
from autointerp.records import Candidate, Context, Effects, Exemplar, Kind, Unit, Unscored
from autointerp.study_models import Llm


@dataclass(frozen=True)
class ShownContext:
    """One context of the evidence split, with the unit's true activations on it."""

    tokens: Int[np.ndarray, " token"]
    """Ids in the subject's vocabulary."""
    pieces: tuple[str, ...]
    """The text of each token."""
    activations: Float[np.ndarray, " token"]
    """In the unit's own scale, never below 0."""
    kind: str
    """`top`, `quantile-0`..., `random`, `hard-negative-token`..."""

    @property
    def peak(self) -> float:
        """Its highest activation."""
        return float(self.activations.max(initial=0.0))


UNREAD = Unscored("the unit's output effects were not read")
"""Stands for the effects where nobody has read them."""


@dataclass(frozen=True)
class Shown:
    """All that an explainer may know of a unit: contexts of the evidence split, and the unit's own weights' effects."""

    unit: str
    max_activation: float
    """Peak over the evidence, in the unit's own scale."""
    contexts: tuple[ShownContext, ...]
    """In the order in which they were gathered: of the top contexts the strongest first."""
    effects: Effects | Unscored = UNREAD
    """What the unit promotes and suppresses, or why that is not known."""

    def of_kind(self, kind: Kind) -> tuple[ShownContext, ...]:
        """The contexts of one kind (`quantile` stands for all bands, `hard-negative` for all sorts)."""
        return tuple(c for c in self.contexts if c.kind == kind or c.kind.startswith(f"{kind}-"))

    def active(self) -> list[ShownContext]:
        """Top and quantile contexts on which the unit is active, the strongest first."""
        found = (c for c in (*self.of_kind(Kind.TOP), *self.of_kind(Kind.QUANTILE)) if c.peak > 0)
        return sorted(found, key=lambda c: -c.peak)


def shown_of(
    unit: Unit,
    exemplars: Sequence[Exemplar],
    contexts: Mapping[int, Context],
    effects: Effects | Unscored = UNREAD,
) -> Shown:
    """Put together what the explainer may see of a unit.

    Raises CheckFailed when one of the contexts is not of the evidence split.
    """
    assert_evidence_only(exemplars, contexts)
    rows = [
        ShownContext(contexts[e.context].tokens, contexts[e.context].pieces, e.activations, e.kind) for e in exemplars
    ]
    return Shown(unit.unit, unit.max_activation, tuple(rows), effects)


@dataclass(frozen=True)
class PromptedCandidate:
    """A candidate that a language model has still to write."""

    request: Request
    explainer: str
    prompt: str
    """`name@hash` of the prompt."""
    parse: Callable[[str], str | Unscored | Unreadable]
    """From the answer's text to the explanation, or to why there is none; Unreadable: to be asked again."""

    def read(self, response: Response) -> str | Unscored | Unreadable:
        """What the answer comes to; an empty one is asked for again, whatever it should say."""
        return self.parse(response.text) if response.text.strip() else Unreadable("the answer is empty")


Proposal = Candidate | PromptedCandidate | Unscored
"""What an explainer hands back: a candidate, a question for the language model, or why there is neither."""


@dataclass(frozen=True)
class ExplainSettings:
    """What an explainer is made with."""

    llm: Llm
    """The model that it asks, if it asks one."""
    prompt: str | None = None
    """Name of the prompt; None: the explainer's own."""
    prompts_folder: Path | None = None
    """The user's folder, whose prompts take the place of the built-in ones."""
    first: Explainer | None = None
    """The explainer whose explanations `revise` starts from; None: `highlight`."""

    def load(self, default: str) -> Prompt:
        """The explainer's prompt, `default` unless the user chose one; BadInput when the model can't take it."""
        prompt = load_prompt(self.prompt or default, self.prompts_folder)
        if prompt.form == "completion" and provider_traits(self.llm).chats_only:
            explainer = prompt.name.partition("/")[0]
            raise BadInput(
                f"prompt '{prompt.name}' is a text to continue, and provider '{self.llm.provider}' takes chats only",
                f"take '{explainer}' out of [explain], or give explain.prompts.{explainer} a prompt of form 'chat'",
            )
        return prompt


def draws(
    explainer: str,
    prompt: Prompt,
    messages: tuple[tuple[str, str], ...],
    llm: Llm,
    n: int,
    rng: np.random.Generator,
    parse: Callable[[str], str | Unscored | Unreadable],
) -> list[Proposal]:
    """`n` candidates out of one request, sampled so many times."""
    seed = int(rng.integers(2**31))
    requests = [
        Request(messages, llm.model, llm.max_tokens, llm.temperature, seed, sample=sample) for sample in range(n)
    ]
    return [PromptedCandidate(request, explainer, prompt.identity, parse) for request in requests]


@runtime_checkable
class Explainer(Protocol):
    """Proposes explanations. One file and one registration each; made by calling it with ExplainSettings."""

    name: str
    needs_model: bool
    """Whether it asks a language model."""

    def propose(self, shown: Shown, n: int, rng: np.random.Generator) -> list[Proposal]:
        """Propose `n` candidates; fewer when there are no more to be had, at least one Unscored when there is none.

        It asks nobody: the run gathers the requests of all units and asks them together.
        """
        ...
