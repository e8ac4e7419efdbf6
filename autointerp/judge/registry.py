"""Judges by name: the built-in ones, and those that other packages register."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import cast

from autointerp.errors import BadInput, nearest
from autointerp.judge.base import Judge, Settings
from autointerp.judge.detection import Detection
from autointerp.llm.capabilities import Capabilities
from autointerp.study import Study

GROUP = "autointerp.judges"
"""The entry-point group in which other packages register theirs: anything that makes a Judge of Settings."""

BUILT_IN: Mapping[str, Callable[[Settings], Judge]] = {Detection.name: Detection}
"""Name in the study -> what makes it. No package can take the place of these."""


def open_judge(name: str, settings: Settings) -> Judge:
    """Make the judge of that name; BadInput when there is none, or when it can't be imported."""
    if name in BUILT_IN:
        return BUILT_IN[name](settings)
    registered = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name not in registered:
        raise BadInput(f"no judge '{name}'", nearest(name, [*BUILT_IN, *registered]))
    try:
        make = cast(Callable[[Settings], Judge], registered[name].load())
    except (ImportError, AttributeError) as error:
        raise BadInput(f"judge '{name}' can't be imported ({error})", "mend or remove the package") from error
    return make(settings)


def open_judges(study: Study, capabilities: Capabilities | None) -> list[Judge]:
    """The study's judges, each with its prompt and the model `judge.llm`, of which `capabilities` are known."""
    wanted = study.judge
    if not wanted.methods:
        return []
    folder = Path(study.prompts_folder).expanduser() if study.prompts_folder is not None else None
    llm = study.llm[wanted.llm]
    return [
        open_judge(name, Settings(llm, wanted.examples, study.seed, wanted.prompts.get(name), folder, capabilities))
        for name in wanted.methods
    ]


def check_judges(study: Study) -> None:
    """Raise BadInput, before anything runs, for an unknown judge, one named twice, or a missing model or prompt."""
    wanted = study.judge
    if wanted.methods and wanted.llm not in study.llm:
        raise BadInput(f"judge.llm '{wanted.llm}' is not configured", nearest(wanted.llm, study.llm))
    if len(set(wanted.methods)) < len(wanted.methods):
        raise BadInput(f"judge.methods = {list(wanted.methods)}", "name no judge twice")
    for name in wanted.prompts:
        if name not in wanted.methods:
            raise BadInput(
                f"judge.prompts has a prompt for '{name}', which is not asked", nearest(name, wanted.methods)
            )
    open_judges(study, None)
