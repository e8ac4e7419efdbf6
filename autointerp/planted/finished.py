"""What finished methods leave in the work folder: a file each, under a key of all that it depends on but the code."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from autointerp import __version__
from autointerp.artifacts import hash_file, hash_value, read_json, write_json
from autointerp.benchmark_rows import PlantedScore, RecoveryRow
from autointerp.llm.open import identity_of
from autointerp.planted.methods import Method
from autointerp.planted.pairings import PlantedPairing, Portion
from autointerp.planted.statistics import DEVELOPMENT, TEST, Cost
from autointerp.planted.units import PlantedUnit
from autointerp.prompting import built_in_folder, user_folder
from autointerp.records import Status, Unscored
from autointerp.study import Study
from autointerp.study_models import Llm

_FOLDER = "methods"
_DEPENDS = ("provider", "model", "temperature", "max_tokens", "reasks")
"""What an answer depends on, in a study's section of a language model."""


@dataclass(frozen=True)
class Measured:
    """A method's scores, and what they cost."""

    method: str
    portion: Portion
    """Of what was planted: what it was given."""
    scores: tuple[float | Unscored, ...]
    """Per pairing of the portion, in their order."""
    cost: Cost

    def rows(self, pairings: Sequence[PlantedPairing]) -> Iterator[PlantedScore]:
        """Rows of `scores.parquet`."""
        for pairing, score in zip(pairings, self.scores, strict=True):
            failed = isinstance(score, Unscored)
            yield PlantedScore(
                method=self.method,
                unit=pairing.unit.unit,
                kind=pairing.unit.kind,
                half=TEST if pairing.unit.test else DEVELOPMENT,
                graded=pairing.unit.graded,
                density=pairing.unit.density,
                explanation=pairing.explanation,
                form=pairing.form,
                foil=pairing.foil_unit,
                text=pairing.text,
                value=None if isinstance(score, Unscored) else score,
                status=str(Status.UNSCORED if failed else Status.OK),
                reason=score.reason if isinstance(score, Unscored) else "",
            )


class Store:
    """The finished methods of one study on planted units, each on all of them or on some."""

    def __init__(self, study: Study, units: Sequence[PlantedUnit], work: Path) -> None:
        """`units`: all that were planted."""
        self._study, self._units, self._folder = study, units, work / _FOLDER
        self._digests = {unit.unit: _unit_key(unit) for unit in units}
        self._shared = [
            __version__,
            [hash_file(place) for place in (built_in_folder(), user_folder(study.prompts_folder)) if place is not None],
        ]

    def find(self, method: Method, portion: Portion | None = None) -> Measured | None:
        """What was kept of a method on this portion, or (None) on whichever; None when it has to be run."""
        kept, own = self._kept(self._path(method))
        if own is None or portion not in (None, own) or kept["key"] != self._key(method, own):
            return None
        scores = tuple(Unscored(score) if isinstance(score, str) else float(score) for score in kept["scores"])
        return Measured(method.name, own, scores, Cost(**kept["cost"]))

    def keep(self, method: Method, found: Measured) -> None:
        """Keep a method's scores, whole or not at all; a failure is kept as its reason."""
        scores = [score.reason if isinstance(score, Unscored) else score for score in found.scores]
        facts = {
            "key": self._key(method, found.portion),
            "portion": asdict(found.portion),
            "cost": asdict(found.cost),
        }
        write_json(self._path(method), {**facts, "scores": scores})

    def find_recovery(self, method: Method, portion: Portion | None = None) -> list[RecoveryRow] | None:
        """What was kept of the explainer's end, with this simulator as ranker; None when there is nothing."""
        kept, own = self._kept(self._path(method, "recovery"))
        if own is None or portion not in (None, own) or kept["key"] != self._key(method, own):
            return None
        return [RecoveryRow(**row) for row in kept["rows"]]

    def keep_recovery(self, method: Method, portion: Portion, rows: Sequence[RecoveryRow]) -> None:
        """Keep it, whole or not at all."""
        facts = {
            "key": self._key(method, portion),
            "portion": asdict(portion),
            "rows": [asdict(row) for row in rows],
        }
        write_json(self._path(method, "recovery"), facts)

    def _path(self, method: Method, folder: str = "") -> Path:
        return self._folder / folder / f"{method.name}.json"

    @staticmethod
    def _kept(path: Path) -> tuple[dict[str, Any], Portion | None]:
        """What a file holds, and the portion that it is of; None where it is not there, or of an older version."""
        kept = read_json(path) if path.is_file() else {}
        found: dict[str, Any] | None = kept.get("portion")
        if found is None:
            return kept, None
        found = {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}
        return kept, Portion(**found)

    def _key(self, method: Method, portion: Portion) -> str:
        own, name = method.study_for(self._study), method.llm_of(self._study)
        llm = None if name is None else _as_asked(own.llm[name])
        settings = {
            "method": [str(method.form), method.registered],
            "seed": own.seed,
            "llm": [llm, None if name is None else identity_of(own.llm[name])],
            "simulate": own.simulate.model_dump(mode="json"),
            "judge": own.judge.model_dump(mode="json"),
            "sentences": own.sentences.model,
        }
        return hash_value([settings, self._shared, [self._digests[u.unit] for u in portion.of(self._units)]])


def _as_asked(llm: Llm) -> dict[str, Any]:
    """Room for thinking counts where there is any: older measurements were without."""
    room = {"thinking_tokens": llm.thinking_tokens} if llm.thinking_tokens else {}
    return {**llm.model_dump(mode="json", include=set(_DEPENDS)), **room}


def _unit_key(unit: PlantedUnit) -> str:
    """Hash of everything that a method may be shown of a unit, or scored by."""
    held_out = [[held.context.text, held.activations.tolist(), held.random] for held in unit.held_out]
    contexts, activations = zip(*unit.evidence, strict=True)
    evidence = [_digest([context.tokens for context in contexts]), _digest(activations)]
    foils = [[foil.unit, foil.text, foil.word_list] for foil in unit.foils]
    facts = [unit.unit, unit.kind, unit.test, dict(unit.explanations), unit.held.contexts.tolist()]
    facts += [dict(unit.lists), foils]
    return hash_value([facts, held_out, evidence])


def _digest(rows: Sequence[np.ndarray]) -> str:
    return hashlib.sha256(np.stack(rows).tobytes()).hexdigest()
