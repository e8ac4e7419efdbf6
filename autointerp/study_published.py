"""What a study may leave to SAELens' registry: where a published SAE reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autointerp.study_inputs import Sae
from sae.errors import SaeError
from sae.published.registry import PREFIX, published

_HOOK = str(Sae.model_fields["hook"].default)


def with_registered_hooks(raw: dict[str, Any]) -> dict[str, Any]:
    """A study as it was written, with the hook of every `[[sae]]` that has a name of the registry and no hook.

    `subject.hooks` are then those of the SAEs, unless the study has any. ValueError for a name that is unknown, or of
    whose hook the registry says nothing.
    """
    given = raw.get("sae")
    if not isinstance(given, list | tuple) or not all(isinstance(sae, dict) for sae in given):
        return raw
    found = [{} if "hook" in sae else _registered_hook(sae) for sae in given]
    if not any(found):
        return raw
    saes = [{**sae, **hook} for sae, hook in zip(given, found, strict=True)]
    subject = raw.get("subject", {})
    if isinstance(subject, dict) and "hooks" not in subject:
        subject = {**subject, "hooks": list(dict.fromkeys(sae.get("hook", _HOOK) for sae in saes))}
    return {**raw, "sae": saes, "subject": subject}


def _registered_hook(sae: Mapping[str, Any]) -> dict[str, str]:
    """As the key `hook`; nothing for a checkpoint without a name of the registry."""
    checkpoint = sae.get("checkpoint")
    if not isinstance(checkpoint, str) or not checkpoint.startswith(PREFIX):
        return {}
    try:
        known = published(checkpoint)
    except SaeError as error:
        raise ValueError(str(error)) from error
    if known.hook is None:
        raise ValueError(f"sae.checkpoint = '{checkpoint}': the registry does not say where it reads: set sae.hook")
    return {"hook": known.hook}
