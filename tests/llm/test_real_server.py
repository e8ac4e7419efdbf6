"""A real server, llama.cpp, on loopback: the two providers agree about the same model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from autointerp.llm.budget.account import Usage
from autointerp.llm.ledger.ledger import open_ledger
from autointerp.llm.local.model import LocalModel
from autointerp.llm.open import open_asker
from autointerp.llm.questions import ask_all
from autointerp.llm.request import Failure, Response
from autointerp.models import load_model
from autointerp.study_models import Llm
from tests.llm.doubles import Counter, completion, request
from tests.llm.llama import llama


@pytest.mark.offline_model
@pytest.mark.slow
def test_the_server_and_the_process_write_the_same_text_at_temperature_zero(tmp_path: Path) -> None:
    requests = [
        request("Name the capital of France in one short sentence.", max_tokens=24),
        completion("Monday, Tuesday, Wednesday,", max_tokens=6),
        completion("The capital of France is Paris. The capital of Italy is", max_tokens=12, stop=(".",)),
    ]
    with llama() as url, open_ledger(tmp_path / "ledger.sqlite") as ledger:
        llm = Llm(provider="openai", model="m", base_url=url)
        with open_asker(llm, ledger, Usage(), "explain") as asker:
            served = ask_all(asker, requests, Counter())
    model = LocalModel(load_model("builtin"), 4)
    told = [replace(answer, cached_input_tokens=None) for answer in served]  # only the server has a cache to tell of
    assert told == [answer for r in requests for answer in model.generate([r])]
    chat, cut, continued = served
    assert isinstance(chat, Response)
    assert "Paris" in chat.text
    assert isinstance(cut, Failure)
    assert cut.partial
    assert isinstance(continued, Response)
    assert continued.text == " Rome"
