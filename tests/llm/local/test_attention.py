"""What rows and heads share is not copied on a CPU."""

from __future__ import annotations

import os

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.cache_utils import DynamicLayer

from autointerp.llm.local import attention
from autointerp.llm.local.attention import SharedPrefixLayer, can_read_apart, closed_up, shared_heads
from autointerp.llm.local.model import LocalModel
from autointerp.llm.local.prefix import Batch, reads_apart
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


@pytest.mark.parametrize("family", ["llama", "qwen3", "mistral", "gpt2", "gpt_neox"])
def test_a_prefix_that_is_read_apart_counts_as_one_that_every_row_holds(family: str) -> None:
    """Rows of different lengths, one of them moved, one gone, one padded: as with the whole in every row."""
    model = tiny_loaded(family).model
    assert reads_apart(model)
    prompts = [[1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 9], [1, 2, 3, 4, 7, 8, 10, 11]]
    found = []
    for apart in (True, False):
        batch = Batch(model, prompts, 3, apart)
        logits = [batch.logits]
        batch.keep([2, 1])
        batch.append([[5], [6]])
        logits.append(batch.logits)
        batch.append([[7, 12, 9], [6]])
        found.append([*logits, batch.logits])
        layer = batch._cache.layers[0]
        assert isinstance(layer, SharedPrefixLayer)
        assert layer.get_seq_length() == 12
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, atol=2e-5, rtol=0)
    assert model.config._attn_implementation == "sdpa"


def test_a_model_that_adds_to_its_attention_reads_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing tells beforehand what a model hands to its attention: it is tried."""
    model = tiny_loaded("llama").model
    monkeypatch.setattr(
        attention, "_FLASH", lambda *args, **kwargs: tuple(2 * part for part in _flash(*args, **kwargs))
    )
    assert can_read_apart(model)
    assert not reads_apart(model)
    monkeypatch.undo()
    prompts = [[1, 2, 3], [1, 2, 4, 5]]
    torch.testing.assert_close(Batch(model, prompts).logits, Batch(model, prompts, 0, False).logits, atol=0, rtol=0)


_flash = attention._FLASH


@given(rows=st.integers(1, 12).flatmap(lambda n: st.sets(st.integers(0, n - 1), min_size=1).map(lambda s: (n, s))))
@settings(max_examples=60, deadline=None)
def test_rows_that_go_on_are_the_same_whoever_moves(rows: tuple[int, set[int]]) -> None:
    """The last ones fill the gaps, in place; as the slow way, which copies all of them anew."""
    count, kept = rows[0], sorted(rows[1])
    order = closed_up(kept)
    assert sorted(order) == kept
    assert all(row == place for place, row in enumerate(order) if place in rows[1]), "who can keep its place does"
    for chosen in (order, kept):
        states = torch.arange(count * 2 * 3 * 4, dtype=torch.float32).reshape(count, 2, 3, 4)
        layer = SharedPrefixLayer(DynamicLayer(), room=2)
        layer.update(states, -states)
        layer.batch_select_indices(torch.tensor(chosen))
        more = torch.full((len(chosen), 2, 1, 4), 7.0)
        keys, values = layer.update(more, -more)
        assert torch.equal(keys, torch.cat([states[chosen], more], dim=2))
        assert torch.equal(values, -keys)
