"""The activations of a run's units on a text that a reader typed, read as the run read them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from autointerp.browser.lending import LentResources, check_activations
from autointerp.collect.passes import Reader
from autointerp.collect.stage import prepare
from autointerp.corpus.contexts import tokenise, window
from autointerp.errors import BadInput
from autointerp.records import Unit
from autointerp.subject.forward import Subject
from autointerp.subject.scrambling import WithScrambled, scramble
from autointerp.units.interface import SPARSE, Activations, Encoder, Prepared, Readout, kind_of
from autointerp.units.registry import as_thresholded, open_kind
from autointerp.units.scrambled import subject_of

MOST_TOKENS = 4096
"""Of a typed text, where the subject reads more."""


@dataclass(frozen=True)
class ReadText:
    """A typed text, as a unit sees it."""

    pieces: tuple[str, ...]
    """Its tokens' texts; joined they are the text."""
    activations: Float[np.ndarray, " token"]
    """True ones, in the unit's own scale, never below 0."""


class TypedTexts:
    """Reads typed texts. What was loaded or prepared for one text is kept for the next."""

    def __init__(self, resources: LentResources) -> None:
        self._resources = resources
        self._encoders = _Encoders(resources)
        self._readers: dict[str, Reader] = {}
        self._readouts: dict[str, Readout] = {}

    def read(self, unit: Unit, text: str) -> ReadText:
        """The unit's activation on every token of `text`: hook, start token, sign and threshold as in the run.

        BadInput for a text without tokens or with more than the subject reads, and for a unit that can't be read here.
        """
        check_activations(self._resources, unit.arm)
        subject = self._resources.subject
        (tokenised,) = tokenise(subject.tokenizer, [text])
        count, most = len(tokenised.tokens), most_tokens(subject)
        if not 0 < count <= most:
            raise BadInput(f"the text has {count:,} tokens, and 1 to {most:,} can be read", "type another")
        cut = window(text, tokenised, 0, count)
        tokens = cut.tokens[None].astype(np.int64)
        reader = self._reader(unit.arm)
        readout = self._readout(unit, reader)
        by_hook = reader.activations(tokens)
        values = readout.read(Activations(by_hook, torch.tensor([-1]), torch.from_numpy(tokens)))
        return ReadText(cut.pieces, values[0, :, 0].float().cpu().numpy())

    def _reader(self, arm: str) -> Reader:
        """The subject, with the scrambled one that the arm is of beside it."""
        name = subject_of(arm)
        if name not in self._readers:
            subject = self._resources.subject
            wanted = {each.name: each for each in self._resources.study.scrambled_subjects}
            self._readers[name] = WithScrambled(subject, {name: scramble(subject, wanted[name])}) if name else subject
        return self._readers[name]

    def _readout(self, unit: Unit, reader: Reader) -> Readout:
        dense = unit.arm.replace(SPARSE, "", 1)
        if dense not in self._readouts:
            self._readouts[dense] = self._whole_arm(dense, reader)
        readout = self._readouts[dense].narrowed([unit])
        if unit.arm == dense:
            return readout
        return as_thresholded(readout).thresholded(unit.arm, np.array([unit.threshold]))

    def _whole_arm(self, arm: str, reader: Reader) -> Readout:
        study, run = self._resources.study, self._resources.run
        widths = dict(reader.widths)
        for each in study.scrambled_subjects:  # a kind gives all its arms, of whatever subject
            widths |= {f"{hook}@{each.name}": width for hook, width in self._resources.subject.widths.items()}
        found = open_kind(kind_of(arm)).candidates(study, widths, self._encoders)
        readout = next((each.readout for each in found if each.readout.arm == arm), None)
        if readout is None:
            raise BadInput(f"the study has no arm '{arm}'", "run the study again")
        if isinstance(readout, Prepared):
            prepare(study, reader, run / "contexts.parquet", [readout])
        return readout


class _Encoders(Mapping[str, tuple[Encoder, int]]):
    """The run's encoders, each loaded when it is first looked up, and kept."""

    def __init__(self, resources: LentResources) -> None:
        self._resources, self._loaded = resources, dict[str, tuple[Encoder, int]]()

    def __getitem__(self, name: str) -> tuple[Encoder, int]:
        if name not in self._loaded:
            self._loaded[name] = self._resources.encoder(name)
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._resources.encoder_files())

    def __len__(self) -> int:
        return len(self._resources.encoder_files())


def most_tokens(subject: Subject) -> int:
    """How many tokens of a typed text are read."""
    config: Any = subject.model.config.get_text_config()
    positions = getattr(config, "max_position_embeddings", None)
    start = 0 if subject.start_token is None else 1
    return MOST_TOKENS if positions is None else min(MOST_TOKENS, int(positions) - start)
