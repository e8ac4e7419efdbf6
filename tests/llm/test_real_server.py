"""A real server, llama.cpp, on loopback: the two providers agree about the same model."""

from __future__ import annotations

from pathlib import Path

import pytest

from autointerp.llm.ledger import open_ledger
from autointerp.llm.local import LocalModel
from autointerp.llm.open import open_asker
from autointerp.llm.reading import ask_all
from autointerp.llm.request import Failure, Response
from autointerp.llm.usage import Usage
from autointerp.models import load_model
from autointerp.models.locate import builtin_file
from autointerp.study import Llm
from tests.llm.doubles import Counter, completion, request


@pytest.mark.offline_model
@pytest.mark.slow
def test_the_server_and_the_process_write_the_same_text_at_temperature_zero(tmp_path: Path) -> None:
    llama = pytest.importorskip("xllamacpp")
    parameters = llama.CommonParams()
    parameters.model.path = str(builtin_file())
    parameters.n_ctx, parameters.n_parallel, parameters.warmup = 1024, 1, False
    server = llama.Server(parameters)
    requests = [
        request("Name the capital of France in one short sentence.", max_tokens=24),
        completion("Monday, Tuesday, Wednesday,", max_tokens=6),
        completion("The capital of France is Paris. The capital of Italy is", max_tokens=12, stop=(".",)),
    ]
    llm = Llm(provider="openai", model="m", base_url=f"{server.listening_address}/v1")
    with open_ledger(tmp_path / "ledger.sqlite") as ledger, open_asker(llm, ledger, Usage(), "explain") as asker:
        served = ask_all(asker, requests, Counter())
    model = LocalModel(load_model("builtin"), 4)
    assert served == [answer for r in requests for answer in model.generate([r])]
    chat, cut, continued = served
    assert isinstance(chat, Response)
    assert "Paris" in chat.text
    assert isinstance(cut, Failure)
    assert cut.partial
    assert isinstance(continued, Response)
    assert continued.text == " Rome"
