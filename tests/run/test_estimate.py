"""The estimate counts what the run then uses, without a single call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

import autointerp
from autointerp.__main__ import main
from autointerp.llm.budget.counting import token_counter
from autointerp.llm.capabilities import Capabilities, remember
from autointerp.llm.request import Request
from autointerp.progress import time_text
from autointerp.run.estimating import EstimateLine, estimate, estimate_lines
from autointerp.study import Study
from autointerp.study_file import dump_study, parse_study
from tests.llm.misbehaving import Body, Endpoint, running
from tests.run.served import brain, served_settings
from tests.small import small_settings

pytestmark = [pytest.mark.pipeline, pytest.mark.slow, pytest.mark.usefixtures("own_cache")]


def _by_stage(lines: list[EstimateLine]) -> dict[str, EstimateLine]:
    """The ranking is part of the explain stage."""
    assert len({line.stage for line in lines}) == len(lines)
    return {line.stage: line for line in lines}


def _served(tmp_path: Path, url: str, **llm: Any) -> Study:
    settings = served_settings(tmp_path, url, **llm)
    tokenizer = settings["subject"]["model"]
    for one in settings["llm"].values():
        one["tokenizer"] = tokenizer
    return parse_study(settings)


def _varied(body: Body) -> str:
    """Another explanation with every draw, as a model at a temperature writes."""
    text = brain(body)
    return f"{text}, number {body['seed'] % 1000}" if text.startswith("[") else text


def _counter(study: Study) -> Any:
    count = token_counter(AutoTokenizer.from_pretrained(study.subject.model))

    def tokens(body: Body) -> int:
        messages = tuple((m["role"], m["content"]) for m in body["messages"])
        return count(Request(messages, "m", 1, 0.0, 0))

    return tokens


def test_prompt_tokens_are_within_ten_percent_of_what_the_run_uses(tmp_path: Path) -> None:
    with running(Endpoint(_varied)) as server:
        study = _served(tmp_path, server.url, input_usd=2.0, output_usd=10.0)
        server.count = _counter(study)
        remember(Capabilities(f"openai {server.url}", "m", top_logprobs=5))
        lines = _by_stage(estimate(study, tmp_path / "run"))
        assert not server.asked, "no call is made"
        run = autointerp.run(study, tmp_path / "run", until="compare")
        usage = run.table("usage").set_index("stage")
        assert set(usage.index) == {"explain", "simulate", "judge"}
        told = {
            "explain": (lines["explain"], lines["explain (rank)"]), "simulate": (lines["simulate"],),
            "judge": (lines["judge"],),
        }  # fmt: skip
        for stage, parts in told.items():
            tokens = sum(part.tokens.input for part in parts)
            # Which candidate wins is not known before: of the tiny subject's few units many have the same word list,
            # and what asks for them again is one request; and a neuron's orientations have other contexts.
            exact = 0.1 if stage == "explain" else 0.3
            assert tokens == pytest.approx(usage["input_tokens"][stage], rel=exact), stage
            assert sum(part.tokens.output for part in parts) >= usage["output_tokens"][stage], stage
            assert sum(part.requests for part in parts) == pytest.approx(usage["attempts"][stage], rel=exact), stage
            assert sum(part.usd or 0 for part in parts) >= usage["cost_usd"][stage], stage
        whole = sum(line.tokens.input for line in lines.values())
        assert whole == pytest.approx(usage["input_tokens"].sum(), rel=0.1)
        asked = server.asked.total()
        after = estimate(study, tmp_path / "run")
        assert server.asked.total() == asked
        assert [(line.requests - line.known, line.tokens.total) for line in after] == [(0, 0)] * len(after)
        assert sum(line.known for line in after) > 500


def test_a_local_model_is_counted_with_its_own_tokenizer_and_has_no_price(tmp_path: Path) -> None:
    settings = small_settings(tmp_path)
    for llm in settings["llm"].values():
        llm["reasks"] = 0
    settings["units"] = {"features": 2, "neurons": 2, "directions": 0, "controls": [], "min_contexts": 4}
    settings["explain"] = {"methods": ["exemplars"], "candidates": 6}  # the tiny model ends no phrase
    simulate = {**settings["simulate"], "method": "sparse-json"}
    study = parse_study({**settings, "simulate": simulate, "compare": {"derangements": 1}})
    lines = estimate(study, tmp_path / "run")
    told = _by_stage(lines)
    assert all(line.usd is None for line in lines)
    run = autointerp.run(study, tmp_path / "run", until="explain")
    usage = run.table("usage").set_index("stage")
    assert told["explain (rank)"].tokens.input == pytest.approx(usage.loc["explain", "input_tokens"], rel=0.1)


def test_the_table_says_what_is_unknown_and_never_a_made_up_zero(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = served_settings(tmp_path, "http://127.0.0.1:9/v1", api_key_env="NO_SUCH_KEY")
    llms = {"explainer": settings["llm"]["explainer"], "simulator": small_settings(tmp_path)["llm"]["simulator"]}
    study = parse_study({**settings, "simulate": {**settings["simulate"], "method": "lift"}, "llm": llms})
    (tmp_path / "study.toml").write_text(dump_study(study))
    words = ["autointerp", "estimate", str(tmp_path / "study.toml"), "--out", str(tmp_path / "run")]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert "unknown (no price in the study)" in out
    assert "$" not in out
    assert "about " in out
    assert "set llm.explainer.tokenizer" in out
    assert "Simulator 'lift' runs in this process and makes no requests." in out
    assert "With --batch" in out
    assert "How long [llm.explainer] takes is not known: 'autointerp llm check explainer' measures an answer." in out


def test_hours_are_told_where_the_speed_is_known(tmp_path: Path) -> None:
    study = _served(tmp_path, "http://127.0.0.1:9/v1")
    remember(Capabilities("openai http://127.0.0.1:9/v1", "m", latency=40.0))
    lines = estimate(study, tmp_path / "run")
    name = lines[0].name
    asked = sum(line.requests - line.known for line in lines if line.name == name)
    concurrency = lines[0].llm.concurrency
    hours = asked * 40.0 / concurrency / 3600
    (told,) = (line for line in estimate_lines(lines, study) if line.startswith(f"[llm.{name}]: about "))
    assert told.startswith(
        f"[llm.{name}]: about {time_text(hours * 3600)} for {asked:,} requests, {concurrency} at a time"
    )


def test_dollars_are_summed_and_a_batch_costs_half(tmp_path: Path) -> None:
    study = _served(tmp_path, "http://127.0.0.1:9/v1", input_usd=1.0, output_usd=1.0)
    remember(Capabilities("openai http://127.0.0.1:9/v1", "m"))
    lines = estimate(study, tmp_path / "run")
    judge = _by_stage(lines)["judge"]
    assert judge.usd == pytest.approx((judge.tokens.input + judge.tokens.output) / 1e6)
    assert judge.batch_usd == pytest.approx((judge.usd or 0) / 2)
    table = list(estimate_lines(lines, study))
    total = sum(line.usd or 0 for line in lines)
    assert table[len(lines) + 1].split()[-1] == f"${total:,.4f}"


def test_replicates_are_counted_and_what_they_share_is_counted_once(tmp_path: Path) -> None:
    study = _served(tmp_path, "http://127.0.0.1:9/v1")
    remember(Capabilities("openai http://127.0.0.1:9/v1", "m"))

    def requests(*redraw: str) -> dict[str, int]:
        compare = study.compare.model_copy(update={"replicates": len(redraw) + 1, "redraw": redraw})
        lines = estimate(study.model_copy(update={"compare": compare}), tmp_path / "run")
        return {stage: line.requests for stage, line in _by_stage(lines).items()}

    one, simulated, explained = requests(), requests("simulate"), requests("explain")
    assert simulated["explain"] == one["explain"]
    # Units of the tiny subject share explanations, and which of them others are tried on is drawn too.
    assert simulated["simulate"] == pytest.approx(2 * one["simulate"], rel=0.02)
    assert explained["explain"] == pytest.approx(2 * one["explain"], rel=0.02)
    assert 1.5 * one["simulate"] < explained["simulate"] < 2.5 * one["simulate"], "which wins is not known before"
