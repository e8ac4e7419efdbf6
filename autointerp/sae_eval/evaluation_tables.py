"""The figures of `sae eval` as an aligned table, as files, and as a picture."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from autointerp.artifacts import write_json, write_text
from autointerp.metrics.intervals import Interval
from autointerp.plot.style import house_style, save
from autointerp.progress import aligned
from autointerp.sae_eval.evaluating import Evaluated
from autointerp.sae_eval.figure import SaePoint, sae_eval
from autointerp.train.quality import PLAN
from sae.evaluate import Cosines, density_histogram

NAME = "sae_eval"
"""Of the files, without suffix."""

_LOSSES = {"clean": "clean", "spliced": "spliced", "mean": "mean ablation", "zero": "zero ablation"}
_SHARES = {"against_zero": "against zero ablation", "against_mean": "against mean ablation"}
"""Fields of `Recovered`, and what they are called in tables."""


def write_evaluation(rows: Sequence[Evaluated], folder: Path) -> list[Path]:
    """Write `sae_eval.csv` (a row per SAE), `.json` (with density histograms), `.svg` and `.png`; give their paths."""
    records = [_record(row) for row in rows]
    text = io.StringIO()
    writer = csv.DictWriter(text, records[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    table, full = folder / f"{NAME}.csv", folder / f"{NAME}.json"
    write_text(table, text.getvalue())
    settings = {"format": 1, "confidence": PLAN.confidence, "resamples": PLAN.resamples}
    write_json(
        full,
        {**settings, "saes": [{**record, "density": _density(row)} for record, row in zip(records, rows, strict=True)]},
    )
    with house_style():
        return [table, full, *save(sae_eval([_point(row) for row in rows], PLAN.confidence), folder, NAME)]


def evaluation_lines(rows: Sequence[Evaluated]) -> Iterator[str]:
    """The figures in aligned tables, then what there is to know about them."""
    yield from aligned([
        ("SAE", "hook", "latents", "L0", "FVU", "explained variance", "dead"),
        *(
            (
                row.name, row.hook, f"{row.width:,}", f"{row.vectors.l0:.1f}", f"{row.vectors.fvu:.4f}",
                f"{row.vectors.explained_variance:.4f}",
                f"{row.vectors.dead_share:.1%} on {row.vectors.vectors:,} vectors",
            )
            for row in rows
        ),
    ])  # fmt: skip
    yield ""
    yield from aligned([
        ("loss, nats per token", *_LOSSES.values()),
        *((row.name, *(_interval(getattr(row.loss, name)) for name in _LOSSES)) for row in rows),
    ])  # fmt: skip
    yield ""
    yield from aligned([
        ("loss recovered", *_SHARES.values(), "contexts"),
        *((row.name, *(_interval(getattr(row.loss, n)) for n in _SHARES), f"{row.contexts:,}") for row in rows),
    ])  # fmt: skip
    yield ""
    yield from _cosines(rows)
    yield ""
    yield from dict.fromkeys(f"On {row.text}, subject {row.subject}." for row in rows)
    yield f"Intervals: {PLAN.confidence:.0%}, over contexts; {PLAN.resamples:,} resamples."
    for row in rows:
        for name, words in {**_LOSSES, **_SHARES}.items():
            if note := getattr(row.loss, name).note:
                yield f"{row.name}, {words}: {note}"


def _cosines(rows: Sequence[Evaluated]) -> Iterator[str]:
    head = ("cosine with the nearest decoder row", "within the SAE", "> 0.7", "> 0.9")
    if all(row.cosines is None for row in rows):
        yield from aligned([head, *((row.name, *_cosine_cells(row.own_cosines)) for row in rows)])
        return
    both = ((row.name, *_cosine_cells(row.own_cosines), *_cosine_cells(row.cosines)) for row in rows)
    yield from aligned([(*head, "in --against", "> 0.7", "> 0.9"), *both])


def _interval(found: Interval) -> str:
    if found.value is None:
        return "none"
    bare = f"{found.value:.3f}"
    return bare if found.low is None or found.high is None else f"{bare} [{found.low:.3f}, {found.high:.3f}]"


def _cosine_cells(cosines: Cosines | None) -> tuple[str, str, str]:
    if cosines is None:
        return ("", "", "")
    return (f"{cosines.mean:.3f}", f"{cosines.above_07:.1%}", f"{cosines.above_09:.1%}")


def _record(row: Evaluated) -> dict[str, Any]:
    """One flat row; a number that there is none of is None."""
    record: dict[str, Any] = {
        "sae": row.name, "architecture": row.architecture, "d_in": row.d_in, "width": row.width,
        "subject": row.subject, "hook": row.hook, "text": row.text, "contexts": row.contexts,
        "vectors": row.vectors.vectors, "l0": row.vectors.l0, "fvu": row.vectors.fvu,
        "explained_variance": row.vectors.explained_variance, "dead_share": row.vectors.dead_share,
    }  # fmt: skip
    for prefix, names in (("ce", _LOSSES), ("recovered", _SHARES)):
        for name in names:
            found: Interval = getattr(row.loss, name)
            column = f"{prefix}_{name}"
            record |= {column: found.value, f"{column}_low": found.low, f"{column}_high": found.high}
            record[f"{column}_note"] = found.note
    for prefix, cosines in (("cosine_own", row.own_cosines), ("cosine_other", row.cosines)):
        for name in ("mean", "above_07", "above_09"):
            record[f"{prefix}_{name}"] = None if cosines is None else getattr(cosines, name)
    return record


def _density(row: Evaluated) -> dict[str, Any]:
    histogram = density_histogram(row.vectors.density)
    return {"log10_edges": histogram.edges, "latents": histogram.counts, "silent": histogram.silent}


def _point(row: Evaluated) -> SaePoint:
    histogram = density_histogram(row.vectors.density)
    return SaePoint(
        name=row.name,
        width=row.width,
        l0=row.vectors.l0,
        fvu=row.vectors.fvu,
        against_zero=row.loss.against_zero,
        against_mean=row.loss.against_mean,
        vectors=row.vectors.vectors,
        dead_share=row.vectors.dead_share,
        edges=histogram.edges,
        counts=histogram.counts,
    )
