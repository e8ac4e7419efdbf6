"""What is looked at before anything runs: a study that can't be run as it is stops here, with one line."""

from __future__ import annotations

from autointerp.errors import BadInput, BudgetReached
from autointerp.explain.proposing import check_explain
from autointerp.judge.registry import check_judges, traits_of, uses_model
from autointerp.llm.budget.prices import Tokens, price, used
from autointerp.llm.budget.purse import check_price
from autointerp.llm.capabilities import Needs, known
from autointerp.llm.check import check
from autointerp.llm.open import check_llm, identity_of
from autointerp.llm.providers import LOCAL, check_batch
from autointerp.models.sentences import check_sentence_model
from autointerp.progress import say
from autointerp.run.resources import Resources
from autointerp.score.stage import check_metrics
from autointerp.simulate.registry import check_simulator, needs_of
from autointerp.study import Study
from autointerp.study_models import Llm
from autointerp.units.registry import check_units
from sae.errors import SaeError
from sae.training.loggers import check_loggers


def used_llms(study: Study) -> dict[str, Llm]:
    """The language models that the study may ask, by name."""
    names = [study.explain.llm, *_simulating(study), *_simulating(study.ranking), *_judging(study)]
    return {name: study.ranking.llm[name] for name in dict.fromkeys(names)}


def _simulating(study: Study) -> list[str]:
    """The simulator's language model, where it has one."""
    return [study.simulate.llm] if needs_of(study.simulate.method).language_model else []


def _judging(study: Study) -> list[str]:
    """The judges' language model, where one of them uses it."""
    return [study.judge.llm] if any(uses_model(name) for name in study.judge.methods) else []


def _reads_sentences(study: Study) -> bool:
    """Whether anything in the study compares texts by their vectors."""
    judges = any(traits_of(name).needs.sentences for name in study.judge.methods)
    simulators = any(needs_of(one.simulate.method).sentences for one in (study, study.ranking))
    return judges or simulators or bool(study.evidence.hard_negatives)


def batched_llms(study: Study) -> list[str]:
    """The models that stages ask which a batch interface takes."""
    asked = [study.judge.llm] if any(traits_of(name).asks for name in study.judge.methods) else []
    return list(dict.fromkeys([study.explain.llm, *asked]))


def check_study(resources: Resources) -> None:
    """Raise BadInput for an unusable folder, a missing key or price, an unknown method, shares that don't fit."""
    check_methods(resources)
    for llm in used_llms(resources.study).values():
        if not resources.mode.replay:
            check_llm(llm)
        if llm.provider != LOCAL:
            check_price(resources.study.budget, llm)
    if not resources.mode.replay and _reads_sentences(resources.study):
        check_sentence_model(resources.study.sentences.model)
    if resources.mode.batches is not None:
        for name in batched_llms(resources.study):
            check_batch(resources.study.llm[name])


def check_methods(resources: Resources) -> None:
    """The part of `check_study` that holds without keys and prices."""
    if resources.run.exists() and not resources.run.is_dir():
        raise BadInput(f"{resources.run} is a file", "give a folder with --out")
    try:
        check_loggers(resources.study.training.log)
    except SaeError as error:
        raise BadInput(error.what, error.remedy) from error
    check_units(resources.study)
    check_simulator(resources.study)
    check_simulator(resources.study.ranking)
    check_explain(resources.study)
    check_judges(resources.study)
    check_metrics(resources.study)


def find_capabilities(resources: Resources, until: str | None) -> None:
    """Find out what the endpoints of simulator and judges can do, unless it is known, and hold them to it.

    What the ledger holds counts, then what this machine remembers, since requests depend on it. An endpoint that was
    never probed gets one or two small calls, which the run pays for (stage `check`). Raises BadInput where the
    simulator or a judge needs more than its endpoint gives.
    """
    study = resources.study
    if resources.mode.replay or until in _BEFORE_ASKING:
        return
    reading = [one for one in (study, study.ranking) if needs_of(one.simulate.method) != Needs()]
    names = [*(name for one in reading for name in _simulating(one)), *_judging(study)]
    for name in dict.fromkeys(names):
        llm = study.ranking.llm[name]
        if llm.provider != LOCAL and resources.ledger.capabilities(identity_of(llm), llm.model) is None:
            if known(llm, identity_of(llm)) is None:
                _probe(resources, name)
            if (found := known(llm, identity_of(llm))) is not None:
                resources.ledger.keep_capabilities(found)
    check_simulator(study)
    check_simulator(study.ranking)
    check_judges(study)


def _probe(resources: Resources, name: str) -> None:
    llm = resources.study.llm[name]
    say(f"[llm.{name}] one or two small calls, to see what '{llm.model}' can do")
    ticket = resources.usage.reserve(_STAGE, llm.model, _PROBE, price(llm, _PROBE))
    if ticket is None:
        raise BudgetReached(f"the budget has no room for a probe of [llm.{name}] ({_PROBE.total:,} tokens at most)")
    checked = check(llm, name, llm.attempts)
    resources.usage.count(_STAGE, llm.model, priced=llm.priced, requests=1)
    parts = [used(answer) for answer in checked.answers]
    if not checked.billed and None not in parts:  # else the probe stays at the most that it may have cost
        tokens = Tokens(sum(p.input for p in parts if p), sum(p.output for p in parts if p))
        resources.usage.settle(ticket, tokens, price(llm, tokens), billed=bool(parts))
    if checked.problem is not None:
        raise checked.problem


_BEFORE_ASKING = frozenset({"train", "collect"})
_STAGE = "check"
_PROBE = Tokens(4000, 400)
"""More than a probe can use."""
