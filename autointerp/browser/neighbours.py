"""The tables about units beside others, made once for a run whose SAEs and subject are at hand."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from autointerp.artifacts import hash_file, hash_value
from autointerp.collect.relations import HISTOGRAMS, RELATIONS, SURVEY
from autointerp.errors import BadInput
from autointerp.progress import say
from autointerp.run.manifest import IMPORT, StageEntry, read_manifest, versions, write_manifest
from autointerp.run.scrambled import reader_of
from autointerp.study import Study
from autointerp.train.saes import sae_folder

_STAGE = "relate"
_VERSION = 1
_TABLES = (SURVEY, HISTOGRAMS, RELATIONS)


def inputs_of(entries: Mapping[str, StageEntry]) -> str:
    """Hash of what the tables are made from; '' in a folder whose units were not drawn here."""
    if "collect" not in entries or "explain" not in entries:
        return ""
    return hash_value([_STAGE, _VERSION, dict(entries["collect"].outputs), dict(entries["explain"].outputs)])


def neighbours(run: Path, study: Study, *, compute: bool = True) -> str:
    """See to it that the tables are there and current; '' or, in words, why they are not: then they are not to be read.

    A published run may hold them without the SAEs that they were made from. Without `compute` nothing is loaded.
    """
    entries = read_manifest(run)
    inputs, there = inputs_of(entries), entries.get(_STAGE)
    if inputs and there is not None and there.inputs == inputs and all((run / name).is_file() for name in _TABLES):
        return ""
    if IMPORT in entries:
        return "the units are published ones, whose model and SAE are not here"
    missing = [sae.name for sae in study.sae if not (run / sae_folder(sae.name)).is_dir()]
    if missing:
        return f"this folder does not hold the SAE '{missing[0]}', whose other latents would have to be read"
    if not compute:
        return "not computed: the pages were made from the tables alone"
    if not inputs:
        return "the run is not finished"
    try:
        _relate(run, study)
    except BadInput as error:
        return str(error)
    outputs = {name: hash_file(run / name) for name in _TABLES}
    facts = {"finished": datetime.now(UTC).isoformat(timespec="seconds"), "versions": versions()}
    entries[_STAGE] = StageEntry(inputs, outputs, (), facts)
    write_manifest(run, entries)
    return ""


def _relate(run: Path, study: Study) -> None:
    from autointerp.collect.relations import relate
    from autointerp.llm.open import Mode
    from autointerp.run.resources import Resources

    resources = Resources(study, run, Mode(False, None))
    say("reading how units stand to each other ...")
    try:
        relate(study, reader_of(resources), resources.encoders(), run)
    finally:
        resources.close()
