"""`autointerp doctor`: what it finds, that nothing is paid for, and that no secret gets out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from autointerp.cli import app
from autointerp.llm.check import check
from autointerp.models import locate
from autointerp.run.diagnosis import Finding, diagnose
from autointerp.study_file import parse_study
from tests.llm.doubles import Reply, chat, error, serve

KEY, GATE = "sk-very-secret-0123456789", "gate-secret-9876543210"
MODELS = Reply(body=json.dumps({"data": [{"id": "m"}, {"id": "other"}]}).encode())


def found(url: str, **more: Any) -> dict[str, Finding]:
    llm = {"provider": "openai", "model": "m", "base_url": url, "attempts": 1, **more}
    return {finding.about: finding for finding in diagnose(parse_study({"llm": {"explainer": llm}}))}


def test_what_is_here_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", KEY)
    monkeypatch.setenv("HTTPS_PROXY", "http://user:password@proxy")
    lines = {finding.about: finding for finding in diagnose(None)}
    assert not any(finding.wrong for finding in lines.values())
    assert "torch 2." in lines["packages"].found
    assert lines["$HF_TOKEN"].found == lines["$HTTPS_PROXY"].found == "set"
    assert "SmolLM2-135M" in lines["offline model"].found
    assert not any(KEY in finding.found or "password" in finding.found for finding in lines.values())


def test_endpoints_are_asked_for_their_models_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    monkeypatch.setenv("GATE", GATE)
    with serve(models=MODELS) as server:
        with_password = server.url.replace("http://", "http://") + f"?token={GATE}"
        there = found(with_password, api_key_env="MY_KEY", headers={"X-Api-Key": "$GATE"})
        other = found(server.url, model="else")
        assert server.seen == []  # no chat, no completion
        assert server.headers[0]["authorization"] == f"Bearer {KEY}"
    assert (
        there["llm.explainer"].found == f"'m', openai {server.url} with " + '{"headers":{"X-Api-Key":"$GATE"}}: answers'
    )
    assert there["llm.explainer key"].found == "$GATE is set"
    assert other["llm.explainer"].found.endswith("answers, and does not list this model among its 2")
    assert there["llm.simulator"].found == "'builtin' in this process, bfloat16"
    assert not any(secret in finding.found for finding in there.values() for secret in (KEY, GATE))


def test_what_is_in_the_way_is_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(models=error(401, f"Incorrect API key provided: {KEY}")) as server:
        monkeypatch.setenv("MY_KEY", KEY)
        refused = found(server.url, api_key_env="MY_KEY")["llm.explainer"]
    assert refused.wrong
    assert "answers 401" in refused.found
    assert KEY not in refused.found
    gone = found("http://127.0.0.1:9/v1")["llm.explainer"]
    assert gone.wrong
    assert gone.found.endswith("no connection to the endpoint")
    unset = found("http://127.0.0.1:9/v1", api_key_env="NOT_THERE")
    assert unset["llm.explainer key"] == Finding("llm.explainer key", "$NOT_THERE is not set", wrong=True)
    assert unset["llm.explainer"].wrong
    assert found("http://127.0.0.1:9/v1", provider="nobodys")["llm.explainer"].found == (
        "provider 'nobodys' is not installed"
    )


def test_a_probe_of_before_is_remembered() -> None:
    with serve(behave=lambda body: chat("Paris.") if "chat" in body["path"] else error(404), models=MODELS) as server:
        llm = parse_study({"llm": {"x": {"provider": "openai", "model": "m", "base_url": server.url}}}).llm["x"]
        assert "found out" not in found(server.url)["llm.explainer"].found
        check(llm, "x")
        assert found(server.url)["llm.explainer"].found.endswith("; 'llm check' has found out what it can do")


def test_the_verb_ends_with_1_where_something_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    runner = CliRunner()
    whole = runner.invoke(app, ["doctor"])
    assert whole.exit_code == 0
    assert "  offline model    there" in whole.output
    monkeypatch.setattr(locate, "_PACKAGE", "no-such-package")
    lacking = runner.invoke(app, ["doctor"])
    assert lacking.exit_code == 1
    assert "! offline model    the offline model's package no-such-package is not installed" in lacking.output
