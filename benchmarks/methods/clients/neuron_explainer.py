"""OpenAI's neuron-explainer: its all-at-once simulator and its score, on the server that the job names."""

from __future__ import annotations

import asyncio
import math
from importlib.metadata import version
from typing import Any

from common.stand_ins import stand_in
from common.workers import answer

stand_in("blobfile", "boostedblob", "sklearn", "tiktoken")  # files of theirs, calibration, and a count of tokens

from neuron_explainer.activations.activations import ActivationRecord  # noqa: E402
from neuron_explainer.explanations.scoring import simulate_and_score  # noqa: E402
from neuron_explainer.explanations.simulator import ExplanationNeuronSimulator  # noqa: E402


def handle(job: dict[str, Any]) -> dict[str, Any]:
    """A unit with an explanation: the score and the predictions, or the error; without an address, the prompts."""
    simulator = ExplanationNeuronSimulator("model", job["explanation"])
    if job["url"] is None:
        prompts = [simulator.make_simulation_prompt(context["pieces"]) for context in job["contexts"]]
        return {"prompts": prompts, "version": version("automated-interpretability")}
    simulator.api_client.base_api_url = job["url"]  # the address alone: the simulator has no argument for it
    simulator.api_client.override_api_key = "none"
    records = [ActivationRecord(context["pieces"], context["truth"]) for context in job["contexts"]]
    try:
        scored = asyncio.run(simulate_and_score(simulator, records))
    except Exception as error:  # noqa: BLE001  whatever their code raises is what a user of it would get
        return {"error": type(error).__name__}
    simulations = [one.simulation for one in scored.scored_sequence_simulations]
    score = scored.ev_correlation_score
    return {
        "score": None if score is None or not math.isfinite(score) else float(score),
        "values": [[float(value) for value in one.expected_activations] for one in simulations],
        "made_up": sum(not values for one in simulations for values in one.distribution_values),
    }


if __name__ == "__main__":
    answer(handle)
