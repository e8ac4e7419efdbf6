"""Simulators by name. A new one is one file and one line here; third parties use the entry points."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autointerp.errors import BadInput
from autointerp.llm.answers.logprobs import LEAST
from autointerp.llm.capabilities import Capabilities, Needs, known, missing
from autointerp.llm.client import Asker
from autointerp.llm.open import identity_of
from autointerp.llm.providers import LOCAL
from autointerp.prompting import Prompt, load_prompt
from autointerp.registry import Registry, declared
from autointerp.simulate.interface import Numbers, Simulator, Vectors
from autointerp.simulate.lookup import LOOKUP
from autointerp.study import Study
from autointerp.study_models import Llm


@dataclass(frozen=True)
class Parts:
    """What a simulator may be built from."""

    model: Any
    """The model in this process, with `tokenizer`, `next_token_logprobs`, `logprobs_at` and `logprobs_after`; None for
    an endpoint."""
    asker: Asker | None
    """Asks the language model; None where nothing is asked in words (a simulator that needs `model`, or nothing)."""
    llm: Llm
    """The study's section of the language model."""
    capabilities: Capabilities | None
    """What its endpoint can do; None when it was never found out."""
    bank: Sequence[str]
    """Unrelated explanations: random word lists from the evidence, the same for every unit."""
    batch: int
    """Prompts per forward pass."""
    same: bool
    """Whether subject and simulator share a vocabulary; False for an endpoint."""
    prompts: Path | None
    """The user's prompt folder."""
    seed: int
    """Of the simulator's requests."""
    ledger: Numbers | None = None
    """Keeps what the model in this process computes; None: nothing is kept."""
    sentences: Vectors | None = None
    """The study's sentence model; None where the simulator does not need it."""


@dataclass(frozen=True)
class _BuiltIn:
    """One of this package: its module is imported when it is built."""

    build: Callable[[Parts], Simulator]
    needs: Needs

    def __call__(self, parts: Parts) -> Simulator:
        return self.build(parts)


def _lift(parts: Parts, prompt_name: str = "lift/v1") -> Simulator:
    from autointerp.simulate.lift import Lift
    from autointerp.simulate.lift_served import LiftServed

    prompt = _prompt(prompt_name, "completion", parts)
    if parts.model is not None:
        return Lift(parts.model, prompt, parts.bank, parts.batch, parts.same, parts.ledger)
    return LiftServed(_asker(parts), prompt, parts.bank, parts.llm.model, parts.seed)


def _lift_next(parts: Parts) -> Simulator:
    from autointerp.simulate.lift import LiftNext

    return LiftNext(_lift(parts))


def _reader(parts: Parts) -> Simulator:
    from autointerp.simulate.reader import TrainedReader

    return TrainedReader(_lift(parts, "reader/v1"), parts.bank)


def _lift_in_context(parts: Parts) -> Simulator:
    from autointerp.simulate.lift_in_context import LiftInContext, TextLikelihood, TokenLikelihood

    prompt = _prompt("lift-in-context/v1", "completion", parts)
    if parts.model is not None:
        return LiftInContext(TokenLikelihood(parts.model, prompt, parts.same, parts.ledger))
    return LiftInContext(TextLikelihood(_asker(parts), prompt, parts.llm.model, parts.seed))


def _digits(parts: Parts) -> Simulator:
    from autointerp.simulate.digits import Digits, DigitsServed

    prompt = _prompt("digits/v1", "completion", parts)
    if parts.model is not None:
        return Digits(parts.model, prompt, parts.ledger)
    return DigitsServed(_asker(parts), prompt, parts.llm.model, parts.seed)


def _digits_output(parts: Parts) -> Simulator:
    from autointerp.simulate.digits_output import DigitsOutput

    return DigitsOutput(_asker(parts), _prompt("digits-output/v1", "chat", parts), parts.llm.model, parts.seed)


def _sparse_json(parts: Parts) -> Simulator:
    from autointerp.simulate.sparse_json import SparseJson

    return SparseJson(_asker(parts), _prompt("sparse-json/v1", "chat", parts), parts.llm.model, parts.seed)


def _sparse_words(parts: Parts) -> Simulator:
    from autointerp.simulate.sparse_words import SparseWords

    return SparseWords(_asker(parts), _prompt("sparse-words/v1", "chat", parts), parts.llm.model, parts.seed)


def _one_by_one(parts: Parts) -> Simulator:
    from autointerp.simulate.one_by_one import OneByOne, OneByOneServed

    prompt = load_prompt("one-by-one/v1", parts.prompts)  # chat or completion: what the endpoint takes
    if parts.model is not None:
        return OneByOne(parts.model, prompt, parts.llm.model, parts.ledger)
    return OneByOneServed(_asker(parts), prompt, parts.llm.model, parts.seed)


def _anthropic_batch(parts: Parts) -> Simulator:
    from autointerp.simulate.anthropic_batch import AnthropicBatch

    return AnthropicBatch(_asker(parts), _prompt("anthropic-batch/v1", "chat", parts), parts.llm.model, parts.seed)


def _literal(parts: Parts) -> Simulator:
    from autointerp.simulate.literal import Literal

    return Literal()


def _literal_words(parts: Parts) -> Simulator:
    from autointerp.simulate.literal import LITERAL_WORDS, Literal

    return Literal(LITERAL_WORDS)


def _embedding(parts: Parts) -> Simulator:
    from autointerp.simulate.embedding import EmbeddingSimulator

    if parts.sentences is None:
        raise ValueError("this simulator needs a sentence model, and Parts has none")
    return EmbeddingSimulator(parts.sentences, parts.bank)


def _asker(parts: Parts) -> Asker:
    if parts.asker is None:
        raise ValueError("this simulator asks a language model, and Parts has no asker")
    return parts.asker


def _prompt(name: str, form: str, parts: Parts) -> Prompt:
    prompt = load_prompt(name, parts.prompts)
    if prompt.form != form:
        raise BadInput(f"prompt '{name}' has form '{prompt.form}'", f"its simulator needs form '{form}'")
    return prompt


_BUILT_IN: Mapping[str, _BuiltIn] = {
    "reader": _BuiltIn(_reader, Needs(prompt_logprobs=1)),
    "lift": _BuiltIn(_lift, Needs(prompt_logprobs=1)),
    "lift-next": _BuiltIn(_lift_next, Needs(prompt_logprobs=1)),
    "lift-in-context": _BuiltIn(_lift_in_context, Needs(prompt_logprobs=1)),
    "digits": _BuiltIn(_digits, Needs(prompt_logprobs=LEAST)),
    "digits-output": _BuiltIn(_digits_output, Needs(top_logprobs=LEAST)),
    "sparse-json": _BuiltIn(_sparse_json, Needs()),
    "sparse-words": _BuiltIn(_sparse_words, Needs()),
    "one-by-one": _BuiltIn(_one_by_one, Needs(top_logprobs=LEAST, computes=True)),
    "anthropic-batch": _BuiltIn(_anthropic_batch, Needs()),
    "embedding": _BuiltIn(_embedding, Needs(sentences=True)),
    "literal": _BuiltIn(_literal, Needs(nothing=True)),
    "literal-words": _BuiltIn(_literal_words, Needs(nothing=True)),
}

SIMULATORS: Registry[Callable[[Parts], Simulator]] = Registry("simulator", "autointerp.simulators", _BUILT_IN)
"""Name in the study -> a function from Parts to a Simulator; one with an attribute `needs` (a Needs) is refused where
its language model gives less."""


def builder(name: str) -> Callable[[Parts], Simulator]:
    """How to build simulator `name`; BadInput with the nearest valid name when there is none."""
    return SIMULATORS.find(name)


def needs_of(name: str) -> Needs:
    """What simulator `name` needs of its language model; BadInput when there is no such simulator."""
    return declared(SIMULATORS.find(name), "needs", Needs, Needs())


def lacking(name: str, capabilities: Capabilities) -> str | None:
    """What simulator `name` needs and an endpoint does not give, in words; None when it has all."""
    return missing(needs_of(name), capabilities)


def that_work(capabilities: Capabilities) -> list[str]:
    """The built-in simulators that read with a model, and that an endpoint is enough for."""
    reading = (name for name, built_in in _BUILT_IN.items() if not built_in.needs.nothing)
    return [name for name in reading if lacking(name, capabilities) is None]


def check_simulator(study: Study) -> None:
    """Raise BadInput, before anything is asked, when the simulator needs what its language model can't give.

    Where it is not known what an endpoint gives, only the impossible is refused.
    """
    method, role = study.simulate.method, study.simulate.llm
    if method == LOOKUP:
        raise BadInput(
            f"simulator '{LOOKUP}' reads no explanation, so it can't score one",
            "set simulate.method = 'reader'; the token table is reported beside it (simulate.lookup = true)",
        )
    llm, needs = study.llm[role], needs_of(method)
    if not needs.language_model:
        return
    there = known(llm, None if llm.provider == LOCAL else identity_of(llm))
    if there is None and (not needs.whole_distribution or llm.provider == LOCAL):
        return
    found = there or Capabilities(llm.provider, llm.model)
    missing = lacking(method, found)
    if missing is not None:
        raise BadInput(
            f"simulator '{method}' needs {missing}: model '{llm.model}' of provider '{llm.provider}' is not enough",
            f"set simulate.method to {' or '.join(repr(n) for n in that_work(found))}, or llm.{role} to another model",
        )
