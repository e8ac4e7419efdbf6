"""Development units for `reader`: real ones of a layer, with lists and phrases, and planted ones of the open half."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from autointerp.contexts.naming import Named, is_list
from autointerp.contexts.reading import context_ids, load_contexts
from autointerp.contexts.sharing import read_exemplars
from autointerp.explain.proposing import Planned, answered, planned, requests_in
from autointerp.llm.open import Mode
from autointerp.llm.questions import InOrder
from autointerp.metrics.metrics import score_one
from autointerp.planted.meanings import TRUE
from autointerp.planted.units import plant
from autointerp.progress import Bar
from autointerp.records import Candidate, Context, Exemplar, Kind, Simulation, Split, Unscored
from autointerp.run import run
from autointerp.run.resources import Resources
from autointerp.simulate.interface import Task
from autointerp.simulate.reader import TrainedReader, Unrelated
from autointerp.study import Study
from autointerp.tables import HELD_OUT
from readers.fitting import LIST, PHRASE, PLANTED, Development, Trial

_UNREAD = np.empty((0, 0), dtype=np.float32)


def developed(study: Study, folder: Path, planted_too: bool = True) -> Development:
    """The trials of a study's units and of planted ones on its text; the run folder is kept, and used again.

    On held-out contexts alone: explainers saw evidence. The study's simulator must be `reader`. Raises BadInput where
    the text is too poor to plant on.
    """
    run(study, folder, until="collect")
    resources = Resources(study, folder, Mode())
    try:
        trials = [*_real(study, folder, resources), *(_planted(study, folder) if planted_too else ())]
        with resources.simulator("simulate") as reader:
            assert isinstance(reader, TrainedReader)
            told = dict(reader.lift.simulate([Task(t.explanation, t.contexts) for t in trials], Bar()))
            read = [replace(t, lift=r.predicted) for p, t in enumerate(trials) if isinstance(r := told[p], Simulation)]
            return Development(read, Unrelated(reader.lift, reader.bank, (c for t in read for c in t.contexts)))
    finally:
        resources.close()


def _real(study: Study, folder: Path, resources: Resources) -> Iterator[Trial]:
    plan = planned(study, folder)
    if requests_in(plan.proposals):
        with resources.asker(study.explain.llm, "explain") as asker:
            candidates = answered(plan.proposals, InOrder(asker), Bar())
    else:
        candidates = answered(plan.proposals, None, Bar())
    of_unit = dict(zip((unit.unit for unit in plan.units), candidates, strict=True))
    held = read_exemplars(folder / HELD_OUT)
    contexts = load_contexts(folder / "contexts.parquet", (e.context for rows in held.values() for e in rows))
    named = Named()
    for group in plan.groups:
        ranked = sorted(
            (-score, place, unit.unit, candidate.text)
            for place, unit in enumerate(group)
            for candidate in of_unit[unit.unit]
            if isinstance(candidate, Candidate)
            and isinstance(score := _literally(candidate.text, unit.unit, plan, named), float)
        )
        lists = [(unit, text) for _, _, unit, text in ranked if is_list(text)]
        if not lists:
            continue
        unit = lists[0][0]  # of a neuron the orientation whose list fits best
        phrases = [text for _, _, of, text in ranked if of == unit and not is_list(text)]
        shown = _top_and_random(held.get(unit, []), study.evidence.held_out_random)
        for sort, text in ((LIST, lists[0][1]), *((PHRASE, text) for text in phrases[:1])):
            truth = np.stack([e.activations for e in shown])
            yield Trial(unit, group[0].arm, sort, text, tuple(contexts[e.context] for e in shown), truth, _UNREAD)


def _literally(text: str, unit: str, plan: Planned, named: Named) -> float | Unscored:
    """How well the words of an explanation fit where it is ranked; 0 where none of them stands there."""
    rows = plan.material.shares[unit].ranking
    found = named.tokens(text, [plan.material.contexts[e.context] for e in rows]).ravel().astype(np.float32)
    return score_one("pearson", np.concatenate([e.activations for e in rows]), found) if found.any() else 0.0


def _top_and_random(rows: Sequence[Exemplar], random: int) -> list[Exemplar]:
    top = [e for e in rows if e.kind == Kind.TOP]
    blind = [e for e in rows if e.kind == Kind.RANDOM][:random]
    return list({e.context: e for e in (*blind, *top)}.values())


def _planted(study: Study, folder: Path) -> Iterator[Trial]:
    """The true explanations of the units that are not in the frozen half."""
    evidence, held_out = (_split(folder, split) for split in (Split.EVIDENCE, Split.HELD_OUT))
    for unit in plant(evidence, held_out, study.seed).units:
        if unit.test or TRUE not in unit.explanations:
            continue
        known: Mapping[int, Context] = {held.context.context: held.context for held in unit.held_out}
        shown = tuple(known[int(number)] for number in unit.held.contexts)
        yield Trial(unit.unit, PLANTED, PLANTED, unit.explanations[TRUE], shown, unit.held.truth, _UNREAD)


def _split(folder: Path, split: Split) -> list[Context]:
    table = folder / "contexts.parquet"
    ids = [int(number) for number in context_ids(table, split)]
    loaded = load_contexts(table, ids)
    return [loaded[number] for number in ids]
