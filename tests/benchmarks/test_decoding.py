"""The bound of decoding: it takes the passes of the batch itself."""

from __future__ import annotations

import pytest

from autointerp.llm.local.encode import encode
from autointerp.llm.local.model import LocalModel
from tests.llm.doubles import completion
from tests.tiny import tiny_loaded


def test_the_passes_of_a_batch_are_those_of_its_prompts_and_of_the_rows_that_are_left() -> None:
    import decoding

    loaded = tiny_loaded("llama")
    asked = [completion("the cat sat on the mat", max_tokens=n, seed=n) for n in (1, 3, 2)]
    model = LocalModel(loaded, 3)
    with decoding.passes(loaded) as shapes:
        written = [answer.output_tokens for answer in model.generate(asked)]
    assert written == [1, 3, 2]
    # What all begin with once, then the last token, which is one prompt's; two rows go on, and then one.
    assert shapes[-4:] == [(1, len(encode(asked[0], loaded.tokenizer)) - 1), (1, 1), (2, 1), (1, 1)]
    assert decoding.product_seconds(loaded, 2, 3) > 0


def test_requests_are_those_of_the_explainer(monkeypatch: pytest.MonkeyPatch) -> None:
    import decoding

    from tests.planted.made import made_units

    monkeypatch.setattr(decoding, "meaningful", lambda study, folder, count: made_units()[:4])
    asked = decoding.requests("snippets", 6)
    assert len(asked) == 6
    assert all(request.schema for request in asked)
    lengths = [len(request.messages[-1][1]) for request in asked]
    assert lengths == sorted(lengths)
