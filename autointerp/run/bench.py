"""What the stages work with, each opened when first needed: subject, SAEs, simulator, ledger, usage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from autointerp.artifacts import rng_of
from autointerp.collect.reading import context_ids, load_contexts
from autointerp.errors import BadInput
from autointerp.llm.ledger import Ledger
from autointerp.llm.local import LocalModel
from autointerp.llm.usage import Usage
from autointerp.models import load_model
from autointerp.models.locate import locate
from autointerp.records import Split
from autointerp.run.training import sae_folder
from autointerp.simulate.base import Simulator
from autointerp.simulate.registry import Parts, builder
from autointerp.simulate.vocabulary import same_vocabulary
from autointerp.study import Study
from autointerp.subject.forward import Subject, open_subject
from autointerp.tables import read_arrow, write_table
from autointerp.units import Encoder
from sae.checkpoint import load
from sae.errors import SaeError

_BANK_CONTEXTS = 512
"""Evidence contexts whose words fill the bank of `lift`."""


class Bench:
    """Opened things, shared by the stages of one run."""

    def __init__(self, study: Study, run: Path) -> None:
        self.study, self.run = study, run
        self.usage = Usage()

    @cached_property
    def subject_identity(self) -> str:
        """Names the subject's weights, without loading them."""
        return locate(self.study.subject.model, self.study.subject.revision).identity

    @cached_property
    def subject(self) -> Subject:
        """The language model with its hooks."""
        return open_subject(self.study.subject)

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger of answers, in the run folder."""
        return Ledger(self.run / "ledger.sqlite")

    @cached_property
    def prompts(self) -> Path | None:
        """The user's prompt folder; BadInput when it is none."""
        if self.study.prompts_folder is None:
            return None
        folder = Path(self.study.prompts_folder).expanduser()
        if not folder.is_dir():
            raise BadInput(f"no prompts folder {folder}", "correct prompts_folder, or take it out")
        return folder

    def encoders(self) -> dict[str, tuple[Encoder, int]]:
        """The SAEs of the run, by name, each with its number of latents."""
        found: dict[str, tuple[Encoder, int]] = {}
        for sae in self.study.sae:
            try:
                loaded = load(str(self.run / sae_folder(sae.name))).to(self.subject.device)
            except SaeError as error:
                raise BadInput(f"SAE '{sae.name}' of this run can't be loaded ({error})", "train it again") from error
            found[sae.name] = (loaded, loaded.width)
        return found

    @cached_property
    def simulator(self) -> Simulator:
        """The study's simulator."""
        llm = self.study.llm[self.study.simulate.llm]
        build = builder(self.study.simulate.method)
        model: Any = LocalModel(load_model(llm.model, device=self.study.subject.device), llm.batch)
        same = same_vocabulary(model.tokenizer, self.subject.tokenizer)
        return build(Parts(model, self._bank(), llm.batch, same, self.prompts))

    def _bank(self) -> list[str]:
        from autointerp.simulate.lift import random_word_lists

        contexts = self.run / "contexts.parquet"
        ids = context_ids(contexts, Split.EVIDENCE)
        rng = rng_of(self.study.seed, "bank")
        chosen = rng.choice(ids, size=min(_BANK_CONTEXTS, len(ids)), replace=False)
        loaded = load_contexts(contexts, chosen.tolist())
        return random_word_lists([loaded[int(c)] for c in chosen], self.study.simulate.bank, rng)

    def close(self) -> None:
        """Add what was spent to what earlier calls on this folder spent, and close the ledger."""
        rows = self.usage.rows()
        if rows:
            path = self.run / "usage.parquet"
            before = read_arrow(path).to_pylist() if path.is_file() else []
            write_table("usage", path, added_up([*before, *rows]))
        if "ledger" in self.__dict__:
            self.ledger.close()


def added_up(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of table `usage` with one row per stage and model; a sum with an unknown in it is unknown."""
    sums: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        total = sums.get((row["stage"], row["model"]))
        if total is None:
            sums[row["stage"], row["model"]] = dict(row)
            continue
        for name in ("requests", "cached", "input_tokens", "output_tokens", "cost_usd"):
            known = total[name] is not None and row[name] is not None
            total[name] = total[name] + row[name] if known else None
    return list(sums.values())


def note_threads(study: Study) -> int:
    """Set torch's threads as the study says; return how many there are now."""
    import torch

    if study.threads:
        torch.set_num_threads(study.threads)
    return int(torch.get_num_threads())
