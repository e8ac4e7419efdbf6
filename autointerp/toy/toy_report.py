"""The report of the toy models: every figure with its interval, its n, and what the dumbest method gets beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from autointerp.artifacts import write_text
from autointerp.report.markdown import UNKNOWN, table
from autointerp.toy.experiment import ToyResults
from autointerp.toy.toy_figures import recovery_lines
from autointerp.toy.toy_tables import LINEAR, RELU, UNTRAINED_MODEL
from autointerp.toy.trying_saes import ANOTHER, FROZEN, INDEPENDENT, PRINCIPAL, RANDOM, TRAINED

REPORT = "report.md"
_KINDS = {RELU: "ReLU", LINEAR: "without ReLU", UNTRAINED_MODEL: "untrained, same norm"}


def write_toy_report(results: ToyResults, out: Path) -> Path:
    """Write `report.md`, from the tables alone."""
    write_text(out / REPORT, "\n\n".join(_parts(results)) + "\n")
    return out / REPORT


def headline(results: ToyResults) -> Iterator[tuple[str, ...]]:
    """A row per architecture: share recovered on the trained toys, then its nulls; for the terminal."""
    yield ("SAE", "recovered", "of another model", "perfect explanation", "wrong explanation")
    names: tuple[str, ...] = results.study.recovery.architectures
    for name in names:
        yield (
            name,
            cell(results.of("recovery", name, "recovered", toy=TRAINED)),
            cell(results.of("recovery", name, "recovered", toy=ANOTHER)),
            cell(results.of("recovery", name, "correlation", toy=TRAINED)),
            cell(results.of("recovery", name, "other", toy=TRAINED)),
        )
    for name in (RANDOM, FROZEN, PRINCIPAL, INDEPENDENT):
        row, score = (results.of("recovery", name, measure, toy=TRAINED) for measure in ("recovered", "correlation"))
        yield (name, cell(row), "", cell(score), cell(results.of("recovery", name, "other", toy=TRAINED)))


def cell(row: pd.Series | None) -> str:
    """`0.95 [0.90, 0.99]`; a dash where there is no number."""
    if row is None or pd.isna(row["value"]):
        return UNKNOWN
    bare = f"{row['value']:.2f}"
    return bare if pd.isna(row["low"]) else f"{bare} [{row['low']:.2f}, {row['high']:.2f}]"


def _parts(results: ToyResults) -> Iterator[str]:
    study = results.study
    r = study.recovery
    yield "# Toy models of superposition"
    yield (
        "Features that are 0 or uniform in [0, 1] pass through fewer dimensions and a ReLU: x' = ReLU(W'W x + b). The "
        "truth about them is known, so what an SAE finds can be held against it. Intervals are 95%, over models of "
        "different seeds (Student's t under ten models; where all models agree, exact bounds over features, or none)."
    )
    yield f"## {study.sweep.features} features in {study.sweep.hidden} dimensions"
    yield "![W'W and directions](figures/superposition.svg)"
    yield _sweep(results)
    yield f"## {study.plateaus.features} features of one importance in {study.plateaus.hidden} dimensions"
    yield "![Dimensions per feature](figures/plateaus.svg)"
    yield _plateaus(results)
    yield "## Two features in one dimension"
    yield "![Phases](figures/phases.svg)"
    rows = results.summary[results.summary["part"] == "phases"]
    yield table(
        ("cells that agree with theory", "share", "seeds", "cells"),
        [("training" if r_["what"] == RELU else r_["what"], cell(r_), str(r_["n"]), str(r_["features"]))
         for _, r_ in rows.iterrows()],
    )  # fmt: skip
    yield f"## SAEs on {r.features} features in {r.hidden} dimensions"
    yield "![What SAEs recover](figures/recovery.svg)"
    yield _recovery(results)
    yield (
        "*Recovered*: share of represented features whose one-to-one matched latent has a cosine of 0.9 or more. "
        "*Perfect explanation*: correlation of that latent with the true feature, which is what a simulator that knows "
        "the feature scores; what is missing to 1 is the SAE's fault, not the explanation's. *Wrong*: that with the "
        "other features. *Again*: cosine with the nearest row of the SAE of the other seed. *Of another model*: the "
        "SAE of one toy held against the features of another. *Random geometry*: SAEs on an untrained W, against its "
        "own directions: an SAE finds any sparse code, so this is no null but says what the geometry adds. Principal "
        "and independent components are at most as many as dimensions, in both orientations."
    )


def _sweep(results: ToyResults) -> str:
    rows = []
    sweep = results.features[results.features["part"] == "sweep"].drop_duplicates(["model", "density", "seed"])
    for (model, density), found in sweep.groupby(["model", "density"], sort=False):
        counts = found["geometry"].value_counts()
        rows.append((
            _KINDS[str(model)], f"{density:g}", "; ".join(f"{n} {name}" for name, n in counts.head(3).items()),
            *(cell(results.of("sweep", str(model), measure, density=float(str(density))))
              for measure in ("represented", "overlapping", "dimensions")),
            str(len(found)),
        ))  # fmt: skip
    head = ("model", "present", "geometry, seeds", "represented", "overlapping", "dimensions each", "seeds")
    return table(head, rows, left=3)


def _plateaus(results: ToyResults) -> str:
    rows = [
        (f"{p:g}", *(cell(results.of("plateaus", what, measure, density=p)) for what, measure in (
            (RELU, "represented"), (RELU, "per feature"), (RELU, "dimensions"), (UNTRAINED_MODEL, "dimensions"))))
        for p in results.study.plateaus.densities
    ]  # fmt: skip
    return table(("present", "represented", "hidden / \\|W\\|²", "dimensions each", "untrained, same norm"), rows)


def _recovery(results: ToyResults) -> str:
    measures = ("recovered", "nearest", "latents", "f1", "correlation", "other", "again")
    rows = []
    for what, toy, label in recovery_lines(results):
        found = results.of("recovery", what, "recovered", toy=toy)
        if found is not None:
            cells = (cell(results.of("recovery", what, measure, toy=toy)) for measure in measures)
            rows.append((label, *cells, f"{found['n']} toys, {found['features']}"))
    head = (
        "directions", "recovered", "nearest cosine", "latents to features", "F1", "perfect explanation", "wrong",
        "again", "n, rows",
    )  # fmt: skip
    return table(head, rows)
