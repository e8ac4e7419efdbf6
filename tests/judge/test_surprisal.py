from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import exp
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from autointerp.errors import BadInput
from autointerp.judge.interface import Case, ComputedJudge, Judgement, Tools
from autointerp.judge.surprisal import Surprisal
from autointerp.llm.budget.account import Usage
from autointerp.llm.ledger.ledger import Ledger, open_ledger
from autointerp.llm.ledger.replaying import ReplayModel
from autointerp.llm.local.model import LocalModel
from autointerp.llm.open import open_asker
from autointerp.llm.request import Failure, Request
from autointerp.models import LoadedModel
from autointerp.quoting import unmarked
from autointerp.records import Unscored
from autointerp.study_models import Budget, Llm
from tests.injections import INJECTIONS
from tests.judge.doubles import SETTINGS, held_out, mixed
from tests.llm.doubles import EchoAsker
from tests.llm.served import Form, serving
from tests.tiny import tiny_model, tiny_tokenizer

TEXTS = ("river", "the rain\nfills", " é蓝😀", "return width * height", "a sea ")
CONTEXTS = tuple(held_out(n, float(n % 2), True, text) for n, text in enumerate(TEXTS * 2))


def with_tools(tools: Tools, examples: int = 10) -> Surprisal:
    return Surprisal(replace(SETTINGS, tools=tools, examples=examples))


def loaded() -> LoadedModel:
    return LoadedModel(tiny_model(), tiny_tokenizer(), "tiny", torch.device("cpu"))


def judged(judge: Surprisal, explanation: str = "words for water", seed: int = 0) -> list[Judgement]:
    found = judge.judge(Case(explanation, CONTEXTS), np.random.default_rng(seed))
    assert isinstance(found, list)
    return found


def test_it_is_a_judge_that_decides_by_itself_and_is_not_calibrated() -> None:
    judge = with_tools(Tools())
    assert isinstance(judge, ComputedJudge)
    assert judge.prompt.startswith("surprisal/v1@")
    assert Surprisal.traits.metrics == ("auroc",)


def test_it_is_the_gain_per_token_of_whole_forward_passes() -> None:
    model, tokenizer = tiny_model(), tiny_tokenizer()

    def mean(explanation: str, text: str) -> float:
        """Over the context's own tokens, as the tokens of one text; the subject's tokens are its pieces."""
        before = tokenizer(f"A part of a text in which there are {explanation}:\n\n")["input_ids"]
        ids = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        with torch.no_grad():
            rows = torch.log_softmax(model(torch.tensor([before + ids["input_ids"]])).logits[0], dim=1)
        values = [float(rows[len(before) - 1 + n, token]) for n, token in enumerate(ids["input_ids"])]
        by_character: list[list[float]] = [[] for _ in text]
        for value, (start, end) in zip(values, ids["offset_mapping"], strict=True):
            for place in range(start, end):
                by_character[place].append(value)
        start, pieces = 0, []
        for piece in contexts[text]:
            pieces.append(np.mean([np.mean(v) for v in by_character[start : start + len(piece)]]))
            start += len(piece)
        return float(np.mean(pieces))

    contexts = {c.context.text: c.context.pieces for c in CONTEXTS if "é" not in c.context.text}
    by_id = {c.context.context: c for c in CONTEXTS}
    seen = 0
    for judgement in judged(with_tools(Tools(model=LocalModel(loaded(), 2)))):
        text = by_id[judgement.item.context].context.text
        assert judgement.item.truth == (by_id[judgement.item.context].peak > 0)
        if text in contexts:
            gain = mean("words for water", text) - mean("words of all kinds", text)
            assert judgement.probability == pytest.approx(1 / (1 + exp(-gain)), abs=1e-4)
            seen += 1
    assert seen >= 6


class Knows:
    """Finds a token likelier when the heading names it."""

    identity = "knows"

    def __init__(self) -> None:
        self.tokenizer: Any = tiny_tokenizer()

    def logprobs_at(
        self, prompt: Sequence[int], positions: Sequence[int], tokens: Sequence[int]
    ) -> Float[Tensor, "position token"]:
        heading = self.tokenizer.decode(list(prompt[: positions[0] + 1]))
        row = [-1.0 if self.tokenizer.decode([token]).strip() in heading else -3.0 for token in tokens]
        return torch.tensor([row] * len(positions))


def test_a_model_that_believes_the_explanation_finds_its_contexts_likelier() -> None:
    contexts = tuple(
        held_out(n, 1.0, False, " river" * 3) if n < 5 else held_out(n, 0.0, True, " merges" * 3) for n in range(10)
    )
    case = Case("words such as river", contexts)
    found = with_tools(Tools(model=Knows())).judge(case, np.random.default_rng(0))
    assert isinstance(found, list)
    assert [j.item.shown for j in found] == list(range(10))
    true = [j.probability for j in found if j.item.truth]
    false = [j.probability for j in found if not j.item.truth]
    assert len(true) == len(false) == 5
    assert min(p for p in true if isinstance(p, float)) > max(p for p in false if isinstance(p, float))


@pytest.mark.parametrize("form", ["echo", "prompt_logprobs"])
def test_through_a_server_it_is_the_same(tmp_path: Path, form: Form) -> None:
    torch.set_num_threads(1)
    here = judged(with_tools(Tools(model=LocalModel(loaded(), 2))))
    with serving(loaded(), form) as server:
        llm = Llm(provider="openai", model="m", base_url=server.url)
        with (
            open_ledger(tmp_path / "ledger.sqlite") as ledger,
            open_asker(llm, ledger, Usage(tmp_path / "spending.sqlite", Budget()), "judge") as asker,
        ):
            there = judged(with_tools(Tools(asker=asker)))
    assert [j.item for j in here] == [j.item for j in there]
    by_id = {c.context.context: c.context.text for c in CONTEXTS}
    for mine, theirs in zip(here, there, strict=True):
        # A server writes a token that is a part of a character in its own way: where it stands is not quite known.
        error = 1e-4 if by_id[mine.item.context].isascii() else 5e-3
        assert mine.probability == pytest.approx(theirs.probability, abs=error)


def test_an_endpoint_that_fails_leaves_the_item_unscored() -> None:
    judge = with_tools(Tools(asker=EchoAsker(lambda request: Failure("the endpoint is down"))))
    assert {j.probability for j in judged(judge)} == {Unscored("the endpoint is down")}


def test_what_was_computed_is_served_from_the_ledger(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "ledger.sqlite") as ledger:
        assert isinstance(ledger, Ledger)
        local = LocalModel(loaded(), 2)
        first = judged(with_tools(Tools(model=local, ledger=ledger)))
        replay = ReplayModel(tiny_tokenizer(), local.identity)
        assert judged(with_tools(Tools(model=replay, ledger=ledger))) == first
        with pytest.raises(BadInput, match="the ledger lacks log-probabilities"):
            judged(with_tools(Tools(model=replay, ledger=ledger)), "something else")


def test_an_empty_explanation_and_too_few_contexts_have_a_reason() -> None:
    judge = with_tools(Tools(model=LocalModel(loaded(), 2)))
    assert {j.probability for j in judged(judge, " . ")} == {Unscored("empty explanation")}
    few = judge.judge(Case("e", mixed(1, 5)), np.random.default_rng(0))
    assert few == Unscored("too few active held-out contexts")


@pytest.mark.parametrize("text", INJECTIONS)
def test_no_text_is_more_than_text(text: str) -> None:
    """One line of explanation, and nothing after the context; no marks that a server takes for its own."""
    seen: list[Request] = []

    def refuse(request: Request) -> Failure:
        seen.append(request)
        return Failure("no", "refusal")

    judge = with_tools(Tools(asker=EchoAsker(refuse)), examples=4)
    contexts = tuple(held_out(n, float(n % 2), True, text) for n in range(4))
    assert isinstance(judge.judge(Case(text, contexts), np.random.default_rng(0)), list)
    for request in seen:
        ((role, prompt),) = request.messages
        assert role == ""
        assert prompt.endswith(" end")
        assert unmarked(prompt) == prompt
        heading = prompt.partition("\n\n")[0]
        assert heading.startswith("A part of a text in which there are ")
        assert "\n" not in heading


def test_a_chat_is_no_prompt_for_it() -> None:
    with pytest.raises(BadInput, match="prompt 'detection/v1' has form 'chat': judge 'surprisal' needs a completion"):
        Surprisal(replace(SETTINGS, prompt="detection/v1"))
