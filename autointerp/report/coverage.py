"""How many units were scored, how many were not, and why: the report's section on coverage."""

from __future__ import annotations

from dataclasses import replace

from autointerp.compare.outcome import Outcome
from autointerp.compare.words import number
from autointerp.contexts.slices import slice_words
from autointerp.report.markdown import UNKNOWN, escape, table
from autointerp.units.arms import plain


def section(outcome: Outcome) -> str:
    """A line per slice and arm, with the reasons of what is missing."""
    rows = [
        [
            slice_words(slice_name), escape(plain(arm)), escape(row.reasons) or UNKNOWN, str(row.n), str(row.unscored),
            UNKNOWN if row.excluded is None else str(row.excluded),
            UNKNOWN if row.coverage is None else f"{row.coverage:.0%}", number(row.mean_unscored_at_chance),
        ]
        for slice_name in outcome.slices
        for arm in outcome.arms
        if (row := outcome.row(replace(outcome.headline, slice=slice_name), arm)) is not None
    ]  # fmt: skip
    words = (
        "Excluded units (dead, too few contexts) were left out before sampling. An unscored unit was sampled and could "
        "not be scored; the last column is the mean if every such unit had scored what chance gives."
    )
    head = ["contexts", "arm", "why unscored", "scored", "unscored", "excluded", "coverage", "unscored at chance"]
    return f"## Coverage\n\n{words}\n\n{table(head, rows, left=3)}"
