"""What differs between the studies of two runs, and to which part of a run each difference belongs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from autointerp.artifacts import canonical_json
from autointerp.between_runs.sides import Side
from autointerp.errors import BadInput
from autointerp.llm.address import public_url
from autointerp.llm.capabilities import Needs
from autointerp.simulate.registry import needs_of
from autointerp.study import Study


class RunPart(StrEnum):
    """A part of a run that a difference may be put down to."""

    TEXT = "the text"
    SUBJECT = "the subject"
    SAE = "the SAE or its hook"
    UNITS = "the units"
    EVIDENCE = "the evidence"
    EXPLAINER = "the explainer"
    SIMULATOR = "the simulator"
    SEEDS = "the seeds"
    NONE = ""
    """How it was carried out, judged or compared: no explanation and no score depends on it."""


@dataclass(frozen=True)
class Difference:
    """A key that two studies have different values of."""

    key: str
    base: str
    """Value in the first run, in one line; `-` where it has none."""
    other: str
    parts: tuple[RunPart, ...]
    """To what it belongs."""


_SECTIONS: Mapping[str, RunPart] = {
    "corpus": RunPart.TEXT,
    "subject": RunPart.SUBJECT,
    "subject.hooks": RunPart.SAE,
    "sae": RunPart.SAE,
    "training": RunPart.SAE,
    "units": RunPart.UNITS,
    "evidence": RunPart.EVIDENCE,
    "explain": RunPart.EXPLAINER,
    "simulate": RunPart.SIMULATOR,
    "sentences": RunPart.SIMULATOR,
    "seed": RunPart.SEEDS,
    "seeds": RunPart.SEEDS,
    **dict.fromkeys(
        (
            "subject.device", "subject.batch", "training.minutes", "training.log", "training.log_every",
            "simulate.lookup", "simulate.literal", "simulate.both_kinds", "explain.llm", "simulate.llm",
            "compare.side_by_side",
        ),
        RunPart.NONE,
    ),
}  # fmt: skip
"""Keys and sections -> their part; the longest that fits counts, and what none fits has no part.

Which [llm.NAME] a section names is no part: the keys of the models themselves are compared, role by role.
"""
_SENT = (
    "provider", "model", "base_url", "dtype", "thinking_tokens", "top_p", "reasoning_effort", "extra_body", "headers",
)  # fmt: skip
_ASKED = {
    RunPart.EXPLAINER: ("temperature", "max_tokens", "reasks", *_SENT),
    RunPart.SIMULATOR: _SENT,
}
"""Keys of a language model that its answers depend on; simulators ask at temperature 0."""
_LONGEST = 60


def differing(base: Side, other: Side) -> list[Difference]:
    """Every key of the studies with different values, and what differs under equal keys: weights that were trained."""
    return [*of_studies(base.study, other.study), *_of_weights(base, other)]


def parts_of(differences: Sequence[Difference]) -> list[RunPart]:
    """The parts that differ, each once, in the order in which data flows."""
    found = {part for difference in differences for part in difference.parts}
    return [part for part in RunPart if part in found and part is not RunPart.NONE]


def simulators_differ(differences: Sequence[Difference]) -> list[Difference]:
    """Those keys on which the scale and the meaning of a prediction depend."""
    return [one for one in differences if RunPart.SIMULATOR in one.parts]


def of_studies(base: Study, other: Study) -> Iterator[Difference]:
    """Every key of two studies with different values; of language models those that are asked."""
    first, second = (dict(_keys(_comparable(study))) for study in (base, other))
    for key in dict.fromkeys([*first, *second]):
        values = first.get(key), second.get(key)
        if values[0] != values[1]:
            yield Difference(key, _shown(values[0]), _shown(values[1]), _belongs(key))


def _comparable(study: Study) -> dict[str, Any]:
    """The study with its language models by role; a model that nobody asks is left out."""
    dump: dict[str, Any] = study.model_dump(mode="json")
    llms = dump.pop("llm")
    for name, llm in llms.items():
        llm["base_url"] = public_url(study.llm[name].base_url or "") if llm.get("base_url") else None
    dump["explainer"] = llms[study.explain.llm]
    needs = _needs_of(study.simulate.method)
    dump["simulator"] = llms[study.simulate.llm] if needs.language_model else {}
    if not needs.sentences and not study.evidence.hard_negatives:
        del dump["sentences"]
    dump["sae"] = {sae["name"]: sae for sae in dump["sae"]}
    return dump


def _needs_of(simulator: str) -> Needs:
    """Of one whose package is gone everything counts: a finished run is read whatever has become of its methods."""
    try:
        return needs_of(simulator)
    except BadInput:
        return Needs()


def _keys(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value below `value` that is no table, with its dotted path."""
    if isinstance(value, Mapping):
        for key, below in value.items():
            yield from _keys(below, f"{path}.{key}" if path else key)
    elif value is not None:
        yield path, value


def _belongs(key: str) -> tuple[RunPart, ...]:
    section, _, name = key.partition(".")
    if section in ("explainer", "simulator"):
        part = RunPart.EXPLAINER if section == "explainer" else RunPart.SIMULATOR
        return (part,) if name in _ASKED[part] else (RunPart.NONE,)
    if key == "prompts_folder":
        return RunPart.EXPLAINER, RunPart.SIMULATOR
    fits = [known for known in _SECTIONS if key == known or key.startswith(f"{known}.")]
    return (_SECTIONS[max(fits, key=len)],) if fits else (RunPart.NONE,)


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    text = value if isinstance(value, str) else canonical_json(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}\u2026"


def _of_weights(base: Side, other: Side) -> Iterator[Difference]:
    names = [sae.name for sae in base.study.sae if sae.name in {one.name for one in other.study.sae}]
    for name in names:
        first, second = base.sae(name), other.sae(name)
        if first and second and first != second:
            yield Difference(f"weights of SAE '{name}'", first[:12], second[:12], (RunPart.SAE,))
    if base.trained_subject != other.trained_subject and base.trained_subject and other.trained_subject:
        shown = base.trained_subject[:12], other.trained_subject[:12]
        yield Difference("weights of the trained subject", *shown, (RunPart.SUBJECT,))
