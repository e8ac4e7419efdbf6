"""One method on all pairings, and what it took; or, before anything is sent, what endpoints will be asked."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from autointerp.benchmark_rows import RecoveryRow
from autointerp.llm.budget.counting import CountingAsker, Tally, token_counter
from autointerp.llm.budget.prices import Tokens, dollars, price
from autointerp.llm.ledger.ledger import Ledger
from autointerp.llm.open import Mode, identity_of
from autointerp.llm.providers import LOCAL
from autointerp.models import load_asked, load_tokenizer
from autointerp.planted.finished import Measured, Store
from autointerp.planted.methods import Form, Method
from autointerp.planted.pairings import PlantedPairing, Portion, pairings_of
from autointerp.planted.recovery import recovered
from autointerp.planted.scoring import judged, looked_up, ruled, simulated
from autointerp.planted.sight import out_of_context
from autointerp.planted.statistics import Cost
from autointerp.planted.units import PlantedUnit
from autointerp.progress import bar
from autointerp.records import Unscored
from autointerp.run.resources import Resources
from autointerp.simulate.literal import LITERAL
from autointerp.study import Study
from autointerp.study_models import Llm

RANKERS = (LITERAL, "lift", "embedding")
"""Simulators that rank an explainer's candidates here: cheap ones, and the two that read with a model."""


class _Watched(Ledger):
    """A ledger that counts how often it spared a computation."""

    def __init__(self, path: Path | None) -> None:
        super().__init__(path)
        self.spared = 0
        """Numbers that were found."""

    def numbers(self, name: str) -> np.ndarray | None:
        found = super().numbers(name)
        self.spared += found is not None
        return found


class WatchedResources(Resources):
    """Resources that notice what their ledger spares: time and tokens can't be told then."""

    @cached_property
    def ledger(self) -> _Watched:
        """The ledger of answers."""
        return _Watched(self.ledger_path)

    def asked(self, stage: str) -> tuple[int, int, int]:
        """Requests of a stage so far, those of them that the ledger answered, and tokens of all of them."""
        rows = [row for row in self.usage.rows() if row.stage == stage]
        return (
            sum(row.requests for row in rows),
            sum(row.cached for row in rows),
            sum(r.input_tokens + r.output_tokens + r.saved_input_tokens + r.saved_output_tokens for r in rows),
        )


@dataclass
class _Meter:
    """What is measured while a method runs."""

    ran: int = 0
    """Tokens that a model in this process read."""
    seconds: float = 0.0
    before: tuple[int, int, int] = field(default=(0, 0, 0))


def measure(
    study: Study, method: Method, units: Sequence[PlantedUnit], portion: Portion, work: Path, store: Store
) -> Measured:
    """Score every pairing with one method, or take what was kept of it. Raises BadInput when the method can't run.

    `units`: those of the portion. Not kept when a request came to nothing: the next call asks those again.
    """
    kept = store.find(method, portion)
    if kept is not None:
        return kept
    pairings = pairings_of(units, method.explained, portion)
    resources = WatchedResources(method.study_for(study), work, Mode())
    try:
        with _metered(resources, method) as meter:
            scores = scores_of(resources, method, pairings)
        found = Measured(method.name, portion, tuple(scores), _cost(resources, method, meter, pairings))
        if not resources.unanswered:
            store.keep(method, found)
        return found
    finally:
        resources.close()


def scores_of(
    resources: WatchedResources, method: Method, pairings: Sequence[PlantedPairing]
) -> list[float | Unscored]:
    """Score the pairings with the method that the study of `resources` is of (see `Method.study_for`)."""
    with bar(method.name, len(pairings), "pairings") as progress:
        if method.form is Form.TOKEN_TABLE:
            return looked_up(pairings, progress)
        if method.form is Form.RULE:
            return ruled(pairings, progress)
        if method.form is Form.SIMULATOR:
            with resources.simulator(_stage(method)) as simulator:
                return simulated(simulator, pairings, progress)
        with resources.judges(_stage(method)) as ((judge,), asker):
            return judged(judge, asker, pairings, resources.study.seed, progress)


def recover(
    study: Study, method: Method, units: Sequence[PlantedUnit], portion: Portion, work: Path, store: Store
) -> Sequence[RecoveryRow]:
    """The explainer's end with a simulator as ranker, or what was kept of it; nothing for any other method."""
    if method.name not in RANKERS:
        return ()
    portion = Portion(portion.units, frozen=portion.frozen)  # the rest of it is of other explanations
    kept = store.find_recovery(method, portion)
    if kept is not None:
        return kept
    resources = WatchedResources(method.study_for(study), work, Mode())
    try:
        with resources.simulator(_stage(method)) as simulator:
            found = recovered(simulator, units, study.seed)
    finally:
        resources.close()
    store.keep_recovery(method, portion, found)
    return found


def _stage(method: Method) -> str:
    return f"benchmark {method.name}"


@contextmanager
def _metered(resources: WatchedResources, method: Method) -> Iterator[_Meter]:
    """Count the tokens that the method's model reads in this process, and the seconds until the block ends."""
    meter = _Meter(before=resources.asked(_stage(method)))
    name = method.llm_of(resources.study)
    hook = None
    if name is not None and resources.study.llm[name].provider == LOCAL:
        llm = resources.study.llm[name]
        loaded = load_asked(llm.model, device=resources.study.subject.device, dtype=llm.dtype)

        def count(module: Any, inputs: tuple[Any, ...]) -> None:
            meter.ran += inputs[0].numel()

        hook = loaded.model.get_input_embeddings().register_forward_pre_hook(count)
    start = time.perf_counter()
    try:
        yield meter
    finally:
        meter.seconds = time.perf_counter() - start
        if hook is not None:
            hook.remove()


def _cost(resources: WatchedResources, method: Method, meter: _Meter, pairings: Sequence[PlantedPairing]) -> Cost:
    """Tokens of requests, where it asks; else those that a model in this process read. What reads an explanation once
    for all units is counted per explanation."""
    each = len({pairing.text for pairing in pairings}) if out_of_context(method.name) else len(pairings)
    each = max(each, 1)
    requests, cached, tokens = (
        now - then for now, then in zip(resources.asked(_stage(method)), meter.before, strict=True)
    )
    spared = bool(cached or resources.ledger.spared)
    seconds = None if spared else meter.seconds / each
    if requests:
        return Cost(tokens / each, seconds)
    return Cost(None if spared else meter.ran / each, seconds)


class _Counting(WatchedResources):
    """Resources whose askers count."""

    def __init__(self, study: Study, work: Path) -> None:
        super().__init__(study, work, Mode())
        self.tally = Tally()

    @contextmanager
    def asker(self, name: str, stage: str, *, batch: bool = False) -> Iterator[Any]:
        """Nobody, for the study's model `name`."""
        llm = self.study.llm[name]
        tokenizer = load_tokenizer(llm.tokenizer or self.study.subject.model)
        yield CountingAsker(self.ledger, identity_of(llm), llm, token_counter(tokenizer), self.tally)


def announced(
    study: Study, pending: Sequence[Method], units: Sequence[PlantedUnit], asked: Portion, work: Path
) -> Iterator[str]:
    """A line per method that asks an endpoint: requests, tokens, dollars. Nothing is sent; re-asks come on top."""
    for method in pending:
        name = method.llm_of(study)
        if name is None or study.llm[name].provider == LOCAL:
            continue
        resources = _Counting(method.study_for(study), work)
        try:
            scores_of(resources, method, pairings_of(units, method.explained, method.portion(asked)))
        finally:
            resources.close()
        yield _line(method, study.llm[name], resources.tally)


def _line(method: Method, llm: Llm, tally: Tally) -> str:
    tokens = Tokens(tally.input_tokens, tally.output_tokens)
    usd = dollars(price(llm, tokens))
    return (
        f"  {method.name}: {tally.requests:,} requests to '{llm.model}' ({tally.known:,} in the ledger), about "
        f"{tokens.input:,} prompt tokens, at most {tokens.output:,} answer tokens, "
        + ("price unknown" if usd is None else f"at most ${usd:,.4f}")
    )
