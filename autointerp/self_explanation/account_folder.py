"""The folder of `self-explain`: what is in it, and how it is written and read back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from autointerp.artifacts import read_json, write_json
from autointerp.errors import BadInput
from autointerp.self_explanation_rows import FaithfulnessRow, FaithfulnessSummaryRow, SelfExplanationRow
from autointerp.tables import read_arrow, write_table

ACCOUNTS, MEASURED, SUMMARY = "self_explanations", "faithfulness", "faithfulness_summary"
"""Tables, without suffix."""
ABOUT, PAGE, PICTURE = "about.json", "report.md", "self-explanation"
"""Further files; the picture lies in `figures/`, and its name is without suffix."""


@dataclass(frozen=True)
class AboutAccounts:
    """What the tables don't say."""

    version: str
    """Of autointerp."""
    model: str
    """That was asked, for accounts and for everything else."""
    endpoint: str
    """Identity of its provider, without secrets; of a model in the process, of its weights."""
    reviews: str
    """Which reviews, in words."""
    left_out: Mapping[str, int]
    """Reviews that were not asked about: why -> how many."""
    prompts: Mapping[str, str]
    """Order, or `predict` -> `name@hash` of its prompt."""
    logprobs: bool
    """Whether probabilities are read off log-probabilities; else they are the confidence that the model says."""
    lime_draws: int
    seed: int
    resamples: int
    confidence: float
    """Of the intervals."""


@dataclass(frozen=True)
class AccountResults:
    """What the folder holds."""

    about: AboutAccounts
    accounts: tuple[SelfExplanationRow, ...]
    measured: tuple[FaithfulnessRow, ...]
    summary: tuple[FaithfulnessSummaryRow, ...]

    @cached_property
    def _index(self) -> dict[tuple[str, str, str], FaithfulnessSummaryRow]:
        return {(row.method, row.other, row.measure): row for row in self.summary}

    def row(self, method: str, measure: str, other: str = "") -> FaithfulnessSummaryRow | None:
        """A line of the summary; None where there is none."""
        return self._index.get((method, other, measure))

    @property
    def methods(self) -> list[str]:
        """Those that were measured, the model's own accounts first."""
        return list(dict.fromkeys(row.method for row in self.summary if row.measure == "comprehensiveness"))


def is_self_explanation(folder: Path) -> bool:
    """Whether `folder` is one that `self-explain` wrote."""
    return (folder / f"{SUMMARY}.parquet").is_file()


def write_accounts(folder: Path, results: AccountResults) -> None:
    """Write tables and what they don't say, each whole or not at all."""
    write_table(ACCOUNTS, folder / f"{ACCOUNTS}.parquet", results.accounts)
    write_table(MEASURED, folder / f"{MEASURED}.parquet", results.measured)
    write_json(folder / ABOUT, TypeAdapter(AboutAccounts).dump_python(results.about, mode="json"))
    write_table(SUMMARY, folder / f"{SUMMARY}.parquet", results.summary)


def read_accounts(folder: Path) -> AccountResults:
    """Read them back; BadInput when one is missing or damaged."""
    try:
        about = TypeAdapter(AboutAccounts).validate_python(read_json(folder / ABOUT))
    except ValidationError as error:
        raise BadInput(f"{folder / ABOUT} is not of this version", "run autointerp self-explain again") from error
    return AccountResults(
        about,
        tuple(SelfExplanationRow(**row) for row in _records(folder, ACCOUNTS)),
        tuple(FaithfulnessRow(**row) for row in _records(folder, MEASURED)),
        tuple(FaithfulnessSummaryRow(**row) for row in _records(folder, SUMMARY)),
    )


def _records(folder: Path, name: str) -> Iterator[dict[str, Any]]:
    """Rows as plain values, lists as tuples; what is null is None."""
    for row in read_arrow(folder / f"{name}.parquet").to_pylist():
        yield {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}
