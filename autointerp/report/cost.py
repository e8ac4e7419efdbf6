"""What a run spent on language models, and what its ledger saved."""

from __future__ import annotations

from typing import Any

import pandas as pd

from autointerp.compare.outcome import Outcome
from autointerp.report.markdown import escape, table
from autointerp.tables import SCHEMAS, read_table

_HEAD = (
    "stage", "model", "requests", "of them from the ledger", "tokens in", "of them cached", "tokens out", "dollars",
    "saved by the ledger",
)  # fmt: skip


def cost(outcome: Outcome) -> str:
    """Requests, tokens and dollars per stage and model; an unknown price stays unknown."""
    path = outcome.run_dir / "usage.parquet"
    usage = read_table(path) if path.is_file() else pd.DataFrame()
    if usage.empty:
        return "## What it cost\n\nNo request to a language model is recorded."
    usage = usage.reindex(columns=SCHEMAS["usage"].names)  # runs of version 0.1 counted less
    rows = [_row(row) for _, row in usage.iterrows()]
    parts = ["## What it cost", table(_HEAD, rows, left=2)]
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
