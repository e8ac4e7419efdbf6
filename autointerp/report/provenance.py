"""Where the numbers come from: models, text, versions, time and money."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from autointerp.artifacts import read_json
from autointerp.compare.outcome import Outcome
from autointerp.judge.registry import BUILT_IN, uses_model
from autointerp.report.markdown import escape


def provenance(outcome: Outcome) -> str:
    """Models, hooks, text and seed from the study; versions and wall times from the manifest when it has them."""
    study = outcome.study
    lines = [
        f"Subject: `{_code(study.subject.model)}`, hooks {', '.join(f'`{_code(h)}`' for h in study.subject.hooks)}."
    ]
    lines += [_sae(sae.name, sae.checkpoint, sae.hook) for sae in study.sae if outcome.feature_arms]
    explain = f"{study.explain.method} ({', '.join(study.explain.methods)})"
    lines.append(
        f"Explainer: {escape(explain)}, model `{_code(study.llm[study.explain.llm].model)}`; simulator: "
        f"{escape(study.simulate.method)}, model `{_code(study.llm[study.simulate.llm].model)}`."
    )
    if study.judge.methods:
        judge = escape(", ".join(study.judge.methods))
        asks = any(name not in BUILT_IN or uses_model(name) for name in study.judge.methods)
        model = f", model `{_code(study.llm[study.judge.llm].model)}`" if asks else ""
        lines.append(f"Judge: {judge}{model}.")
    lines.append(
        f"Text: `{_code(Path(study.corpus.source).name)}`, {study.corpus.tokens:,} tokens at most. Seed {study.seed}."
    )
    lines += _from_manifest(outcome.run_dir / "manifest.json")
    listed = "\n".join(f"- {line}" for line in lines)
    closing = "Everything here comes from the tables of this folder; `study.toml` repeats the run."
    return f"## Provenance\n\n{listed}\n\n{closing}"


def _sae(name: str, checkpoint: str | None, hook: str) -> str:
    origin = f"loaded from `{_code(Path(checkpoint).name)}`" if checkpoint else "trained in this run"
    return f"SAE `{_code(name)}` on `{_code(hook)}`, {origin}."


def _code(text: str) -> str:
    return " ".join(text.replace("`", "'").split())


def _from_manifest(path: Path) -> Iterator[str]:
    """What the finished stages recorded; a value that changed between stages is shown as `a then b`."""
    if not path.is_file():
        return
    stages = _mapping(_mapping(read_json(path)).get("stages"))
    facts = {str(name): _mapping(_mapping(stage).get("facts")) for name, stage in stages.items()}
    versions = _merged(_mapping(f.get("versions")) for f in facts.values())
    if versions:
        yield f"Versions: {', '.join(f'{name} {value}' for name, value in versions.items())}."
    places = _merged({k: f[k] for k in ("device", "threads") if k in f} for f in facts.values())
    if places:
        yield f"Ran on: {', '.join(f'{name} {value}' for name, value in places.items())}."
    seconds = {name: f.get("seconds") for name, f in facts.items()}
    timed = [f"{escape(name)} {value:.0f} s" for name, value in seconds.items() if isinstance(value, int | float)]
    if timed:
        yield f"Wall time: {', '.join(timed)}."


def _merged(records: Iterable[Mapping[Any, Any]]) -> dict[str, str]:
    values: dict[str, dict[str, None]] = {}
    for record in records:
        for name, value in record.items():
            values.setdefault(escape(str(name)), {})[escape(str(value))] = None
    return {name: " then ".join(seen) for name, seen in values.items()}


def _mapping(value: Any) -> Mapping[Any, Any]:
    return value if isinstance(value, Mapping) else {}
