"""A run so small that every number of it was worked out by hand: five features, five neurons, three contexts.

Every context has four tokens and every unit is active on the first two, by 2 on its own scale. A prediction is high
(4 nats) on two tokens of a context and low (-1) on the others; it is named by how many active tokens it hits.
Pooled over the two contexts of a slice, k of the four active tokens are hit, and as many silent ones are missed:

    Pearson = (k - (4 - k)) / 4 = k / 2 - 1        AUROC = (1 + k/4 - (4 - k)/4) / 2 = k / 4

The slice top-and-random pools the contexts TOP and FIRST, random-only pools FIRST and SECOND:

    own explanation        hits in TOP FIRST SECOND     top-and-random (k, Pearson)    random-only (k, Pearson)
    feature/0                      2     2     0                   4,  1                        2,  0
    feature/1, /2, /3              2     0     0                   2,  0                        0, -1
    feature/4                      the simulation of FIRST failed: unscored in both
    every neuron                   1     2     2                   3,  0.5                      4,  1
    token table: features          1     2     2                   3,  0.5                      4,  1
    token table: neurons           2     2     1                   4,  1                        3,  0.5

With another unit's explanation every unit was tried twice; the mean of both Pearson correlations in top-and-random is

    feature/0 unscored     feature/1 0.5     feature/2 0     feature/3 1 (one was unscored)     feature/4 0.5
    neuron/0 -0.5     neuron/1, /2, /3 0     neuron/4 0.5

half of that in random-only, and AUROC is (Pearson + 1) / 2 in both. So feature/0 is scored in the own pairing alone and
feature/4 in the shuffled one alone. The features /0 and /1 and the neurons /0 and /1 are single-token units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scipy import stats

from autointerp.artifacts import write_text
from autointerp.compare.stage import compare
from autointerp.records import Kind, Scale, Split, Status
from autointerp.score.stage import score
from autointerp.study import Study
from autointerp.study_file import dump_study, parse_study
from autointerp.tables import write_table

TOP, FIRST, SECOND = 10, 11, 12
PIECES: Mapping[int, Sequence[str]] = {
    TOP: (" red", " hat", " for", " two"),
    FIRST: (" one", " dog", " ran", " off"),
    SECOND: (" the", " sea", " was", " wet"),
}
"""Four characters each."""
FEATURES = [f"feature/{number}" for number in range(5)]
NEURONS = ["neuron/0+", "neuron/1+", "neuron/2+", "neuron/3-", "neuron/4-"]
HITS = {"feature/0": (2, 2, 0), "feature/1": (2, 0, 0), "feature/2": (2, 0, 0), "feature/3": (2, 0, 0),
        "feature/4": (2, None, 2), **dict.fromkeys(NEURONS, (1, 2, 2))}  # fmt: skip
TABLE_HITS = {**dict.fromkeys(FEATURES, (1, 2, 2)), **dict.fromkeys(NEURONS, (2, 2, 1))}
SHUFFLED: Mapping[str, tuple[float | None, float | None]] = {
    "feature/0": (None, None), "feature/1": (0.25, 0.75), "feature/2": (-0.5, 0.5), "feature/3": (1.0, None),
    "feature/4": (0.5, 0.5),
    "neuron/0+": (-1.0, 0.0), "neuron/1+": (0.0, 0.0), "neuron/2+": (-0.25, 0.25), "neuron/3-": (0.5, -0.5),
    "neuron/4-": (0.5, 0.5),
}  # fmt: skip
PREDICTED = {2: [4.0, 4.0, -1.0, -1.0], 1: [4.0, -1.0, 4.0, -1.0], 0: [-1.0, -1.0, 4.0, 4.0]}
"""By how many of the two active tokens are hit."""
SINGLE = {"feature/0": 1.0, "feature/1": 1.0, "feature/2": 0.5, "feature/3": 0.6, "feature/4": 0.4,
          "neuron/0+": 1.0, "neuron/1+": 0.95, "neuron/2+": 0.2, "neuron/3-": 0.3, "neuron/4-": 0.25}  # fmt: skip
DENSITY = {**{unit: 0.01 * (place + 1) for place, unit in enumerate(FEATURES)},
           **{unit: 0.1 * (place + 1) for place, unit in enumerate(NEURONS)}}  # fmt: skip
_FAILED = {"status": Status.UNSCORED.value, "reason": "the request timed out"}
_OK = {"status": Status.OK.value, "reason": ""}


def hand_study() -> Study:
    """Intervals of 85%: the share at which every end of an interval here is one of few means, and clearly which."""
    return parse_study({
        "scrambled": {"seeds": []},
        "sae": [{"name": "sae", "train": {"width": 64}}],
        "evidence": {"held_out_top": 1, "held_out_random": 1, "random_only": 2},
        "score": {"metrics": ["pearson", "auroc"], "slices": ["top-and-random", "random-only"]},
        "simulate": {"method": "lift", "literal": False, "both_kinds": False},
        "compare": {"resamples": 4000, "confidence": 0.85, "derangements": 2},
    })  # fmt: skip


def hand_run(folder: Path) -> Path:
    """Write the tables that `score` reads, then score and compare."""
    study = hand_study()
    write_text(folder / "study.toml", dump_study(study))
    units = [*FEATURES, *NEURONS]
    write_table("contexts", folder / "contexts.parquet", [_context(context) for context in PIECES])
    excluded = [_unit(unit, True) for unit in ("feature/8", "neuron/8+", "neuron/9+")]
    write_table("units", folder / "units.parquet", [*(_unit(unit, False) for unit in units), *excluded])
    write_table("evidence", folder / "evidence.parquet", [row for unit in units for row in _evidence(unit)])
    write_table("explanations", folder / "explanations.parquet", [_explanation(unit) for unit in units])
    write_table("simulations", folder / "simulations.parquet", [
        *(row for unit in units for row in _simulations(unit, "lift", HITS[unit])),
        *(row for unit in units for row in _simulations(unit, "lookup", TABLE_HITS[unit])),
    ])  # fmt: skip
    write_table("shuffled", folder / "shuffled.parquet", [row for unit in units for row in _shuffled(unit)])
    write_table("usage", folder / "usage.parquet", [{
        "stage": "explain", "model": "builtin", "requests": 1234, "cached": 34, "attempts": 1250, "uncertain": 7,
        "input_tokens": 56_789, "cached_input_tokens": 4_321, "output_tokens": 987, "cost_usd": 1.5,
        "saved_input_tokens": 700, "saved_output_tokens": 77, "saved_usd": 0.25,
    }])  # fmt: skip
    score(study, folder)
    compare(study, folder)
    return folder


def student(mean: float, variance: float, freedom: int) -> tuple[float, float, float]:
    """A mean with the ends of its 85% interval; `variance` is that of the mean.

    7.5% of Student's t are above 4.17, 2.28, 1.92 and 1.78 for 1, 2, 3 and 4 degrees of freedom.
    """
    half = float(stats.t.ppf(0.925, freedom)) * variance**0.5
    return mean, mean - half, mean + half


def _arm(unit: str) -> str:
    return unit.partition("/")[0]


def _context(context: int) -> dict[str, Any]:
    return {"context": context, "split": Split.HELD_OUT.value, "document": context, "source": "book", "start": 0,
            "tokens": [4 * context + place for place in range(4)], "pieces": list(PIECES[context])}  # fmt: skip


def _unit(unit: str, excluded: bool) -> dict[str, Any]:
    return {
        "unit": unit, "replicate": 0, "arm": _arm(unit), "hook": "layers.5.mlp.neurons",
        "sae": "sae" if _arm(unit) == "feature" else "", "index": int(unit.rstrip("+-").partition("/")[2]),
        "sign": -1 if unit.endswith("-") else 1, "threshold": 0.0, "density": DENSITY.get(unit, 0.0),
        "max_activation": 0.0 if excluded else 2.0, "single_token": SINGLE.get(unit),
        "status": (Status.EXCLUDED if excluded else Status.OK).value, "reason": "dead" if excluded else "",
    }  # fmt: skip


def _evidence(unit: str) -> list[dict[str, Any]]:
    return [
        {"unit": unit, "replicate": 0, "context": context, "kind": kind.value, "weight": weight,
         "activations": [2.0, 2.0, 0.0, 0.0]}
        for context, kind, weight in ((TOP, Kind.TOP, 1.0), (FIRST, Kind.RANDOM, 5.0), (SECOND, Kind.RANDOM, 5.0))
    ]  # fmt: skip


def _explanation(unit: str) -> dict[str, Any]:
    return {"unit": unit, "arm": _arm(unit), "explainer": "exemplars", "replicate": 0, "text": f"what {unit} means",
            "candidates": 12 if unit in ("neuron/0+", "neuron/4-") else 10, "evidence_score": 0.5, "prompt": "",
            "request": "", **_OK}  # fmt: skip


def _simulations(unit: str, simulator: str, hits: Sequence[int | None]) -> list[dict[str, Any]]:
    return [
        {"unit": unit, "simulator": simulator, "replicate": 0, "context": context,
         "predicted": None if hit is None else PREDICTED[hit], "scale": Scale.NATS.value,
         **(_FAILED if hit is None else _OK)}
        for context, hit in zip(PIECES, hits, strict=True)
    ]  # fmt: skip


def _shuffled(unit: str) -> list[dict[str, Any]]:
    members = FEATURES if unit in FEATURES else NEURONS
    rows = []
    for derangement, pearson in enumerate(SHUFFLED[unit]):
        other = members[(members.index(unit) + 1 + derangement) % 5]
        for slice_name, share in (("top-and-random", 1.0), ("random-only", 0.5)):
            for metric in ("pearson", "auroc"):
                scaled = None if pearson is None else pearson * share
                value = scaled if scaled is None or metric == "pearson" else (scaled + 1) / 2
                rows.append({
                    "unit": unit, "explanation_of": other, "simulator": "lift", "replicate": 0,
                    "derangement": derangement, "metric": metric, "slice": slice_name, "value": value,
                    **(_FAILED if value is None else _OK),
                })  # fmt: skip
    return rows
