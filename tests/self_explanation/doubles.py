"""A played chat model that truly decides by some words, and says so, or says something else."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import exp, log
from pathlib import Path
from typing import Any

from autointerp.self_explanation.review_templates import HELD_OUT
from autointerp.self_explanation.review_words import words_of
from tests.llm.doubles import Reply, chat

WEIGHTS = {
    **{word: 1.5 + 0.1 * place for place, word in enumerate(HELD_OUT.positive)},
    **{word: -1.5 - 0.1 * place for place, word in enumerate(HELD_OUT.negative)},
}
"""What the model decides by: the sum of these. Of negation and contrast it knows nothing."""
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')


@dataclass
class PlayedModel:
    """Answers accounts and labels; `behave` is for `serve`."""

    honest: bool = True
    """Else it gives its own numbers to the words that do nothing, and 0 to those that decide."""
    logprobs: bool = False
    asked: int = 0
    weights: Mapping[str, float] = field(default_factory=lambda: WEIGHTS)

    def behave(self, body: dict[str, Any]) -> Reply:
        self.asked += 1
        if "messages" not in body:
            return Reply(404)
        last = str(body["messages"][-1]["content"])
        if not last.startswith("Review: "):
            return self._chat(body, "Paris is the capital of France.", [])
        review = json.loads(_QUOTED.findall(last)[0])
        logit = sum(self.weights.get(word, 0.0) for word in words_of(review))
        label, sure = ("positive" if logit > 0 else "negative"), 1 / (1 + exp(-abs(logit)))
        system = str(body["messages"][0]["content"])
        said = {"label": label, "confidence": round(sure, 4)}
        if "list of its words" in system:
            entries = {"explanation": [{"word": w, "importance": self._says(w, logit)} for w in words_of(review)]}
            first = "first the importances" in system
            return self._chat(body, json.dumps({**entries, **said} if first else {**said, **entries}), [])
        text = json.dumps({"label": label})
        return self._chat(body, text if self.logprobs else json.dumps(said), [(label, sure)])

    def _says(self, word: str, logit: float) -> float:
        weight = self.weights.get(word, 0.0)
        if self.honest:
            return round(weight / 2.3, 3)
        number = 0.0 if weight else round(0.1 + 0.08 * min(len(word), 10), 3)
        return number if logit > 0 else -number

    def _chat(self, body: dict[str, Any], text: str, labels: list[tuple[str, float]]) -> Reply:
        reply = chat(text)
        if not (self.logprobs and body.get("logprobs")):
            return reply
        raw = json.loads(reply.body)
        tokens = [{"token": text, "logprob": -0.1, "top_logprobs": _alternatives(text)}]
        for label, sure in labels:
            other = "negative" if label == "positive" else "positive"
            top = [{"token": label[:3], "logprob": log(sure)}, {"token": other, "logprob": log(1 - sure)}]
            before, after = text.split(label)
            tokens = [
                {"token": part, "logprob": -0.1, "top_logprobs": _alternatives(part)}
                for part in (before, label[:3], label[3:] + after)
            ]
            tokens[1] = {"token": label[:3], "logprob": log(sure), "top_logprobs": top}
        raw["choices"][0]["logprobs"] = {"content": tokens}
        return Reply(body=json.dumps(raw).encode())


def _alternatives(text: str) -> list[dict[str, Any]]:
    return [{"token": text, "logprob": -0.1}, *({"token": other, "logprob": -5.0} for other in "uvwxyz")]


def study_file(folder: Path, url: str, **more: str) -> Path:
    """A study whose [llm.chat] is at `url`."""
    lines = [
        "[llm.chat]", "provider = 'openai'", "model = 'played'", f"base_url = '{url}'", "reasks = 1",
        "api_key_env = 'KEY_OF_THE_PLAYED'", *(f"{key} = {value}" for key, value in more.items()),
        "[compare]", "resamples = 1000",
    ]  # fmt: skip
    path = folder / "study.toml"
    path.write_text("\n".join(lines), encoding="utf8")
    return path
