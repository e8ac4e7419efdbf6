"""`autointerp benchmark`: plant units over text, let methods score them, and say which can tell right from wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from autointerp import __version__
from autointerp.benchmark_rows import RecoveryRow
from autointerp.contexts.reading import context_ids, load_contexts
from autointerp.errors import BadInput, BudgetReached
from autointerp.llm.open import Mode, identity_of
from autointerp.llm.providers import LOCAL
from autointerp.models.locate import locate
from autointerp.planted.figure import draw
from autointerp.planted.finished import Measured, Store
from autointerp.planted.meanings import NOISE
from autointerp.planted.measuring import WatchedResources, announced, measure, recover
from autointerp.planted.methods import QUICK, Method, chosen, methods
from autointerp.planted.page import write_page
from autointerp.planted.pairings import EVERY, PlantedPairing, Portion, pairings_of
from autointerp.planted.results import About, Results, grouped, read_results, write_results
from autointerp.planted.sanity import sanity_rows
from autointerp.planted.statistics import rows_of
from autointerp.planted.units import Planted, PlantedUnit, plant
from autointerp.progress import say
from autointerp.records import Context, Split
from autointerp.run.checks import find_capabilities
from autointerp.run.stages import carry_out
from autointerp.study import Study
from autointerp.study_file import load_study, parse_study
from autointerp.study_inputs import Corpus

WORK = "work"
"""Folder of the text, the ledger, and what is finished: only a continued benchmark needs it."""
TEXT = Corpus(tokens=400_000, train=0.0, evidence=0.5, held_out=0.5)
"""What units are planted on, where the study says nothing about a corpus."""
_NOT_ASKED_FOR = "not asked for"
_STOPPED = "stopped by the budget"


@dataclass(frozen=True)
class BenchmarkScope:
    """What the user wants."""

    methods: tuple[str, ...] = ()
    """By name; none: all that the study's models are enough for."""
    quick: bool = False
    """QUICK alone."""
    portion: Portion = EVERY
    """Of what is planted. Where it says nothing of foils, a method that reads each explanation anew gets a few."""

    def wanted(self) -> list[Method]:
        """The methods; BadInput for a name that is none."""
        names = self.methods or (QUICK if self.quick else tuple(method.name for method in methods()))
        return chosen(names)


def benchmark_study(path: Path | None, overrides: Sequence[str] = ()) -> Study:
    """The study of a benchmark: a file's, or the defaults; on TEXT unless it has a corpus of its own. BadInput."""
    study = load_study(path) if path is not None else parse_study({})
    if "corpus" not in study.model_fields_set:
        study = study.model_copy(update={"corpus": TEXT})
    return parse_study(study.model_dump(mode="json", exclude_none=True), overrides)


@dataclass(frozen=True)
class _Setup:
    """What is known before the first method runs."""

    planted: Planted
    contexts: Mapping[str, int]
    units: Sequence[PlantedUnit]
    usable: Sequence[Method]
    refused: Mapping[str, str]
    """Wanted methods that can't run: name -> why."""
    portion: Portion
    store: Store


def benchmark(study: Study, out: Path, asked: BenchmarkScope) -> Results:
    """Run what is not finished, and write tables, page and picture to `out`.

    Results of methods that an earlier call finished with the same settings, on as many units or on others, are in them
    too. Raises BadInput before anything is asked when no wanted method can run, or a method that was named can't;
    BudgetReached at a limit, with what is finished written.
    """
    work = out / WORK
    ready = _prepare(study, work, asked, probe=True)
    for method in ready.usable:
        say(f"  {method.name}: {_model(study, method) or 'no language model'}")
    for line in _announced(study, ready, work):
        say(line)
    found, stopped = _run(study, ready, work)
    recovery = _recovery(study, ready, work, found)
    missing = dict(ready.refused)
    for method in methods():
        if method.name in found or method.name in missing:
            continue
        kept = ready.store.find(method)
        if kept is not None:
            found[method.name] = kept
        else:
            missing[method.name] = _STOPPED if method in ready.usable else _NOT_ASKED_FOR
    if found:
        _write(out, _about(study, ready, found, missing), found, ready.planted.units, recovery)
    if stopped is not None:
        raise stopped
    return read_results(out)


def estimated(study: Study, out: Path, asked: BenchmarkScope) -> list[str]:
    """What endpoints would be asked, a line per method; nothing is sent. Raises BadInput as `benchmark` does."""
    work = out / WORK
    return list(_announced(study, _prepare(study, work, asked, probe=False), work))


def _prepare(study: Study, work: Path, asked: BenchmarkScope, *, probe: bool) -> _Setup:
    wanted = asked.wanted()
    if probe:
        for name in dict.fromkeys(name for method in wanted if (name := method.llm_of(study)) is not None):
            _probe(study, name, work)
    usable, refused = can_run(study, wanted, strict=bool(asked.methods))
    planted, contexts = ground(study, work)
    portion = asked.portion
    if portion.units is not None and portion.units >= len(replace(portion, units=None).of(planted.units)):
        portion = replace(portion, units=None)
    units = portion.of(planted.units)
    if not any(unit.kind != NOISE for unit in units):
        raise BadInput("no planted unit that means something is asked for", "raise --units, or leave out --frozen")
    return _Setup(planted, contexts, units, usable, refused, portion, Store(study, planted.units, work))


def _announced(study: Study, ready: _Setup, work: Path) -> Iterator[str]:
    pending = [m for m in ready.usable if ready.store.find(m, m.portion(ready.portion)) is None]
    return announced(study, pending, ready.units, ready.portion, work)


def ground(study: Study, work: Path) -> tuple[Planted, Mapping[str, int]]:
    """The planted units, and how many contexts of each split they were planted on; the text is made once."""
    resources = WatchedResources(study, work, Mode())
    try:
        carry_out(resources, work, "corpus")
    finally:
        resources.close()
    evidence, held_out = (_contexts(work, split) for split in (Split.EVIDENCE, Split.HELD_OUT))
    planted = plant(evidence, held_out, study.seed, study.evidence)
    say(f"  planted: {len(planted.units)} units; {len(planted.left_out)} left out, this text is too poor for them")
    return planted, {str(Split.EVIDENCE): len(evidence), str(Split.HELD_OUT): len(held_out)}


def _contexts(work: Path, split: Split) -> list[Context]:
    table = work / "contexts.parquet"
    ids = [int(number) for number in context_ids(table, split)]
    loaded = load_contexts(table, ids)
    return [loaded[number] for number in ids]


def can_run(study: Study, wanted: Sequence[Method], *, strict: bool) -> tuple[list[Method], dict[str, str]]:
    """The methods that the study's models, as far as they are known, are enough for; and why the others can't run.

    Raises BadInput when no method is left, and with `strict` at the first method that can't run.
    """
    usable: list[Method] = []
    refused: dict[str, str] = {}
    for method in wanted:
        try:
            method.check(study)
        except BadInput as error:
            if strict or (method is wanted[-1] and not usable):
                raise
            refused[method.name] = error.what
        else:
            usable.append(method)
    return usable, refused


def _probe(study: Study, name: str, work: Path) -> None:
    """Find out what an endpoint can do, unless it is known; every judge and simulator may use that."""
    if study.llm[name].provider == LOCAL:
        return
    asking = {
        "simulate": study.simulate.model_copy(update={"method": "sparse-json"}),
        "judge": study.judge.model_copy(update={"methods": ("detection",), "llm": name, "negatives": "random"}),
    }
    resources = WatchedResources(study.model_copy(update=asking), work, Mode())
    try:
        find_capabilities(resources, None)
    finally:
        resources.close()


def _run(study: Study, ready: _Setup, work: Path) -> tuple[dict[str, Measured], BudgetReached | None]:
    """Every method in turn, until the budget ends."""
    found: dict[str, Measured] = {}
    for method in ready.usable:
        try:
            found[method.name] = measure(study, method, ready.units, method.portion(ready.portion), work, ready.store)
        except BudgetReached as error:
            return found, error
    return found, None


def _recovery(study: Study, ready: _Setup, work: Path, found: Mapping[str, Measured]) -> list[RecoveryRow]:
    """The explainer's end with every ranker that was measured now or before."""
    rows: list[RecoveryRow] = []
    for method in methods():
        if method in ready.usable and method.name in found:
            rows += recover(study, method, ready.units, ready.portion, work, ready.store)
        else:
            rows += ready.store.find_recovery(method) or ()
    return rows


def _about(study: Study, ready: _Setup, found: Mapping[str, Measured], missing: Mapping[str, str]) -> About:
    return About(
        version=__version__,
        seed=study.seed,
        resamples=study.compare.resamples,
        confidence=study.compare.confidence,
        corpus=study.corpus.source,
        contexts=ready.contexts,
        tokenizer=locate(study.subject.model, study.subject.revision).identity,
        models={method.name: _model(study, method) for method in methods() if method.name in found},
        left_out=dict(Counter(left.reason for left in ready.planted.left_out)),
        not_run=missing,
        tokens=study.corpus.context,
        held_out=(study.evidence.held_out_top, study.evidence.held_out_random),
    )


def _model(study: Study, method: Method) -> str:
    name = method.llm_of(study)
    if name is None:
        return ""
    llm = study.llm[name]
    return identity_of(llm) if llm.provider == LOCAL else f"{llm.model} ({identity_of(llm)})"


def _pairings(method: Method, found: Measured, units: Sequence[PlantedUnit]) -> list[PlantedPairing]:
    return pairings_of(found.portion.of(units), method.explained, found.portion)


def _write(
    out: Path,
    about: About,
    found: Mapping[str, Measured],
    units: Sequence[PlantedUnit],
    recovery: Sequence[RecoveryRow],
) -> None:
    scores = [
        score
        for method in methods()
        if method.name in found
        for score in found[method.name].rows(_pairings(method, found[method.name], units))
    ]
    rows = [
        row
        for of_method in grouped(scores)
        for row in rows_of(of_method, found[of_method.method].cost, about.plan, about.seed)
    ]
    write_results(out, about, scores, rows, sanity_rows(units, about.plan, about.seed), recovery)
    write_page(out)
    draw(out)
