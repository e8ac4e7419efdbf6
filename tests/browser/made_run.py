"""A run with hostile tokens and explanations, failed candidates with their answers, and many units that nobody drew."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autointerp.browser.neighbours import inputs_of
from autointerp.llm.ledger.ledger import Ledger
from autointerp.llm.request import Failure, Request
from autointerp.run.manifest import StageEntry, write_manifest
from autointerp.tables import PROPOSALS, read_table, write_table
from tests.fake_run import Plan, finished

HOSTILE_TEXTS = (
    "</script><script>hit()</script>", "<img src=x onerror=hit()>", "words such as \u202egnp.exe, \x07\x1b[31m",
    '"><svg onload=hit()>', "{{hit()}} ${hit()} `hit()`", "javascript:hit()//",
)  # fmt: skip
UNREADABLE = "I refuse <b>to answer</b></script><script>hit()</script>"


def made_run(folder: Path, *, undrawn: int = 0, **plan: Any) -> Path:
    """A finished run without a model; `undrawn`: features that were surveyed and not drawn."""
    settings = {"unexplained": ["feature/1"], "constant": ["feature/2"], "unsimulated": ["neuron/0-"], **plan}
    finished(folder, Plan(settings={"compare": {"resamples": 1000, "derangements": 16}}, **settings))
    explanations = read_table(folder / "explanations.parquet")
    places = [place for place, text in enumerate(explanations["text"]) if text][: len(HOSTILE_TEXTS)]
    explanations.loc[places, "text"] = list(HOSTILE_TEXTS)
    write_table("explanations", folder / "explanations.parquet", explanations.to_dict("records"))
    write_table("proposals", folder / PROPOSALS, _proposals(folder, explanations.to_dict("records")))
    simulations = read_table(folder / "simulations.parquet")
    simulations.loc[simulations["status"] != "ok", "answer"] = UNREADABLE
    write_table("simulations", folder / "simulations.parquet", _rows(simulations))
    write_table("histograms", folder / "histograms.parquet", [_histogram(u) for u in explanations["unit"]])
    write_table("relations", folder / "relations.parquet", _relations(list(explanations["unit"])))
    write_table("survey", folder / "survey.parquet", [_surveyed(number) for number in range(undrawn)])
    entries = {name: StageEntry("", {name: "made up"}) for name in ("collect", "explain")}
    write_manifest(folder, {**entries, "relate": StageEntry(inputs_of(entries), {})})
    return folder


def _rows(frame: Any) -> list[dict[str, Any]]:
    return [{**row, "answer": row["answer"] or ""} for row in frame.to_dict("records")]


def _proposals(folder: Path, explanations: Sequence[Any]) -> list[dict[str, Any]]:
    ledger, request = Ledger(folder / "ledger.sqlite"), Request((("user", "what is it?"),), "m", 16, 0.5, seed=1)
    ledger.keep(
        "key-of-a-failure", request, "an endpoint", Failure("no explanation in the answer", "unreadable", UNREADABLE)
    )
    ledger.close()
    rows = []
    for each in explanations:
        known = {"unit": each["unit"], "arm": each["arm"], "explainer": "exemplars", "prompt": "", "spare": False}
        good = {"kind": "list", "request": "", "evidence_score": 0.5, "status": "ok", "reason": ""}
        failed = {"kind": "", "request": "key-of-a-failure", "evidence_score": None, "status": "unscored",
                  "reason": "no explanation in the answer"}  # fmt: skip
        rows.append(
            {**known, **good, "place": 0, "text": each["text"] or "words such as x", "chosen": bool(each["text"])}
        )
        rows.append({**known, **failed, "place": 1, "text": "", "chosen": False})
    return rows


def _histogram(unit: str) -> dict[str, Any]:
    return {"unit": unit, "tokens": 1000, "top": 5.0, "counts": tuple(range(24, 0, -1))}


def _relations(units: Sequence[str]) -> list[dict[str, Any]]:
    rows = []
    for unit in units:
        for arm, others in (("feature", ["feature/3", "feature/77777"]), ("neuron", ["neuron/3-", "neuron/88888+"])):
            for by in ("cosine", "correlation"):
                rows += [
                    {"unit": unit, "arm": arm, "by": by, "place": place, "other": other,
                     "cosine": 0.5 - 0.4 * place, "correlation": 0.6 - 0.5 * place, "chance": 0.2}
                    for place, other in enumerate(others)
                ]  # fmt: skip
    return rows


def _surveyed(number: int) -> dict[str, Any]:
    return {
        "unit": f"feature/{1000 + number}", "arm": "feature", "hook": "layers.5.mlp.neurons", "sae": "sae",
        "index": 1000 + number, "sign": 1, "tokens": 10_000,
        "density": (number % 997) / 10_000, "contexts": number % 50,
        "max_activation": 1 + number % 7, "single_token": (number % 20) / 20,
    }  # fmt: skip
