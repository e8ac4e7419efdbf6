"""Simulators by name. A new one is one file and one line here; third parties use the entry points."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from autointerp.errors import BadInput, nearest
from autointerp.prompting import load_prompt
from autointerp.simulate.base import Simulator
from autointerp.study import Study

GROUP = "autointerp.simulators"
"""Entry points of this group name functions from Parts to a Simulator."""
LOOKUP = "lookup"
"""Reads no explanation: reported beside the others, from the token table alone."""


@dataclass(frozen=True)
class Parts:
    """What a simulator may be built from."""

    model: Any
    """The local model: its `tokenizer`, `next_token_logprobs` and `logprobs_at`."""
    bank: Sequence[str]
    """Unrelated explanations: random word lists from the evidence, the same for every unit."""
    batch: int
    """Prompts per forward pass."""
    same: bool
    """Whether subject and simulator share a vocabulary."""
    prompts: Path | None
    """The user's prompt folder."""


def _lift(parts: Parts) -> Simulator:
    from autointerp.simulate.lift import Lift

    return Lift(parts.model, load_prompt("lift/v1", parts.prompts), parts.bank, parts.batch, parts.same)


def _digits(parts: Parts) -> Simulator:
    from autointerp.simulate.digits import Digits

    return Digits(parts.model, load_prompt("digits/v1", parts.prompts))


_BUILT_IN: Mapping[str, Callable[[Parts], Simulator]] = {"lift": _lift, "digits": _digits}


def builder(name: str) -> Callable[[Parts], Simulator]:
    """How to build simulator `name`; BadInput with the nearest valid name when there is none."""
    if name in _BUILT_IN:
        return _BUILT_IN[name]
    found = {point.name: point for point in entry_points(group=GROUP)}
    if name in found:
        loaded: Callable[[Parts], Simulator] = found[name].load()
        return loaded
    raise BadInput(f"no simulator '{name}'", nearest(name, [*_BUILT_IN, *found]))


def check_simulator(study: Study) -> None:
    """Raise BadInput, before anything runs, when the simulator needs what its language model can't give."""
    method = study.simulate.method
    if method == LOOKUP:
        raise BadInput(
            f"simulator '{LOOKUP}' reads no explanation, so it can't score one",
            "set simulate.method = 'lift'; the token table is reported beside it (simulate.lookup = true)",
        )
    builder(method)
    provider = study.llm[study.simulate.llm].provider
    if method in _BUILT_IN and provider != "local":
        raise BadInput(
            f"simulator '{method}' needs log-probabilities of a whole prompt, not given by provider '{provider}'",
            f"set llm.{study.simulate.llm}.provider = 'local' for {' or '.join(_BUILT_IN)}",
        )
