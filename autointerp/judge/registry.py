"""Judges by name: the built-in ones, and those that other packages register."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from autointerp.errors import BadInput, nearest
from autointerp.judge.detection import Detection
from autointerp.judge.embedding import EmbeddingJudge
from autointerp.judge.fuzzing import Fuzzing
from autointerp.judge.interface import NO_TOOLS, AnyJudge, ComputedJudge, Judge, JudgeSettings, Tools, Traits
from autointerp.judge.intruder import Intruder
from autointerp.judge.promoted_tokens import PromotedLiteral, PromotedTokens
from autointerp.judge.saebench import SaeBench
from autointerp.judge.surprisal import Surprisal
from autointerp.llm.capabilities import Capabilities, Needs, known, missing
from autointerp.llm.open import identity_of
from autointerp.llm.providers import LOCAL
from autointerp.prompting import user_folder
from autointerp.registry import Registry, declared
from autointerp.study import Study
from autointerp.study_models import Llm

_BUILT_IN: Mapping[str, Callable[[JudgeSettings], AnyJudge]] = {
    Detection.name: Detection,
    Fuzzing.name: Fuzzing,
    Intruder.name: Intruder,
    SaeBench.name: SaeBench,
    Surprisal.name: Surprisal,
    EmbeddingJudge.name: EmbeddingJudge,
    PromotedTokens.name: PromotedTokens,
    PromotedLiteral.name: PromotedLiteral,
}
JUDGES: Registry[Callable[[JudgeSettings], AnyJudge]] = Registry("judge", "autointerp.judges", _BUILT_IN)
"""Name in the study -> what makes a Judge, or a ComputedJudge, of JudgeSettings; its attribute `traits` (a Traits)
says what is special about it."""


def traits_of(name: str) -> Traits:
    """What is special about judge `name`; BadInput when there is none, or when it can't be imported."""
    return declared(JUDGES.find(name), "traits", Traits, Traits())


def open_judge(name: str, settings: JudgeSettings) -> AnyJudge:
    """Make the judge of that name; BadInput when there is none, or when it is not of the form that its traits say."""
    judge = JUDGES.find(name)(settings)
    form = Judge if traits_of(name).asks else ComputedJudge
    if not isinstance(judge, form):
        raise BadInput(f"judge '{name}' is no {form.__name__}", "give what makes it an attribute `traits` that is true")
    return judge


def open_judges(
    study: Study, names: Sequence[str], capabilities: Capabilities | None, tools: Tools = NO_TOOLS
) -> list[AnyJudge]:
    """The judges of these names, each with its prompt and the model `judge.llm`, of which `capabilities` are known."""
    if not names:
        return []
    wanted = study.judge
    settings = JudgeSettings(
        llm=study.llm.get(wanted.llm, Llm()),
        examples=wanted.examples,
        seed=study.seed_for("simulate"),
        prompts_folder=user_folder(study.prompts_folder),
        capabilities=capabilities,
        negatives=wanted.negatives,
        tools=tools,
    )
    return [open_judge(name, replace(settings, prompt=wanted.prompts.get(name))) for name in names]


def uses_model(name: str) -> bool:
    """Whether judge `name` asks the language model `judge.llm`, or reads its log-probabilities."""
    traits = traits_of(name)
    return traits.asks or replace(traits.needs, sentences=False, nothing=False) != Needs()


def reads_in_process(study: Study, name: str) -> bool:
    """Whether judge `name` reads log-probabilities of a model in this process."""
    return uses_model(name) and not traits_of(name).asks and study.llm[study.judge.llm].provider == LOCAL


def check_judges(study: Study) -> None:
    """Raise BadInput, before anything runs, for an unknown judge, one named twice, a missing or poor model or prompt.

    Where it is not known what an endpoint gives, nothing of it is refused.
    """
    wanted = study.judge
    if len(set(wanted.methods)) < len(wanted.methods):
        raise BadInput(f"judge.methods = {list(wanted.methods)}", "name no judge twice")
    for name in wanted.prompts:
        if name not in wanted.methods:
            raise BadInput(
                f"judge.prompts has a prompt for '{name}', which is not asked", nearest(name, wanted.methods)
            )
    used = [name for name in wanted.methods if uses_model(name)]
    if used and wanted.llm not in study.llm:
        raise BadInput(f"judge.llm '{wanted.llm}' is not configured", nearest(wanted.llm, study.llm))
    open_judges(study, wanted.methods, None)
    for name in used:
        _check_model(study, name)


def _check_model(study: Study, name: str) -> None:
    llm, needs = study.llm[study.judge.llm], traits_of(name).needs
    if needs == Needs():
        return
    there = known(llm, None if llm.provider == LOCAL else identity_of(llm))
    if there is None and needs.whole_distribution:
        there = Capabilities(identity_of(llm), llm.model)  # no endpoint has it, whatever a probe would find
    lacking = None if there is None else missing(needs, there)
    if lacking is not None:
        raise BadInput(
            f"judge '{name}' needs {lacking}: model '{llm.model}' of provider '{llm.provider}' is not enough",
            "set judge.llm to another model, or take the judge out of judge.methods",
        )
