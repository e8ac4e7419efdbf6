"""The stages that train a run's SAEs and measure how good they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autointerp.run.hashed import checkpoints_of
from autointerp.run.plan import Stage
from autointerp.run.resources import Resources
from autointerp.study import Study
from autointerp.tables import TRAIN
from autointerp.train.quality import QUALITY, measure_saes
from autointerp.train.saes import make_saes, saes_as_hashed
from autointerp.train.subject import SUBJECT


def training(
    study: Study, dump: dict[str, Any], settings: dict[str, Any], saes: tuple[str, ...], resources: Resources, run: Path
) -> list[Stage]:
    """Both; without an SAE nothing is measured. `settings`: what training depends on besides the SAEs' own.

    Measuring is a stage of its own, so that a folder of before does not train its SAEs again for it.
    """
    subject = (SUBJECT,) if study.subject.train else ()
    trained = (TRAIN,) if any(sae.train for sae in study.sae) else ()
    train = Stage(
        "train",
        reads=trained + subject,
        settings={**saes_as_hashed(dump), "checkpoints": checkpoints_of(study), **settings},
        writes=saes,
        bulk=saes,
        work=lambda: make_saes(study, resources.subject, resources.subject.identity, run),
    )
    quality = Stage(
        "quality",
        reads=("contexts.parquet", *trained, *saes, *subject),
        settings={"sae": [(sae.name, sae.hook, sae.train and sae.train.passes) for sae in study.sae], **settings},
        writes=(QUALITY,),
        bulk=(),
        work=lambda: measure_saes(study, resources.subject, run),
    )
    return [train, quality] if study.sae else [train]
