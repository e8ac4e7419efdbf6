"""Made-up held-out contexts, a run with sparse units, and models that judge: one that knows, one that guesses."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

from autointerp.artifacts import rng_of
from autointerp.explain.highlight import OPEN, strongly_active, with_marks
from autointerp.judge.interface import HeldOut, JudgeSettings
from autointerp.llm.request import Request, Response
from autointerp.records import Context, Split
from autointerp.study import Study
from autointerp.study_models import Llm
from autointerp.tables import read_table, write_table
from tests.fake_run import FakeRun, Plan
from tests.loopback import Handling, served

SETTINGS = JudgeSettings(Llm(model="m"), examples=10, seed=3)
_EXCERPT = re.compile(r"^Excerpt \d+: (.*)$", re.MULTILINE)
_DESCRIPTION = re.compile(r"^Description: (.*)$", re.MULTILINE)


def held_out(number: int, peak: float, random: bool, text: str = "") -> HeldOut:
    """A context of three tokens, the middle one active."""
    pieces = (f"{number} ", text or "word", " end")
    context = Context(number, Split.HELD_OUT, number, f"s{number}", 0, np.arange(3), pieces)
    return HeldOut(context, np.array([0.0, peak, 0.0], dtype=np.float32), random)


def tokens_of(number: int, activations: Sequence[float], random: bool = True) -> HeldOut:
    """A context with a word for every activation; no two contexts hold the same text."""
    pieces = tuple(f" w{number}x{place}" for place in range(len(activations)))
    context = Context(number, Split.HELD_OUT, number, f"s{number}", 0, np.arange(len(pieces)), pieces)
    return HeldOut(context, np.array(activations, dtype=np.float32), random)


def mixed(active: int, inactive: int) -> tuple[HeldOut, ...]:
    """Active contexts, half of them drawn blindly, and inactive ones."""
    return (
        *(held_out(i, 1.0 + i, random=i % 2 == 0) for i in range(active)),
        *(held_out(100 + i, 0.0, random=True) for i in range(inactive)),
    )


def excerpts(messages: Sequence[tuple[str, str]]) -> list[str]:
    """The excerpts that a request asks about, as the model would read them."""
    return [json.loads(line) for line in _EXCERPT.findall(messages[-1][1])]


def asked(messages: Sequence[tuple[str, str]]) -> tuple[str, list[str]]:
    """The explanation and the excerpts that a request asks about, as the model would read them."""
    (description,) = _DESCRIPTION.findall(messages[-1][1])
    return json.loads(description), excerpts(messages)


def answer(values: Sequence[int]) -> str:
    return json.dumps({"answers": list(values)})


def sparse_run(folder: Path, **settings: Any) -> Study:
    """A run folder of units that are silent on about half of the contexts, with a judge in its study."""
    sections = {
        "evidence": {"held_out_top": 3, "held_out_random": 3, "random_only": 16},
        "judge": {"methods": ["detection"], **settings},
        "compare": {"resamples": 1000},
        "score": {"metrics": ["pearson"], "slices": ["top-and-random"]},
    }
    plan = Plan({"feature": 0.9, "neuron": 0.5}, units=16, tokens=6, contexts=120, settings=sections,
                unexplained=["neuron/1+"])  # fmt: skip
    study = FakeRun(folder, plan).write()
    rows = read_table(folder / "evidence.parquet").to_dict("records")
    for row in rows:
        row["activations"] = [float(a) if a > 1.5 else 0.0 for a in row["activations"]]
    write_table("evidence", folder / "evidence.parquet", rows)
    return study


class Oracle:
    """Knows which unit an explanation is of, and on which of its own contexts the unit is active; else it guesses."""

    def __init__(self, run: Path) -> None:
        contexts = read_table(run / "contexts.parquet", ["context", "pieces"])
        text = dict(zip(contexts["context"], ("".join(p) for p in contexts["pieces"]), strict=True))
        told = read_table(run / "explanations.parquet", ["unit", "text"])
        explanation = dict(zip(told["unit"], told["text"], strict=True))
        self._active: dict[tuple[str, str], bool] = {}
        pieces = dict(zip(contexts["context"], contexts["pieces"], strict=True))
        evidence = read_table(run / "evidence.parquet", ["unit", "context", "activations"])
        for unit, context, activations in evidence.itertuples(index=False):
            self._active[explanation[unit], text[context]] = max(activations) > 0
            marks = with_marks(tuple(pieces[context]), strongly_active(np.asarray(activations)))
            self._active[explanation[unit], json.loads(marks)] = max(activations) > 0
        self.unique = {u for u, t in explanation.items() if list(explanation.values()).count(t) == 1}
        """Units whose explanation is no other unit's."""

    def judge(self, messages: Sequence[tuple[str, str]]) -> str:
        if not _DESCRIPTION.search(messages[-1][1]):
            return "yes"  # a probe of what the endpoint can do
        explanation, excerpts = asked(messages)
        return answer([int(self._active.get((explanation, e), self._guess(explanation, e))) for e in excerpts])

    def _guess(self, explanation: str, excerpt: str) -> bool:
        """Of another unit's contexts; marks that are not the unit's own are wrong on a context of its own."""
        if OPEN in excerpt and (explanation, excerpt.replace("«", "").replace("»", "")) in self._active:
            return False
        return bool(rng_of("guess", explanation, excerpt).integers(2))

    def write(self, request: Request) -> Response:
        return Response(self.judge(request.messages), 1, 1)


def guess(request: Request) -> Response:
    """Answers that depend on nothing but the text of the request."""
    _, excerpts = asked(request.messages)
    drawn = rng_of("any", request.messages[-1][1]).integers(2, size=len(excerpts))
    return Response(answer([int(v) for v in drawn]), 1, 1)


@contextmanager
def chat_server(write: Callable[[Sequence[tuple[str, str]]], str]) -> Iterator[str]:
    """A real server on loopback whose chats are answered by `write`; yields its base URL."""

    class Handler(Handling):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            text = write([(m["role"], m["content"]) for m in body["messages"]])
            choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
            usage = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
            reply = {"id": "c", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice],
                     "usage": usage}  # fmt: skip
            self.answer(200, json.dumps(reply).encode())

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    with served(http) as address:
        yield f"{address}/v1"
