"""What stages depend on, as it enters their hashes: a new key is left out where old folders had none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autointerp.artifacts import hash_file
from autointerp.llm.address import public_url
from autointerp.llm.providers import LOCAL
from autointerp.models.load import FULL
from autointerp.run.resources import Resources
from autointerp.study import Study
from autointerp.study_inputs import Factor
from autointerp.study_models import Llm


def settings_of(study: Study) -> dict[str, Any]:
    """The study as its stages depend on it: how many replicates there are is their own business."""
    dump = study.model_dump(mode="json")
    dump["compare"] = compared(study)
    later: dict[str, dict[str, Any]] = {
        "subject": {"start_token": "auto"},
        "corpus": {"pieces": 0, "pack": False},
        "explain": {"ranked_by": ""},
    }
    for section, keys in later.items():
        for key, default in keys.items():  # what older versions had no key for counts where the study says otherwise
            if dump[section][key] == default:
                del dump[section][key]
    return dump


def compared(study: Study) -> dict[str, Any]:
    """The section `compare` as what is compared within one replicate depends on it, and as it was before replicates."""
    return {**study.compare.model_dump(mode="json", exclude={"redraw", "side_by_side"}), "replicates": 1}


def seeds_of(study: Study, *factors: Factor) -> dict[str, Any]:
    """The seeds of these where they are not the run's own; nothing else, so that old folders stay up to date."""
    own = {factor: seed for factor in factors if (seed := study.seed_for(factor)) != study.seed}
    return {"seeds": own} if own else {}


def units_of(dump: dict[str, Any]) -> dict[str, Any]:
    """What the sampling of units depends on; what older versions had no key for counts where the study wants any."""
    later = ("kinds", "principal", "independent")
    return {key: value for key, value in dump["units"].items() if key not in later or value}


def llm_of(llm: Llm) -> dict[str, Any]:
    """What an answer depends on; how fast it is asked for is left out."""
    shared = llm.model_dump(mode="json", include={"provider", "model", "temperature", "max_tokens", "reasks"})
    shared |= llm.parameters | ({"thinking_tokens": llm.thinking_tokens} if llm.thinking_tokens else {})
    if llm.provider == LOCAL:
        precision = {} if llm.dtype == FULL else {"dtype": llm.dtype}
        return {**shared, **precision, "batch": llm.batch}
    return {**shared, "base_url": public_url(llm.base_url) if llm.base_url else None}


def prompts_of(resources: Resources) -> str:
    """The user's prompts."""
    return hash_file(resources.prompts) if resources.prompts else "built in"


def stream_of(study: Study) -> dict[str, Any]:
    """What the order of the training vectors depends on."""
    return study.training.model_dump(mode="json", include={"shards"} | (set() if study.training.shards else {"buffer"}))


def checkpoints_of(study: Study) -> list[str]:
    """The SAEs that are loaded from this machine."""
    paths = [Path(sae.checkpoint).expanduser() for sae in study.sae if sae.checkpoint is not None]
    return [hash_file(path) for path in paths if path.exists()]
