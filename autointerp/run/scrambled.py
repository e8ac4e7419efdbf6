"""The stages that a study with scrambled subjects has besides: an SAE training for each, and the comparison."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from autointerp.collect.passes import Reader
from autointerp.compare.measures import MEASURES
from autointerp.run.hashed import compared
from autointerp.run.plan import Stage
from autointerp.run.resources import Resources
from autointerp.study import Study
from autointerp.subject.scrambling import WithScrambled
from autointerp.tables import TRAIN
from autointerp.train.saes import make_scrambled_saes, sae_folder, saes_as_hashed
from autointerp.train.subject import SUBJECT
from autointerp.units.scrambled import saes_of


def folders(study: Study) -> tuple[str, ...]:
    """Where the SAEs of all scrambled subjects are, by path in the run folder."""
    return tuple(str(sae_folder(name)) for each in study.scrambled_subjects for name in saes_of(study, each.name))


def wanted(study: Study) -> dict[str, Any]:
    """What collecting depends on besides; nothing where there are none, so that old folders stay up to date."""
    dump = study.scrambled.model_dump(mode="json", exclude={"derangements"})
    return {"scrambled": dump} if study.scrambled_subjects else {}


def paired(study: Study) -> dict[str, Any]:
    """What simulating depends on besides."""
    return {"scrambled": study.scrambled.derangements} if study.scrambled_subjects else {}


def training(study: Study, settings: dict[str, Any], resources: Resources, run: Path) -> list[Stage]:
    """A stage per scrambled subject, which an interrupted run does not repeat. `settings`: of training in general."""
    found = []
    recipes = [sae for sae in saes_as_hashed(study.model_dump(mode="json"))["sae"] if sae["train"]]
    for each in study.scrambled_subjects:
        own = tuple(str(sae_folder(name)) for name in saes_of(study, each.name))
        found.append(
            Stage(
                f"train {each.name}",
                reads=(TRAIN, *((SUBJECT,) if study.subject.train else ())),
                settings={"sae": recipes, "scrambled": each.name, **settings},
                writes=own,
                bulk=own,
                work=partial(_train, resources, each.name, run),
            )
        )
    return found


def comparing(study: Study, run: Path) -> list[Stage]:
    """The stage that holds the subject's own units against the others'."""
    if not study.scrambled_subjects:
        return []
    return [
        Stage(
            "scrambled",
            reads=("scores.parquet", "units.parquet", "evidence.parquet", "contexts.parquet", *folders(study)),
            settings={"compare": compared(study), **wanted(study)},
            writes=("scrambled.parquet", MEASURES),
            bulk=(),
            work=partial(_hold, study, run),
        )
    ]


def reader_of(resources: Resources) -> Reader:
    """The subject, and the scrambled ones beside it."""
    scrambled = resources.scrambled
    return WithScrambled(resources.subject, scrambled) if scrambled else resources.subject


def _train(resources: Resources, name: str, run: Path) -> None:
    make_scrambled_saes(resources.study, resources.scrambled[name], name, run)


def _hold(study: Study, run: Path) -> None:
    from autointerp.compare.measures import measure_all
    from autointerp.compare.scrambled import hold_against_scrambled

    hold_against_scrambled(study, run)
    measure_all(study, run)
