"""What a judge is, what it is given, and what it hands back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from autointerp.llm.capabilities import Capabilities, Needs
from autointerp.llm.client import Asker
from autointerp.llm.request import Question
from autointerp.records import Context, Unscored
from autointerp.simulate.interface import Numbers, Vectors
from autointerp.study_models import Llm


@dataclass(frozen=True)
class HeldOut:
    """One held-out context of a unit, with the unit's true activations on it."""

    context: Context
    activations: Float[np.ndarray, " token"]
    """In the unit's own scale, never below 0."""
    random: bool
    """Drawn blindly: only such a context may stand for the text on which the unit is silent."""
    hard: bool = False
    """A hard negative: it resembles the unit's active contexts, and the unit was seen to be silent on all of it."""

    @property
    def peak(self) -> float:
        """Its highest activation."""
        return float(self.activations.max(initial=0.0))


@dataclass(frozen=True)
class Promoted:
    """The tokens that a unit's output direction promotes, and those of the other units of its arm."""

    own: tuple[str, ...]
    """The strongest first."""
    others: tuple[tuple[str, ...], ...]
    """Of every other unit that promotes any, in the order of the arm."""


NO_TOKENS = Unscored("no judge of this run reads the promoted tokens")
"""Stands for them where nobody has read them."""


@dataclass(frozen=True)
class Case:
    """An explanation, and the unit that it is held against."""

    explanation: str
    """The unit's own, or another unit's: nothing here tells which. '' for a judge that needs none."""
    contexts: tuple[HeldOut, ...]
    """The unit's held-out contexts, each once."""
    promoted: Promoted | Unscored = NO_TOKENS
    """For judges of tokens; Unscored where the unit has no output direction, or the explanation is from its tokens."""


NO_CONTEXT = -1
"""In place of the id of a context."""


@dataclass(frozen=True)
class Item:
    """One thing to be judged."""

    context: int
    """Id of the context; NO_CONTEXT where a token is judged."""
    shown: int
    """Its place among all items of the case, from 0, over its requests in their order."""
    truth: bool
    """What the right answer is; for detection, whether the unit is active anywhere in the context."""
    token: str = ""
    """The token that is judged; '' where contexts are."""


@dataclass(frozen=True)
class Judgement:
    """One item, and what the judge made of it."""

    item: Item
    probability: float | Unscored
    """P(yes) in [0, 1], or why there is none. Of a judge that is not calibrated only the order of the values counts."""


@dataclass(frozen=True)
class Items:
    """Items that one request asks about."""

    items: tuple[Item, ...]
    question: Question[tuple[float, ...]]
    """Read to the probability of "yes" for every item, in order, each in [0, 1]."""


@dataclass(frozen=True)
class Traits:
    """What a run has to know of a judge before it is made: the attribute `traits` of what makes it."""

    asks: bool = True
    """Whether it makes questions for the language model (a Judge), or decides by itself (a ComputedJudge)."""
    needs: Needs = field(default_factory=Needs)
    """What it needs of the language model, or beside it. A judge that does not ask gets what is named here alone."""
    needs_explanation: bool = True
    """Without one there is no shuffled pairing, and units that could not be explained are judged too."""
    metrics: tuple[str, ...] = ("balanced_accuracy", "auroc", "f1")
    """The scores that mean something for its probabilities, the headline first; "auroc" is one of them."""
    share: float = 0.5
    """Of all its items, those whose right answer is yes."""
    of_tokens: bool = False
    """Whether it judges the tokens that a unit promotes (`Case.promoted`), and no contexts."""


@dataclass(frozen=True)
class Tools:
    """What judges that don't ask work with; None where no judge of the run needs it, or is only looked at."""

    model: Any = None
    """The language model in this process, with `tokenizer`, `identity`, `logprobs_at` and `next_token_logprobs`, for
    judges that need log-probabilities."""
    asker: Asker | None = None
    """The same, where the language model is an endpoint."""
    sentences: Vectors | None = None
    """The study's sentence model."""
    bank: Sequence[str] = ()
    """Unrelated explanations, for judges that need a whole distribution: those that `lift` subtracts."""
    ledger: Numbers | None = None
    """Keeps what the model in this process computes; None: nothing is kept."""


NO_TOOLS = Tools()


@dataclass(frozen=True)
class JudgeSettings:
    """What a judge is made with."""

    llm: Llm
    """The study's section of the language model."""
    examples: int
    """Items per unit at most."""
    seed: int
    """Seed of its requests."""
    prompt: str | None = None
    """Name of the prompt; None: the judge's own."""
    prompts_folder: Path | None = None
    """The user's folder, whose prompts take the place of the built-in ones."""
    capabilities: Capabilities | None = None
    """What the endpoint can do; None when that is not known, and then nothing special is asked of it."""
    negatives: str = "random"
    """Which silent contexts stand against the active ones, as in the study's `judge.negatives`."""
    tools: Tools = NO_TOOLS
    """For judges that don't ask."""


@runtime_checkable
class Judge(Protocol):
    """Asks which items an explanation fits. One file and one registration each; made of JudgeSettings."""

    name: str
    prompt: str
    """`name@hash` of its prompt."""

    def batches(self, case: Case, rng: np.random.Generator) -> list[Items] | Unscored:
        """Draw the items and make the requests; Unscored when the contexts don't suffice.

        The draw depends on the contexts and `rng` alone, so that a unit's own explanation and another unit's are
        judged on the same items. Every case of a judge has the same share of true items, so that chance is the same
        for every unit. It asks nobody: the run asks for all units together.
        """
        ...


@runtime_checkable
class ComputedJudge(Protocol):
    """Decides by itself. One file and one registration each; what makes it has `traits` that say so."""

    name: str
    prompt: str
    """`name@hash` of its prompt; '' without one."""

    def judge(self, case: Case, rng: np.random.Generator) -> list[Judgement] | Unscored:
        """Draw the items, as `Judge.batches` does, and decide on them, in the order of their `shown`."""
        ...


AnyJudge = Judge | ComputedJudge
