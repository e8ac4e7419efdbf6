"""What the stages work with, each opened when first needed: subject, SAEs, simulator, ledger, usage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from autointerp.artifacts import rng_of
from autointerp.contexts.reading import context_ids, load_contexts
from autointerp.errors import BadInput
from autointerp.judge.interface import AnyJudge, Tools
from autointerp.judge.registry import open_judges, reads_in_process, traits_of, uses_model
from autointerp.llm.budget.account import Counted, Usage
from autointerp.llm.capabilities import Capabilities, known
from autointerp.llm.client import Asker
from autointerp.llm.ledger.ledger import FILE_NAME, Ledger
from autointerp.llm.ledger.replaying import ReplayModel
from autointerp.llm.local.model import LocalModel
from autointerp.llm.open import Mode, identity_of, open_asker
from autointerp.llm.providers import LOCAL
from autointerp.models import load_asked, load_tokenizer
from autointerp.models.locate import locate
from autointerp.models.sentences import SentenceModel, load_sentence_model
from autointerp.prompting import user_folder
from autointerp.records import Split
from autointerp.simulate.interface import Simulator
from autointerp.simulate.registry import Parts, builder, needs_of
from autointerp.simulate.vocabulary import same_vocabulary
from autointerp.study import Study
from autointerp.study_models import Llm
from autointerp.subject.forward import Subject, open_subject
from autointerp.subject.made import check_made, open_made, recipe_identity
from autointerp.subject.scrambling import scramble
from autointerp.tables import write_table
from autointerp.train.decompositions import kinds_fitted
from autointerp.train.saes import sae_folder
from autointerp.train.subject import SUBJECT
from autointerp.units.components import SUFFIX as COMPONENTS_SUFFIX
from autointerp.units.components import components_file, components_name, load_components
from autointerp.units.interface import Encoder
from autointerp.units.scrambled import saes_of
from sae.checkpoint import load
from sae.errors import SaeError

SPENDING = "spending.sqlite"
"""The run's account, by path in the run folder."""
BATCHES = "batches.sqlite"
"""The run's open batches."""
_BANK_CONTEXTS = 512
"""Evidence contexts whose words fill the bank of `lift`."""


class Resources:
    """Opened things, shared by the stages of one run."""

    def __init__(
        self, study: Study, run: Path, mode: Mode, ledger: Path | None = None, base: Resources | None = None
    ) -> None:
        """`ledger`: where the answers are kept, when not in the run folder; `base`: of the run of a replicate."""
        self.study, self.run, self.mode = study, run, mode
        self.unanswered = 0
        """Requests so far that nothing came back for."""
        self.ledger_path = ledger or run / FILE_NAME
        """Where the answers are kept."""
        self._base = base

    @cached_property
    def usage(self) -> Usage:
        """The run's account: what was spent, by this call and earlier ones."""
        return Usage(self.run / SPENDING, self.study.budget) if self._base is None else self._base.usage

    @cached_property
    def subject_identity(self) -> str:
        """Names the subject's weights, without loading them; of one that the run trains, its recipe.

        What reads the trained subject depends on its files besides, as on any output of an earlier stage.
        """
        if self.study.subject.train is not None:
            return recipe_identity(self.study.subject.train)
        return locate(self.study.subject.model, self.study.subject.revision).identity

    @cached_property
    def subject(self) -> Subject:
        """The language model with its hooks; one that the run trains must have been trained."""
        if self.study.subject.train is not None:
            return open_made(self.study.subject, self.run / SUBJECT)
        return open_subject(self.study.subject) if self._base is None else self._base.subject

    @cached_property
    def scrambled(self) -> dict[str, Subject]:
        """The scrambled subjects of the study, by name."""
        same = self._base is not None and self._base.study.scrambled == self.study.scrambled
        if self._base is not None and same and self.study.subject.train is None:
            return self._base.scrambled
        return {each.name: scramble(self.subject, each) for each in self.study.scrambled_subjects}

    def of_replicate(self, study: Study, run: Path) -> Resources:
        """Those of a replicate in folder `run`: one ledger and one account, which stay open, and one subject.

        Its open batches are its own: one process at a time may hold a file of them.
        """
        batches = None if self.mode.batches is None else run / BATCHES
        return Resources(study, run, replace(self.mode, batches=batches), self.ledger_path, self)

    def check_subject(self) -> torch.device:
        """The subject's device; BadInput for a model, device or hook that can't be had, even before it is trained."""
        if self.study.subject.train is not None:
            return check_made(self.study.subject, self.study.subject.train)
        return self.subject.device

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger of answers."""
        return Ledger(self.ledger_path) if self._base is None else self._base.ledger

    @contextmanager
    def asker(self, name: str, stage: str, *, batch: bool = False) -> Iterator[Counted]:
        """The study's model `name`, paid for by `stage`; through its batch interface where stage and user want it."""
        mode = replace(self.mode, batches=self.mode.batches if batch else None, device=self.study.subject.device)
        with open_asker(self.study.ranking.llm[name], self.ledger, self.usage, stage, mode) as asker:
            try:
                yield asker
            finally:
                self.unanswered += asker.unanswered

    @cached_property
    def prompts(self) -> Path | None:
        """The user's prompt folder; BadInput when it is none."""
        folder = user_folder(self.study.prompts_folder)
        if folder is not None and not folder.is_dir():
            raise BadInput(f"no prompts folder {folder}", "correct prompts_folder, or take it out")
        return folder

    def encoders(self) -> dict[str, tuple[Encoder, int]]:
        """The SAEs of the run, by name, each with its number of latents; and what was fitted besides."""
        return {name: self.encoder(name) for name in self.encoder_files()}

    def encoder_files(self) -> dict[str, Path]:
        """Where each of them is: a folder or a file, which may be missing."""
        saes = (*(sae.name for sae in self.study.sae), *self._saes_of_scrambled())
        found = {name: self.run / sae_folder(name) for name in saes}
        for kind in kinds_fitted(self.study):
            for hook in self.study.subject.hooks:
                found[components_name(kind, hook)] = self.run / components_file(kind, hook)
        return found

    def encoder(self, name: str) -> tuple[Encoder, int]:
        """One of them, loaded, with its number of latents; BadInput for an SAE that can't be loaded."""
        path = self.encoder_files()[name]
        if path.suffix == COMPONENTS_SUFFIX:
            components = load_components(path)
            return components, 2 * len(components.reads)
        try:
            loaded = load(str(path)).to(self.subject.device)
        except SaeError as error:
            raise BadInput(f"SAE '{name}' of this run can't be loaded ({error})", "train it again") from error
        return loaded, loaded.width

    def _saes_of_scrambled(self) -> list[str]:
        return [name for each in self.study.scrambled_subjects for name in saes_of(self.study, each.name)]

    @contextmanager
    def simulator(self, stage: str, *, ranking: bool = False) -> Iterator[Simulator]:
        """The study's simulator, or the one that ranks candidates; its requests are paid for by `stage`."""
        study = self.study.ranking if ranking else self.study
        name = study.simulate.llm
        llm = study.llm[name]
        build, needs = builder(study.simulate.method), needs_of(study.simulate.method)
        capabilities = self.capabilities(name) if needs.language_model else None
        parts = Parts(
            model=None, asker=None, llm=llm, capabilities=capabilities, bank=(), batch=llm.batch,
            same=False, prompts=self.prompts, seed=self.study.seed_for("simulate"), ledger=self.ledger,
        )  # fmt: skip
        if not needs.language_model:
            sentences = self.sentences if needs.sentences else None
            yield build(replace(parts, sentences=sentences, bank=self._bank()))
        elif simulator_asks(study):
            with self.asker(name, stage) as asker:
                yield build(replace(parts, asker=asker, bank=self._bank()))
        else:
            yield build(replace(parts, model=self._local(llm), bank=self._bank(), same=self.same_words(llm)))

    def same_words(self, llm: Llm) -> bool:
        """Whether the token ids of the run's contexts are those of a model in this process."""
        return same_vocabulary(load_tokenizer(llm.model), self.subject.tokenizer)

    @property
    def judge_names(self) -> Sequence[str]:
        """The judges of this run."""
        return self.study.judge.methods

    @contextmanager
    def judges(self, stage: str) -> Iterator[tuple[list[AnyJudge], Asker | None]]:
        """The run's judges, and who asks for those that ask; their requests are paid for by `stage`."""
        study, names, role = self.study, self.judge_names, self.study.judge.llm
        reading = [name for name in names if uses_model(name) and not traits_of(name).asks]
        inside = any(reads_in_process(study, name) for name in reading)
        with ExitStack() as stack:
            tools = Tools(
                model=self._local(study.llm[role]) if inside else None,
                # One case after the other: a batch interface would take hours for each.
                asker=stack.enter_context(self.asker(role, f"{stage} (read)")) if reading and not inside else None,
                sentences=self.sentences if any(traits_of(name).needs.sentences for name in names) else None,
                bank=self._bank() if any(traits_of(name).needs.whole_distribution for name in names) else (),
                ledger=self.ledger,
            )
            asks = any(traits_of(name).asks for name in names)
            asker = stack.enter_context(self.asker(role, stage, batch=True)) if asks else None
            yield open_judges(study, names, self.capabilities(role) if asks or reading else None, tools), asker

    @cached_property
    def sentences(self) -> SentenceModel:
        """The study's sentence model; BadInput when it can't be had."""
        if self._base is not None:
            return self._base.sentences
        return load_sentence_model(self.study.sentences.model, self.study.subject.device)

    def _local(self, llm: Llm) -> Any:
        if self.mode.replay:
            return ReplayModel(load_tokenizer(llm.model), identity_of(llm))
        return LocalModel(load_asked(llm.model, device=self.study.subject.device, dtype=llm.dtype), llm.batch)

    def capabilities(self, name: str) -> Capabilities | None:
        """What the study's model `name` can do, as its ledger remembers it, or this machine; None: not known."""
        llm = self.study.ranking.llm[name]
        return self.ledger.capabilities(identity_of(llm), llm.model) or known(llm, identity_of(llm))

    def _bank(self) -> list[str]:
        from autointerp.simulate.lift import random_word_lists

        contexts = self.run / "contexts.parquet"
        ids = context_ids(contexts, Split.EVIDENCE)
        rng = rng_of(self.study.seed_for("simulate"), "bank")
        chosen = rng.choice(ids, size=min(_BANK_CONTEXTS, len(ids)), replace=False)
        loaded = load_contexts(contexts, chosen.tolist())
        return random_word_lists([loaded[int(c)] for c in chosen], self.study.simulate.bank, rng)

    def close(self) -> None:
        """Write what was spent so far, by all calls on this folder, and close ledger and account."""
        if "usage" in self.__dict__:
            rows = self.usage.rows()
            if rows:
                write_table("usage", self.run / "usage.parquet", rows)
            self.usage.close()
        if "ledger" in self.__dict__:
            self.ledger.close()


def simulator_asks(study: Study) -> bool:
    """Whether the study's simulator asks in words; else it reads log-probabilities of a model in this process."""
    needs = needs_of(study.simulate.method)
    if not needs.language_model:
        return False
    inside = bool(needs.whole_distribution or needs.prompt_logprobs or needs.computes)
    return not (inside and study.llm[study.simulate.llm].provider == LOCAL)


def note_threads(threads: int) -> int:
    """Set torch's threads, 0: leave them as they are; return how many there are now."""
    if threads:
        torch.set_num_threads(threads)
    return int(torch.get_num_threads())
