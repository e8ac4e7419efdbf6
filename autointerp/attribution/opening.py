"""What is opened to be attributed: a model, and one SAE of it; a run folder has both, and explanations besides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from autointerp.errors import BadInput, nearest
from autointerp.hook_names import short_name
from autointerp.llm.open import Mode
from autointerp.models import LoadedModel, load_model
from autointerp.records import Status
from autointerp.run.resources import Resources
from autointerp.study_file import RUN_STUDY, study_of
from autointerp.tables import read_arrow
from sae.base import SparseAutoencoder
from sae.checkpoint import load, read_metadata
from sae.errors import SaeError


@dataclass(frozen=True)
class SaeAtHook:
    """An SAE, and where it reads."""

    name: str
    hook: str
    sae: SparseAutoencoder
    explanations: Mapping[int, str] = field(default_factory=dict)
    """Latent -> the run's explanation, of those that it drew."""


@dataclass(frozen=True)
class OpenedModel:
    """A model, and the SAE whose latents are attributed, if there is one."""

    loaded: LoadedModel
    sae: SaeAtHook | None = None


def open_model(
    model: str, *, sae: str | None = None, hook: str | None = None, device: str = "auto", dtype: str = "float32"
) -> OpenedModel:
    """`model`: what `load_model` takes, or a run folder, whose subject it is.

    `sae`: of a run the name of one of its SAEs (its only one, where none is named); else a checkpoint, with its `hook`
    where its files do not say it. Raises BadInput for what is not there, and for an SAE without a hook.
    """
    folder = Path(model)
    if (folder / RUN_STUDY).is_file():
        return _of_run(folder, sae, hook, device, dtype)
    loaded = load_model(model, device=device, dtype=dtype)
    if sae is None:
        if hook is not None:
            raise BadInput(f"--hook {hook} without an SAE", "name its checkpoint with --sae")
        return OpenedModel(loaded)
    try:
        where = hook or read_metadata(sae).get("hook_name")
        opened = load(sae).to(loaded.device)
    except SaeError as error:
        raise BadInput(error.what, error.remedy) from error
    if not where:
        raise BadInput(f"'{sae}' does not say at which hook it reads", "name it with --hook")
    return OpenedModel(loaded, SaeAtHook(sae, short_name(str(where)), opened))


def _of_run(run: Path, sae: str | None, hook: str | None, device: str, dtype: str) -> OpenedModel:
    study = study_of(run)
    subject = study.subject.model_copy(update={"device": device, "dtype": dtype})
    resources = Resources(study.model_copy(update={"subject": subject}), run, Mode())
    loaded = resources.subject.loaded
    if hook is not None:
        raise BadInput(f"--hook {hook} of a run", "leave it out: the run knows where its SAEs read")
    known = {each.name: each.hook for each in study.sae}
    if sae is None:
        here = [name for name in known if resources.encoder_files()[name].exists()]
        sae = here[0] if len(here) == 1 else None
    if sae is None:
        return OpenedModel(loaded)
    if sae not in known:
        raise BadInput(f"the study of {run} has no SAE '{sae}'", nearest(sae, known))
    opened, _ = resources.encoder(sae)
    if not isinstance(opened, SparseAutoencoder):
        raise BadInput(f"'{sae}' of {run} is no SAE", "name another")
    return OpenedModel(loaded, SaeAtHook(sae, known[sae], opened, _explanations(run, sae)))


def _explanations(run: Path, sae: str) -> dict[int, str]:
    """Latent -> explanation of the run's features of this SAE; none of a run that is not finished."""
    units, texts = run / "units.parquet", run / "explanations.parquet"
    if not (units.is_file() and texts.is_file()):
        return {}
    rows = read_arrow(units, ["unit", "sae", "index", "subject"]).to_pylist()
    told = {row["unit"]: row["text"] for row in read_arrow(texts).to_pylist() if row["status"] == Status.OK.value}
    return {
        int(row["index"]): told[row["unit"]]
        for row in rows
        if row["sae"] == sae and row["unit"] in told and not row["subject"]
    }
