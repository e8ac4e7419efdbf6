"""autointerp as a stage uses it: requests streamed through ledger, retries, budget and limit, on the `openai` SDK."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import autointerp
from autointerp.llm.budget.account import Usage
from autointerp.llm.ledger.ledger import open_ledger
from autointerp.llm.open import open_asker
from autointerp.llm.request import Request, Response
from autointerp.study_models import Budget, Llm
from throughput.measuring import Tally, contest, job
from throughput.workload import MAX_TOKENS, MODEL, TEMPERATURE, chat

_BUDGET = Budget(limit_usd=1e6, limit_tokens=10**12)
"""Never reached: what is measured is keeping to it."""


def _requests(numbers: range) -> Iterator[Request]:
    for number in numbers:
        yield Request(chat(number), MODEL, MAX_TOKENS, TEMPERATURE, seed=0)


def main() -> None:
    task = job()
    folder = Path(task.folder)
    llm = Llm(provider="openai", model=MODEL, base_url=task.url, concurrency=task.slots, input_usd=1.0, output_usd=1.0)
    with (
        open_ledger(folder / "ledger.sqlite") as ledger,
        closing(Usage(folder / "spending.sqlite", _BUDGET)) as usage,
        open_asker(llm, ledger, usage, "explain") as asker,
    ):

        def work(numbers: range, tally: Tally) -> None:
            for place, answer in asker.stream(_requests(numbers)):
                tally.tell(numbers[place], answer.text if isinstance(answer, Response) else None)

        contest(task, f"autointerp {autointerp.__version__}", work)


if __name__ == "__main__":
    main()
