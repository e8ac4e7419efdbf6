"""Delphi's detection scorer over its OpenRouter client, on the server that the job names, and its own metrics."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from common.stand_ins import stand_in
from common.workers import answer

# Libraries for models and files, and the modules of its own that need them: none is on the way of a detection.
stand_in("vllm", "vllm.distributed", "vllm.distributed.parallel_state", "vllm.inputs")
stand_in("torch", "transformers", "jaxtyping", "blobfile", "orjson", "pandas", "plotly", "plotly.express")
stand_in("plotly.graph_objects", "sklearn", "sklearn.metrics")
stand_in(*(f"delphi.latents.{name}" for name in ("cache", "constructors", "loader", "samplers")))
stand_in("delphi.scorers.classifier.fuzz", "delphi.scorers.classifier.intruder", "delphi.scorers.embedding.embedding")
stand_in("delphi.scorers.embedding.example_embedding", "delphi.scorers.simulator.simulation.oai_simulator")
stand_in("delphi.scorers.surprisal.surprisal")

import numpy as np  # noqa: E402
from delphi.clients import OpenRouter  # noqa: E402
from delphi.latents.latents import ActivatingExample, Latent, LatentRecord, NonActivatingExample  # noqa: E402
from delphi.log.result_analysis import compute_classification_metrics  # noqa: E402
from delphi.scorers import DetectionScorer  # noqa: E402

BATCH = 5
"""Its default number of examples in one prompt."""


def handle(job: dict[str, Any]) -> dict[str, Any]:
    """A unit with an explanation: decisions by context and the score; without an address, the prompts."""
    client = OpenRouter(
        "model", api_key="none", base_url=f"{job['url']}/chat/completions", max_tokens=job["max_tokens"]
    )
    scorer = DetectionScorer(client, n_examples_shown=BATCH)
    if job["url"] is None:
        batches = scorer._batch(scorer._prepare(_record(job)))
        prompts = [scorer._build_prompt(job["explanation"], batch) for batch in batches]
        return {"prompts": prompts, "version": version("eai-delphi")}
    result = scorer.call_sync(_record(job))
    return {
        "score": _balanced_accuracy(result.score),
        "values": [
            {"text": "".join(one.str_tokens), "prediction": one.prediction, "active": one.activating}
            for one in result.score
        ],
    }


def _record(job: dict[str, Any]) -> LatentRecord:
    active = [
        ActivatingExample(
            tokens=np.zeros(0), activations=np.array(context["truth"]), str_tokens=list(context["pieces"])
        )
        for context in job["contexts"]
        if max(context["truth"]) > 0
    ]
    silent = [
        NonActivatingExample(
            tokens=np.zeros(0), activations=np.array(context["truth"]), str_tokens=list(context["pieces"])
        )
        for context in job["contexts"]
        if max(context["truth"]) <= 0
    ]
    latent = Latent("planted", 0)
    return LatentRecord(latent, test=active, not_active=silent, explanation=job["explanation"])


def _balanced_accuracy(outputs: list[Any]) -> float | None:
    """By its own metrics, whose `compute_confusion` leaves out what has no prediction; None when nothing has one."""
    decided = [one for one in outputs if one.prediction is not None]
    if not decided:
        return None
    counts = {
        name: sum(one.prediction == said and one.activating == active for one in decided)
        for name, said, active in (
            ("true_positives", True, True),
            ("true_negatives", False, False),
            ("false_positives", True, False),
            ("false_negatives", False, True),
        )
    }
    positives = counts["true_positives"] + counts["false_negatives"]
    totals = {
        "total_examples": len(decided),
        "total_positives": positives,
        "total_negatives": len(decided) - positives,
    }
    return float(compute_classification_metrics({**counts, **totals})["accuracy"])


if __name__ == "__main__":
    answer(handle)
