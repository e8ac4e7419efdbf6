"""A small study whose models are behind an endpoint, and what that endpoint's model would write."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tests.llm.misbehaving import Body, draw
from tests.small import small_settings

_TOKEN = re.compile(r'^\d+: (".*")$', re.M)
_DESCRIPTION = re.compile(r"^Description: (.*)$", re.M)
_EXCERPT = re.compile(r"^Excerpt \d+: (.*)$", re.M)
_MARKED = re.compile("«([^«»]+)»")


def brain(body: Body) -> str:
    """Answers that depend on the last message alone: the same question gets the same answer, re-asked or not."""
    asked = body["messages"][-1]["content"]
    described = _DESCRIPTION.search(asked)
    if described is None:
        found = sorted(set(_MARKED.findall(asked)))
        word = found[draw(asked).integers(len(found))].strip() if found else ""
        return f"[EXPLANATION]: words such as {word or 'these'}, and others that stand near it in a text"
    tokens = _TOKEN.findall(asked)
    values = [int(draw(described.group(1), token).integers(-20, 10)) for token in tokens]
    if "Write " in asked:
        return "\n".join(f"{place}={max(value, 0)}" for place, value in enumerate(values))
    if tokens:
        return json.dumps({str(place): value for place, value in enumerate(values) if value > 0})
    answers = [int(draw(described.group(1), text).random() < 0.5) for text in _EXCERPT.findall(asked)]
    return json.dumps({"answers": answers})


def served_settings(folder: Path, url: str, *, simulator: str = "sparse-json", **llm: Any) -> dict[str, Any]:
    """Explainer, simulator and judge behind `url`; one metric of the simulator, since an endpoint knows of none."""
    settings = small_settings(folder)
    model = {"provider": "openai", "model": "m", "base_url": url, "timeout": 10.0, "max_tokens": 64, **llm}
    return {
        **settings,
        "score": {**settings["score"], "metrics": ["pearson"]},
        "llm": {"explainer": model, "simulator": model},
        "explain": {"methods": ["exemplars", "highlight"], "candidates": 6},
        "simulate": {**settings["simulate"], "method": simulator},
        "judge": {"methods": ["detection"], "examples": 6},
        "compare": {"resamples": 1000, "derangements": 1},
    }
