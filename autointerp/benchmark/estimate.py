"""What endpoints will be asked, counted by the code that asks, before anything is sent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from autointerp.llm.budget.counting import CountingAsker, Tally, token_counter
from autointerp.llm.budget.prices import Tokens, dollars, price
from autointerp.llm.open import LOCAL, Mode, identity_of
from autointerp.models import load_tokenizer
from autointerp.planted.measuring import Desk, scores_of
from autointerp.planted.methods import Method
from autointerp.planted.pairings import pairings_of
from autointerp.planted.units import PlantedUnit
from autointerp.study import Llm, Study


class _Counting(Desk):
    """A desk whose askers count."""

    def __init__(self, study: Study, work: Path) -> None:
        super().__init__(study, work, Mode())
        self.tally = Tally()

    @contextmanager
    def asker(self, name: str, stage: str, *, batch: bool = False) -> Iterator[Any]:
        """Nobody, for the study's model `name`."""
        llm = self.study.llm[name]
        tokenizer = load_tokenizer(llm.tokenizer or self.study.subject.model)
        yield CountingAsker(self.ledger, identity_of(llm), llm.reasks, token_counter(tokenizer), self.tally)


def announced(study: Study, pending: Sequence[Method], units: Sequence[PlantedUnit], work: Path) -> Iterator[str]:
    """A line per method that asks an endpoint: requests, tokens, dollars. Nothing is sent; re-asks come on top."""
    for method in pending:
        name = method.llm_of(study)
        if name is None or study.llm[name].provider == LOCAL:
            continue
        desk = _Counting(method.study_for(study), work)
        try:
            scores_of(desk, method, pairings_of(units, method.explained))
        finally:
            desk.close()
        yield _line(method, study.llm[name], desk.tally)


def _line(method: Method, llm: Llm, tally: Tally) -> str:
    tokens = Tokens(tally.input_tokens, tally.output_tokens)
    usd = dollars(price(llm, tokens))
    return (
        f"  {method.name}: {tally.requests:,} requests to '{llm.model}' ({tally.known:,} in the ledger), about "
        f"{tokens.input:,} prompt tokens, at most {tokens.output:,} answer tokens, "
        + ("price unknown" if usd is None else f"at most ${usd:,.4f}")
    )
