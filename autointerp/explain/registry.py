"""Explainers by name: the built-in ones, and those that other packages register."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from autointerp.errors import BadInput, nearest
from autointerp.explain.contrastive import Contrastive
from autointerp.explain.exemplars import Exemplars
from autointerp.explain.highlight import Highlight
from autointerp.explain.interface import Explainer, ExplainSettings
from autointerp.explain.intervals import Intervals
from autointerp.explain.max_act_logits import MaxActLogits
from autointerp.explain.phrase import Phrase
from autointerp.explain.revise import Revise
from autointerp.explain.snippets import ShortSnippets, Snippets
from autointerp.explain.token_activation import TokenActivation
from autointerp.prompting import user_folder
from autointerp.registry import Registry, declared
from autointerp.study import Study

BEST_OF_N = "best-of-n"
"""The method that asks several explainers."""

_BUILT_IN: Mapping[str, Callable[[ExplainSettings], Explainer]] = {
    Exemplars.name: Exemplars,
    Phrase.name: Phrase,
    Highlight.name: Highlight,
    Snippets.name: Snippets,
    ShortSnippets.name: ShortSnippets,
    TokenActivation.name: TokenActivation,
    Contrastive.name: Contrastive,
    Intervals.name: Intervals,
    MaxActLogits.name: MaxActLogits,
    Revise.name: Revise,
}
EXPLAINERS: Registry[Callable[[ExplainSettings], Explainer]] = Registry("explainer", "autointerp.explainers", _BUILT_IN)
"""Name in the study -> what makes an Explainer of ExplainSettings."""


def open_explainer(name: str, settings: ExplainSettings) -> Explainer:
    """Make the explainer of that name; BadInput when there is none, or when it can't be imported."""
    return EXPLAINERS.find(name)(settings)


def sees_effects(study: Study, name: str) -> bool:
    """Whether explainer `name` is shown what a unit promotes: its attribute `sees_effects`, False where it has none.

    `revise` has seen what the explainer has whose explanation it rewrites.
    """
    asked = study.explain.revises if name == Revise.name else name
    return declared(EXPLAINERS.find(asked), "sees_effects", bool, False)


def method_names(study: Study) -> Sequence[str]:
    """The explainers that the study's method asks, in order; BadInput when best-of-n has none, or one twice."""
    if study.explain.method != BEST_OF_N:
        return (study.explain.method,)
    methods = study.explain.methods
    if not methods or len(set(methods)) < len(methods):
        raise BadInput(f"explain.methods = {list(methods)}", "name at least one explainer, and none twice")
    return methods


def open_explainers(study: Study) -> dict[str, Explainer]:
    """The study's explainers by name, each with its prompt and the model `explain.llm`.

    `revise` comes with the explainer that it starts from. BadInput for a prompt or explainer that can't be had.
    """
    names = method_names(study)
    first = study.explain.revises
    asked = [*names, first] if Revise.name in names else names
    for name in study.explain.prompts:
        if name not in asked:
            raise BadInput(f"explain.prompts has a prompt for '{name}', which is not asked", nearest(name, asked))
    if Revise.name in names and first == Revise.name:
        raise BadInput(f"explain.revises = '{first}' starts from itself", "name another explainer")
    folder = user_folder(study.prompts_folder)
    llm = study.llm[study.explain.llm]
    settings = {name: ExplainSettings(llm, study.explain.prompts.get(name), folder) for name in asked}
    if Revise.name in names:
        settings[Revise.name] = replace(settings[Revise.name], first=open_explainer(first, settings[first]))
    return {name: open_explainer(name, settings[name]) for name in names}
