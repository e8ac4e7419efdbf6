"""What influence needs of a run: the subject that it trained, the text of that training, and queries about it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Int

from autointerp.artifacts import hash_file, rng_of
from autointerp.contexts.reading import context_ids
from autointerp.corpus.contexts import tokenise
from autointerp.errors import BadInput
from autointerp.influence.linear_layers import LinearLayer, linear_layers
from autointerp.influence.queries import Query, TracedUnit, completion_query, peaks, traced_unit, unit_query
from autointerp.llm.open import Mode
from autointerp.quoting import quoted
from autointerp.records import Split
from autointerp.run.resources import Resources
from autointerp.study import Study
from autointerp.study_file import study_of
from autointerp.study_inputs import SubjectTraining
from autointerp.subject.forward import Subject
from autointerp.tables import TRAIN
from autointerp.train.saes import sae_folder
from autointerp.train.subject import split_tokens

_CONTEXTS = "contexts.parquet"
_TOP = 8
"""Contexts that a unit's mean activation is measured on."""
_TRIED = 4
"""Other units are drawn so many times as often as are wanted: many are silent."""


@dataclass(frozen=True)
class TrainedRun:
    """A run that trained its subject, and has the text."""

    folder: Path
    study: Study
    recipe: SubjectTraining
    resources: Resources

    @cached_property
    def subject(self) -> Subject:
        """The subject, frozen."""
        return self.resources.subject

    @cached_property
    def layers(self) -> tuple[LinearLayer, ...]:
        """Those that have an influence here."""
        return linear_layers(self.subject.model)

    @cached_property
    def tokens(self) -> Int[np.ndarray, "sequence token"]:
        """The training sequences, in the order of the corpus."""
        return split_tokens(self.folder / TRAIN, Split.TRAIN)

    @cached_property
    def ids(self) -> Int[np.ndarray, " sequence"]:
        """Their ids in the run."""
        return context_ids(self.folder / TRAIN, Split.TRAIN)

    @cached_property
    def identity(self) -> list[str]:
        """Names weights and text."""
        return [self.subject.identity, hash_file(self.folder / TRAIN)]

    @cached_property
    def saes(self) -> list[str]:
        """Names the SAEs' weights."""
        return [hash_file(self.folder / sae_folder(sae.name)) for sae in self.study.sae]

    @cached_property
    def evidence(self) -> Int[np.ndarray, "context token"]:
        """Text that the subject wasn't trained on, on which units are read."""
        return split_tokens(self.folder / _CONTEXTS, Split.EVIDENCE)

    def completion(self, prompt: str, completion: str) -> Query:
        """A query about a text; BadInput as `completion_query`."""
        before, after = (found.tokens.tolist() for found in tokenise(self.subject.tokenizer, [prompt, completion]))
        return completion_query(self.subject, before, after, f"{quoted(prompt)} -> {quoted(completion)}")

    def unit(self, name: str) -> Query:
        """A query about a unit; BadInput for one that is unknown, or silent on the evidence split."""
        unit = traced_unit(self.study, self.subject, self.resources.encoder, name)
        made = self._about(unit)
        if made is None:
            raise BadInput(f"{name} is active in none of {len(self.evidence):,} evidence contexts", "take another unit")
        return made

    def _about(self, unit: TracedUnit) -> Query | None:
        highest = peaks(self.subject, unit, self.evidence, self.study.subject.batch)
        top = np.argsort(-highest, kind="stable")[:_TOP]
        active = top[highest[top] > 0]
        return unit_query(self.subject, unit, self.evidence[active]) if len(active) else None

    def others(self, query: Query, wanted: int, seed: int) -> list[Query]:
        """Null queries, as many as there are: of a unit others of its arm, of a text held-out texts as long."""
        if query.measurement == "activation":
            return self._other_units(query.name, wanted, seed)
        return self._other_texts(query, wanted, seed)

    def _other_units(self, name: str, wanted: int, seed: int) -> list[Query]:
        unit = traced_unit(self.study, self.subject, self.resources.encoder, name)
        count = self._count(unit)
        drawn = rng_of(seed, "other units", name).permutation(count)[: _TRIED * wanted]
        made: list[Query] = []
        for index in drawn:
            if len(made) == wanted:
                break
            other = unit.like(int(index))
            found = self._about(other) if other.index != unit.index else None
            if found is not None:
                made.append(found)
        return made

    def _count(self, unit: TracedUnit) -> int:
        if unit.encoder is None:
            return self.subject.widths[unit.hook.name]
        sae = next(sae for sae in self.study.sae if unit.arm in ("feature", f"feature:{sae.name}"))
        return self.resources.encoder(sae.name)[1]

    def _other_texts(self, query: Query, wanted: int, seed: int) -> list[Query]:
        held_out = split_tokens(self.folder / _CONTEXTS, Split.HELD_OUT)
        length = min(len(query.tokens), held_out.shape[1])
        prompt = max(length - query.completion, 0)
        rng = rng_of(seed, "other texts", query.name)
        made = []
        for row in rng.permutation(len(held_out))[:wanted]:
            begin = int(rng.integers(held_out.shape[1] - length + 1))
            tokens = held_out[row, begin : begin + length].tolist()
            made.append(completion_query(self.subject, tokens[:prompt], tokens[prompt:], f"held-out context {row}"))
        return made


def open_trained(run: Path) -> TrainedRun:
    """Open a run; BadInput where its subject's training text is not at hand."""
    study = study_of(run)
    recipe = study.subject.train
    if recipe is None:
        raise BadInput(
            f"the text that '{study.subject.model}' was trained on is not at hand",
            "influence needs a run that trains its own subject: [subject.train] in its study",
        )
    if not (run / TRAIN).is_file():
        raise BadInput(f"{run} has no training text ({TRAIN})", "run its study again: a published run leaves it out")
    return TrainedRun(run, study, recipe, Resources(study, run, Mode()))
