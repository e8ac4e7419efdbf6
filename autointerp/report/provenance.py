"""Where the numbers come from: models, text, versions, time and money; and `sources.md`, the texts' licences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from autointerp.artifacts import read_json, write_text
from autointerp.compare.outcome import Outcome
from autointerp.compare.words import capital
from autointerp.corpus.listing import TEXT, BuiltinText
from autointerp.judge.registry import JUDGES, uses_model
from autointerp.report import imported
from autointerp.report.markdown import escape, prose, table
from autointerp.tables import SCHEMAS, read_table


def provenance(outcome: Outcome) -> str:
    """What a run ran with, as a list: models, hooks, text, seed; versions and times from the manifest."""
    study = outcome.study
    simulator = f"{escape(study.simulate.method)}, model `{_code(study.llm[study.simulate.llm].model)}`."
    told = imported.imported_of(outcome.run_dir)
    if told is not None:
        lines = [*(prose(line) for line in imported.provenance(told)), f"Simulator: {simulator} Seed {study.seed}."]
    else:
        lines = [
            f"Subject: `{_code(study.subject.model)}`, hooks {', '.join(f'`{_code(h)}`' for h in study.subject.hooks)}."
        ]
        lines += [_sae(sae.name, sae.checkpoint, sae.hook) for sae in study.sae if outcome.feature_arms]
        explain = f"{study.explain.method} ({', '.join(study.explain.methods)})"
        model = _code(study.llm[study.explain.llm].model)
        lines.append(f"Explainer: {escape(explain)}, model `{model}`; simulator: {simulator}")
    if study.explain.ranked_by:
        ranker = study.ranking.llm[study.ranking.simulate.llm].model
        lines.append(f"Candidates were ranked by {escape(study.explain.ranked_by)}, model `{_code(ranker)}`.")
    if study.judge.methods:
        judge = escape(", ".join(study.judge.methods))
        asks = any(name not in JUDGES.built_in or uses_model(name) for name in study.judge.methods)
        model = f", model `{_code(study.llm[study.judge.llm].model)}`" if asks else ""
        lines.append(f"Judge: {judge}{model}.")
    if told is None:
        name = _code(Path(study.corpus.source).name)
        lines.append(f"Text: `{name}`, {study.corpus.tokens:,} tokens at most. Seed {study.seed}.")
    if (text := builtin_text_of(outcome)) is not None:
        lines.append(f"{prose(capital(text.line))}.")
    lines += _from_manifest(outcome.run_dir)
    listed = "\n".join(f"- {line}" for line in lines)
    return listed


def _sae(name: str, checkpoint: str | None, hook: str) -> str:
    origin = f"loaded from `{_code(Path(checkpoint).name)}`" if checkpoint else "trained in this run"
    return f"SAE `{_code(name)}` on `{_code(hook)}`, {origin}."


def _code(text: str) -> str:
    return " ".join(text.replace("`", "'").split())


def builtin_text_of(outcome: Outcome) -> BuiltinText | None:
    """What the corpus stage recorded of the built-in text; None for another corpus, and in runs of before the list."""
    return BuiltinText.of_record(_facts(outcome.run_dir).get("corpus", {}).get(TEXT))


def _facts(run: Path) -> dict[str, Mapping[Any, Any]]:
    """What each finished stage recorded; nothing without a manifest."""
    path = run / "manifest.json"
    stages = _mapping(_mapping(read_json(path)).get("stages")) if path.is_file() else {}
    return {str(name): _mapping(_mapping(stage).get("facts")) for name, stage in stages.items()}


def _from_manifest(run: Path) -> Iterator[str]:
    """What the finished stages recorded; a value that changed between stages is shown as `a then b`."""
    facts = _facts(run)
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


_COST = (
    "stage", "model", "requests", "of them from the ledger", "tokens in", "of them cached", "tokens out", "dollars",
    "saved by the ledger",
)  # fmt: skip


def cost(outcome: Outcome) -> str:
    """Requests, tokens and dollars per stage and model; an unknown price stays unknown."""
    path = outcome.run_dir / "usage.parquet"
    usage = read_table(path) if path.is_file() else pd.DataFrame()
    if usage.empty:
        return "## Cost\n\nNo request to a language model is recorded."
    usage = usage.reindex(columns=SCHEMAS["usage"].names)  # runs of version 0.1 counted less
    rows = [_row(row) for _, row in usage.iterrows()]
    parts = ["## Cost", table(_COST, rows, left=2)]
    tries, uncertain = int(usage["attempts"].sum()), int(usage["uncertain"].sum())
    if tries:
        asked = int((usage["requests"] - usage["cached"])[usage["attempts"] > 0].sum())
        parts.append(f"{tries:,} attempts were sent to endpoints for {asked:,} requests.")
    if uncertain:
        parts.append(
            f"{uncertain:,} of them ended without word of what was used (a broken connection, a killed process) and "
            "are counted at the most they may have cost."
        )
    return "\n\n".join(parts)


def _row(row: "pd.Series[Any]") -> list[str]:
    saved = "unknown"
    if not pd.isna(row["saved_input_tokens"]):
        saved = f"{_count(row['saved_input_tokens'] + row['saved_output_tokens'])} tokens"
    if not pd.isna(row["saved_usd"]):
        saved += f", {row['saved_usd']:.4f}"
    return [
        escape(str(row["stage"])), escape(str(row["model"])), _count(row["requests"]), _count(row["cached"]),
        _count(row["input_tokens"]), _count(row["cached_input_tokens"]), _count(row["output_tokens"]),
        "unknown" if pd.isna(row["cost_usd"]) else f"{row['cost_usd']:.4f}", saved if row["cached"] else "nothing",
    ]  # fmt: skip


def _count(number: float | int) -> str:
    return "unknown" if pd.isna(number) else f"{int(number):,}"


_SOURCES = """# Sources and licences of the contexts

`contexts.parquet`, the figures and the report quote short passages (at most a context long) of the texts below, each
under its own licence. Wikipedia summaries are by Wikipedia's authors, CC BY-SA 4.0: the article is named after the
`#` of its source in `documents.parquet`. `documents.parquet` names the source of every document.
"""


def write_sources(run: Path) -> Path:
    """Write `sources.md` of a run and give its path: packages and files, their licences, how many documents.

    Raises BadInput when `documents.parquet` is missing.
    """
    documents = read_table(run / "documents.parquet", ["source", "licence", "contexts"])
    documents["from"] = documents["source"].map(_origin)
    counts = documents.groupby(["from", "licence"], as_index=False).agg(
        documents=("source", "size"), contexts=("contexts", "sum")
    )
    counts = counts.sort_values(["contexts", "from"], ascending=[False, True])
    rows = [
        [
            escape(str(row["from"])),
            escape(str(row["licence"] or "not stated")),
            str(row["documents"]),
            str(row["contexts"]),
        ]
        for row in counts.to_dict("records")
    ]
    path = run / "sources.md"
    write_text(path, f"{_SOURCES}\n{table(['from', 'licence', 'documents', 'contexts'], rows)}\n")
    return path


def _origin(source: str) -> str:
    """Package, or file of a data set, that a source belongs to."""
    if "#" in source:
        return source.split("#")[0]
    return source.split("/")[0]
