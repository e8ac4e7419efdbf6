"""The stage that a study with principal or independent components has besides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autointerp.run.plan import Stage
from autointerp.run.resources import Resources
from autointerp.study import Study
from autointerp.tables import TRAIN
from autointerp.train.decompositions import COMPONENTS, kinds_fitted
from autointerp.train.subject import SUBJECT
from autointerp.units.components import FOLDER


def decomposing(study: Study, settings: dict[str, Any], resources: Resources, run: Path) -> list[Stage]:
    """The stage that fits them; none where there are none. `settings`: of reading the subject in general.

    How many principal components are sampled changes nothing here: all are fitted.
    """
    if not kinds_fitted(study):
        return []
    wanted = {"principal": study.units.principal > 0, "independent": study.units.independent}
    return [
        Stage(
            "decompose",
            reads=(TRAIN, *((SUBJECT,) if study.subject.train else ())),
            settings={**wanted, **settings},
            writes=(COMPONENTS, FOLDER),
            bulk=(FOLDER,),
            work=lambda: _decompose(resources, run),
        )
    ]


def _decompose(resources: Resources, run: Path) -> None:
    from autointerp.train.decompositions import decompose

    decompose(resources.study, resources.subject, run)
