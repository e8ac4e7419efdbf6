"""Keys and values that heads share are not copied on a CPU."""

from __future__ import annotations

import os

import pytest
import torch

from autointerp.llm.local.model import LocalModel
from autointerp.llm.local.prefix import shared_heads
from autointerp.llm.request import Response
from tests.llm.doubles import completion
from tests.tiny import tiny_loaded

NAME = "TRANSFORMERS_SDPA_FORCE_GQA"


@pytest.mark.parametrize("family", ["llama", "qwen3", "mistral"])
def test_nothing_is_copied_and_nothing_changes(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[int] = []

    def counting(states: torch.Tensor, heads: int) -> torch.Tensor:
        copied.append(heads)
        return states.repeat_interleave(heads, dim=1)

    monkeypatch.setattr("transformers.integrations.sdpa_attention.repeat_kv", counting)
    loaded = tiny_loaded(family)
    texts = ("The sea gives rain", "A", "One, two, three")
    asked = [completion(text, max_tokens=9, top_logprobs=4, beginning=True) for text in texts]
    ours = LocalModel(loaded, 3)
    after = [[5, 6, 7], [5, 6, 8, 9], [5, 11]]
    answers, logprobs = ours.generate(asked), ours.logprobs_after(after, [3, 4])
    assert not copied
    monkeypatch.setenv(NAME, "0")
    plain = LocalModel(loaded, 3)
    for one, other in zip(plain.generate(asked), answers, strict=True):
        assert isinstance(one, Response)
        assert isinstance(other, Response)
        assert one.text == other.text
        logprobs_of = [[entry.logprob for entry in answer.logprobs] for answer in (one, other)]
        assert logprobs_of[0] == pytest.approx(logprobs_of[1], abs=1e-5)
    torch.testing.assert_close(plain.logprobs_after(after, [3, 4]), logprobs, atol=1e-5, rtol=0)
    assert copied


def test_it_is_asked_for_on_a_cpu_alone_and_not_beyond_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(NAME, raising=False)
    with shared_heads(torch.device("cuda")):
        assert NAME not in os.environ
    with pytest.raises(KeyError), shared_heads(torch.device("cpu")):
        assert os.environ[NAME] == "1"
        raise KeyError
    assert NAME not in os.environ
    monkeypatch.setenv(NAME, "0")
    with shared_heads(torch.device("cpu")):
        assert os.environ[NAME] == "0"
    assert os.environ[NAME] == "0"
