from __future__ import annotations

from typing import Any

import pytest

from autointerp.errors import BadInput
from autointerp.llm.capabilities import Capabilities, Needs, missing
from autointerp.llm.ledger.replaying import ReplayModel
from autointerp.prompting import load_prompt
from autointerp.run.checks import used_llms
from autointerp.run.resources import simulator_asks
from autointerp.simulate.anthropic_batch import AnthropicBatch
from autointerp.simulate.digits import DigitsServed
from autointerp.simulate.one_by_one import OneByOne, OneByOneServed
from autointerp.simulate.registry import Parts, builder, check_simulator, lacking, needs_of, that_work
from autointerp.simulate.sparse_json import SparseJson
from autointerp.study import Study
from autointerp.study_file import parse_study
from autointerp.study_models import Llm
from tests.entries import Entry
from tests.llm.doubles import EchoAsker
from tests.simulate.contexts import as_json
from tests.tiny import tiny_tokenizer

BARE = Capabilities("openai http://127.0.0.1:9/v1", "m")
CHAT = Capabilities("openai http://127.0.0.1:9/v1", "m", top_logprobs=5)
SERVER = Capabilities("openai http://127.0.0.1:9/v1", "m", top_logprobs=20, prompt_logprobs=20)
LOCAL = Capabilities("local", "m", top_logprobs=20, prompt_logprobs=20, whole_distribution=True)


def _parts(**more: Any) -> Parts:
    asker = EchoAsker(lambda request: as_json([]))
    settings: dict[str, Any] = {
        "model": None, "asker": asker, "llm": Llm(model="m"), "capabilities": None, "bank": [], "batch": 2,
        "same": False, "prompts": None, "seed": 7,
    }  # fmt: skip
    return Parts(**{**settings, **more})


ANY_CHAT = {"sparse-json", "sparse-words", "anthropic-batch", "embedding"}
CHAT_LOGPROBS = {"digits-output", "one-by-one"}
PROMPT_LOGPROBS = {"reader", "lift", "lift-next", "lift-in-context", "digits"}


@pytest.mark.parametrize(
    ("capabilities", "names"),
    [
        (BARE, ANY_CHAT),
        (CHAT, ANY_CHAT | CHAT_LOGPROBS),
        (SERVER, ANY_CHAT | CHAT_LOGPROBS | PROMPT_LOGPROBS),
        (LOCAL, ANY_CHAT | CHAT_LOGPROBS | PROMPT_LOGPROBS),
    ],
)
def test_what_an_endpoint_is_enough_for(capabilities: Capabilities, names: set[str]) -> None:
    assert set(that_work(capabilities)) == names


def test_what_is_missing_is_said() -> None:
    assert lacking("sparse-json", BARE) is None
    whole = Needs(whole_distribution=True)
    assert missing(whole, SERVER) == "log-probabilities of the whole vocabulary (a model in this process gives them)"
    assert missing(whole, LOCAL) is None
    assert lacking("digits", CHAT) == "log-probabilities of at least 5 tokens per token of a prompt (it gives none)"
    few = Capabilities("e", "m", top_logprobs=1)
    assert lacking("digits-output", few) == (
        "log-probabilities of at least 5 tokens per token of a chat's answer (it gives 1)"
    )


def test_what_computes_with_no_language_model_lacks_nothing() -> None:
    assert lacking("embedding", BARE) is None
    study = _study("embedding", provider="openai", base_url="http://127.0.0.1:9/v1")
    check_simulator(study)
    assert set(used_llms(study)) == {"explainer"}, "no key and no price of a model that is never asked"
    assert not simulator_asks(study)


@pytest.mark.parametrize(("provider", "asks"), [("local", False), ("openai", True)])
def test_one_by_one_reads_a_model_in_the_process_and_asks_an_endpoint(provider: str, asks: bool) -> None:
    assert simulator_asks(_study("one-by-one", provider=provider)) == asks
    parts = _parts() if asks else _parts(model=ReplayModel(tiny_tokenizer(), "tiny"))
    assert isinstance(builder("one-by-one")(parts), OneByOneServed if asks else OneByOne)


def _study(method: str, **llm: Any) -> Study:
    return parse_study({"simulate": {"method": method}, "llm": {"simulator": {"model": "m", **llm}}})


@pytest.mark.parametrize("found", [BARE, CHAT, SERVER, None])
@pytest.mark.parametrize(
    "method", ["reader", "lift", "digits", "digits-output", "sparse-json", "one-by-one", "anthropic-batch"]
)
def test_a_study_is_refused_exactly_for_what_is_known_to_lack(
    monkeypatch: pytest.MonkeyPatch, found: Capabilities | None, method: str
) -> None:
    monkeypatch.setattr("autointerp.simulate.registry.known", lambda llm, endpoint: found)
    study = _study(method, provider="openai", base_url="http://127.0.0.1:9/v1")
    refused = found is not None and method not in that_work(found)
    if not refused:
        check_simulator(study)
        return
    with pytest.raises(BadInput, match=f"simulator '{method}' needs log-prob.*provider 'openai'.*'sparse-json'"):
        check_simulator(study)


def test_everything_works_in_the_process() -> None:
    for method in that_work(LOCAL):
        check_simulator(_study(method))
    with pytest.raises(BadInput, match="simulator 'lookup' reads no explanation"):
        check_simulator(_study("lookup"))
    with pytest.raises(BadInput, match="no simulator 'digit': did you mean 'digits'"):
        check_simulator(_study("digit"))


def test_simulators_are_built_from_their_parts(tmp_path: Any) -> None:
    assert isinstance(builder("digits")(_parts()), DigitsServed)
    assert isinstance(builder("sparse-json")(_parts()), SparseJson)
    assert isinstance(builder("anthropic-batch")(_parts()), AnthropicBatch)
    with pytest.raises(ValueError, match="needs a sentence model, and Parts has none"):
        builder("embedding")(_parts())
    with pytest.raises(ValueError, match="Parts has no asker"):
        builder("sparse-json")(_parts(asker=None))
    (tmp_path / "digits").mkdir()
    (tmp_path / "digits" / "v1.toml").write_text(
        'version = 1\nform = "chat"\n[[messages]]\nrole = "user"\ncontent = "x"'
    )
    with pytest.raises(BadInput, match="prompt 'digits/v1' has form 'chat': its simulator needs form 'completion'"):
        builder("digits")(_parts(prompts=tmp_path))
    load_prompt.cache_clear()


def test_other_packages_register_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    def plain(parts: Parts) -> Any:
        return builder("sparse-json")(parts)

    def demanding(parts: Parts) -> Any:
        return builder("sparse-json")(parts)

    demanding.needs = Needs(prompt_logprobs=3)  # type: ignore[attr-defined]  # as a plug-in says it, on a function
    entries = [Entry("plain", plain), Entry("demanding", demanding), Entry("broken", ImportError("no module"))]
    monkeypatch.setattr("autointerp.registry.entry_points", lambda group: entries)
    assert needs_of("plain") == Needs()
    assert isinstance(builder("plain")(_parts()), SparseJson)
    assert lacking("demanding", BARE) == "log-probabilities of at least 3 tokens per token of a prompt (it gives none)"
    with pytest.raises(BadInput, match=r"'broken' can't be imported \(no module\)"):
        builder("broken")
