"""The scorers of the field: what is installed, what was changed from outside to run each here, and its jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from common.environments import Environment
from common.workers import Worker
from throughput.contestants import RIVALS as CLIENTS

from autointerp.judge.interface import Items
from autointerp.planted.pairings import PlantedPairing
from autointerp.records import Context, Unscored
from methods.outcome import Scored

ALTERNATIVES = 15
"""Likeliest tokens that neuron-explainer asks for."""
_ANSWER_TOKENS = 64
"""A list of five values has some ten."""
_FEWEST_SECONDS = 120.0
_SECONDS_PER_CONTEXT = 60.0


@dataclass(frozen=True)
class Rival:
    """One scorer of the field."""

    name: str
    module: str
    """Of `methods.clients`."""
    how: str
    environment: Environment


SIMULATOR = Rival(
    "neuron-explainer",
    "neuron_explainer",
    "ExplanationNeuronSimulator under simulate_and_score; the base_api_url of its client is set to the server's; "
    "blobfile, boostedblob, sklearn and tiktoken, which its files, its calibration and its count of tokens import, "
    "replaced by stand-ins",
    Environment(
        "neuron-explainer-scorer",
        "automated-interpretability==0.0.24",
        ("httpx==0.28.1", "orjson==3.13.0", "numpy==2.4.6"),
    ),
)
DETECTOR = Rival(
    "delphi",
    "delphi",
    "DetectionScorer, five examples in a prompt, over clients.OpenRouter (its base_url argument; its max_tokens "
    f"argument at {_ANSWER_TOKENS}, where 3,000 would let a small model ramble into its time limit); given the "
    "contexts that ours draws; torch, transformers and other libraries that a detection has no use for replaced by "
    "stand-ins",
    next(client.environment for client in CLIENTS if client.name == "delphi" and client.environment),
)


def simulate(worker: Worker, url: str, pairings: Sequence[PlantedPairing]) -> list[Scored]:
    """Its score and its predictions, pairing by pairing. Raises Unavailable when it can't run at all."""
    return [_simulated(worker, url, pairing) for pairing in pairings]


def _simulated(worker: Worker, url: str, pairing: PlantedPairing) -> Scored:
    told = [
        {"pieces": list(context.pieces), "truth": truth.tolist()}
        for context, truth in zip(pairing.contexts, pairing.unit.held.truth, strict=True)
    ]
    job = {"url": url, "explanation": pairing.text, "contexts": told}
    result = worker.ask(job, _FEWEST_SECONDS + _SECONDS_PER_CONTEXT * len(told))
    if "error" in result:
        return Scored(None, f"raised {result['error']}")
    flat = [value for row in result["values"] for value in row]
    values = {str(token): value for token, value in enumerate(flat)}
    reason = "" if result["score"] is not None else "nan"
    return Scored(result["score"], reason, values, hidden=int(result["made_up"]))


def decide(
    worker: Worker, url: str, pairings: Sequence[PlantedPairing], items: Sequence[Sequence[Items] | Unscored]
) -> list[Scored]:
    """Its balanced accuracy and its decisions on the items that ours draws. Raises Unavailable."""
    return [
        Scored(None, batches.reason) if isinstance(batches, Unscored) else _decided(worker, url, pairing, batches)
        for pairing, batches in zip(pairings, items, strict=True)
    ]


def _decided(worker: Worker, url: str, pairing: PlantedPairing, batches: Sequence[Items]) -> Scored:
    known = {held.context.context: held for held in pairing.unit.held_out}
    held = [known[item.context] for batch in batches for item in batch.items]
    told = [{"pieces": list(one.context.pieces), "truth": one.activations.tolist()} for one in held]
    job = {"url": url, "explanation": pairing.text, "contexts": told, "max_tokens": _ANSWER_TOKENS}
    result = worker.ask(job, _FEWEST_SECONDS + _SECONDS_PER_CONTEXT * len(told))
    texts = _by_text([one.context for one in held])
    values = {texts[one["text"]]: float(one["prediction"]) for one in result["values"] if one["prediction"] is not None}
    reason = "" if result["score"] is not None else "no prediction"
    return Scored(result["score"], reason, values, hidden=len(held) - len(values))


def _by_text(contexts: Sequence[Context]) -> Mapping[str, str]:
    """Their ids by their texts: no two contexts of a run have the same text."""
    return {context.text: str(context.context) for context in contexts}


def prompts_of(worker: Worker, explanation: str, contexts: Sequence[Sequence[str]]) -> tuple[list[Any], str]:
    """What it would send about contexts (the texts of their tokens), and its version. Raises Unavailable."""
    told = [{"pieces": list(pieces), "truth": [0.0] * len(pieces)} for pieces in contexts]
    job = {"url": None, "explanation": explanation, "contexts": told, "max_tokens": _ANSWER_TOKENS}
    result = worker.ask(job, _FEWEST_SECONDS)
    return result["prompts"], result["version"]
