"""The toy experiment: what is trained, in which order, and where its results lie; finished ones are not made again."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from pydantic import ValidationError

from autointerp.artifacts import read_json, seed_of, write_json, write_text
from autointerp.errors import BadInput
from autointerp.progress import bar, say
from autointerp.tables import read_table, write_table
from autointerp.toy.phases import phase_rows, phase_specs
from autointerp.toy.toy_models import ToyModels, ToySpec, train_toys, untrained_like
from autointerp.toy.toy_study import ToyStudy, dump_toy_study
from autointerp.toy.toy_tables import feature_rows, model_summaries, phase_summaries, recovery_summaries
from autointerp.toy.trying_saes import trainings, try_saes
from autointerp.toy_rows import ToyFeatureRow, ToyPhaseRow
from sae.errors import SaeError

STUDY, DONE = "study.toml", "toy.json"
TABLES = ("toy", "toy_features", "toy_phases", "toy_recovery")


@dataclass(frozen=True)
class ToyResults:
    """A finished folder, read back."""

    study: ToyStudy
    summary: pd.DataFrame
    features: pd.DataFrame
    phases: pd.DataFrame
    recovery: pd.DataFrame

    def of(
        self, part: str, what: str, measure: str, *, toy: str = "", density: float | None = None
    ) -> pd.Series | None:
        """The row of `toy` with this figure; None where there is none."""
        table = self.summary
        hit = (table["part"] == part) & (table["what"] == what) & (table["measure"] == measure) & (table["toy"] == toy)
        found = table[hit if density is None else hit & (table["density"] == density)]
        return None if found.empty else found.iloc[0]


def carry_out(study: ToyStudy, out: Path) -> ToyResults:
    """Train, measure, write the tables, and read them back. A folder that is finished with this study is only read."""
    if (out / DONE).exists() and read_json(out / DONE).get("study") == study.identity:
        say(f"  {out} is up to date: nothing is trained")
        return read_results(out)
    (out / DONE).unlink(missing_ok=True)
    write_text(out / STUDY, dump_toy_study(study))
    features, phases = _geometry(study)
    s = study.recovery
    specs = [ToySpec(s.density, (1.0,) * s.features, number) for number in range(s.toys)]
    toys = _train(specs, s.hidden, s.steps, s.batch, study.seed, "recovery")
    untrained = untrained_like(toys, seed_of(study.seed, "toy", "untrained"))
    features += [*feature_rows("recovery", toys), *feature_rows("recovery", untrained, untrained=True)]
    try:
        with bar("SAEs on toy models", trainings(s), "SAEs") as progress:
            rows, figures = try_saes(s, toys, untrained, study.seed, progress)
    except SaeError as error:
        raise BadInput(error.what, error.remedy) from error
    write_table("toy_features", out / "toy_features.parquet", features)
    write_table("toy_phases", out / "toy_phases.parquet", phases)
    write_table("toy_recovery", out / "toy_recovery.parquet", rows)
    summary = [
        *model_summaries(pd.DataFrame([vars(row) for row in features])),
        *phase_summaries(pd.DataFrame([vars(row) for row in phases])),
        *recovery_summaries(pd.DataFrame([vars(row) for row in rows]), figures),
    ]
    write_table("toy", out / "toy.parquet", summary)
    write_json(out / DONE, {"study": study.identity})
    return read_results(out)


def _geometry(study: ToyStudy) -> tuple[list[ToyFeatureRow], list[ToyPhaseRow]]:
    """The rows of the models that are looked at without an SAE."""
    a, b, c = study.sweep, study.plateaus, study.phases
    importance = tuple(a.decay**place for place in range(a.features))
    sweep = [ToySpec(p, importance, n, linear) for linear in (False, True) for p in a.densities for n in range(a.seeds)]
    many = [ToySpec(p, (1.0,) * b.features, number) for p in b.densities for number in range(b.seeds)]
    rows: list[ToyFeatureRow] = []
    for part, made in (
        ("sweep", _train(sweep, a.hidden, a.steps, a.batch, study.seed, "sweep")),
        ("plateaus", _train(many, b.hidden, b.steps, b.batch, study.seed, "plateaus")),
    ):
        rows += feature_rows(part, made)
        relu = [place for place, spec in enumerate(made.specs) if not spec.linear]
        kept = ToyModels(
            tuple(made.specs[place] for place in relu), made.weights[relu], made.bias[relu], made.loss[relu]
        )
        rows += feature_rows(part, untrained_like(kept, seed_of(study.seed, "toy", "untrained", part)), untrained=True)
    pairs = _train(phase_specs(c.densities, c.ratios, c.seeds), 1, c.steps, c.batch, study.seed, "phases")
    return rows, phase_rows(pairs)


def _train(specs: Sequence[ToySpec], hidden: int, steps: int, batch: int, seed: int, part: str) -> ToyModels:
    with bar(f"toy models: {part}", steps, "steps") as progress:
        return train_toys(specs, hidden, steps=steps, batch=batch, seed=seed_of(seed, "toy", part), progress=progress)


def read_results(out: Path) -> ToyResults:
    """Read a finished folder; BadInput where it is none."""
    if not (out / DONE).exists():
        raise BadInput(f"{out} holds no finished toy models", "make them: autointerp toy [STUDY] --out FOLDER")
    try:
        study = ToyStudy.model_validate(tomllib.loads((out / STUDY).read_text("utf8")))
    except (OSError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise BadInput(f"{out / STUDY} can't be read", "remove the folder and make it again") from error
    return ToyResults(study, *(read_table(out / f"{name}.parquet") for name in TABLES))
