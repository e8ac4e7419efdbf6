"""Decoding in the process: how long a batch of explainers' requests takes, beside its matrix products alone.

The requests are those that `phrase`, `short-snippets` and `snippets` make of planted units. The bound is the same
model's linear maps, in the precision that a study has by default, on random numbers of the shapes of the very passes
that the batch took. Attention, norms, sampling and all Python are in the measured time alone. Both take turns in the
same process.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from common.arguments import benchmark_parser
from common.machine import machine, sentence
from methods.evidence import material
from methods.units import meaningful

from autointerp.explain.interface import ExplainSettings, PromptedCandidate
from autointerp.explain.registry import open_explainer
from autointerp.llm.local.encode import common_prefix, encode
from autointerp.llm.local.model import LocalModel
from autointerp.llm.request import Request
from autointerp.models import LoadedModel, load_asked
from autointerp.models.half import HalfLinear
from autointerp.planted.stage import benchmark_study
from autointerp.study_models import Llm

EXPLAINERS = ("phrase", "short-snippets", "snippets")
_SEED = 0


@dataclass(frozen=True)
class Decoded:
    """One explainer's batch."""

    explainer: str
    answers: int
    shared: int
    """Tokens that all prompts begin with."""
    own: int
    """Tokens of all prompts beyond these."""
    written: int
    seconds: float
    bound: float
    """Seconds of the products."""


def main() -> int:
    parser = benchmark_parser(__doc__, quick="8 answers, one round")
    parser.add_argument("--answers", type=int, default=64, help="of a batch (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="the median counts (default %(default)s)")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.answers, arguments.rounds = 8, 1
    computer = machine("autointerp", "torch", "transformers")
    print(sentence(computer))
    results = [measure(name, arguments.answers, arguments.rounds) for name in EXPLAINERS]
    for found in results:
        print(
            f"{found.explainer}: {found.answers} answers, {found.shared} shared and {found.own} own prompt tokens, "
            f"{found.written} written: {found.seconds:.2f} s; the products alone {found.bound:.2f} s, "
            f"a share of {found.bound / found.seconds:.2f}"
        )
    if arguments.json:
        whole = {"machine": computer, "decoded": [asdict(found) for found in results]}
        Path(arguments.json).write_text(json.dumps(whole, indent=2) + "\n")
    return 0


def measure(explainer: str, answers: int, rounds: int) -> Decoded:
    """Median times over some rounds, after a warm-up."""
    loaded = load_asked("builtin", device="cpu", dtype=Llm().dtype)
    model, asked = LocalModel(loaded, answers), requests(explainer, answers)
    with passes(loaded) as shapes:
        model.generate(asked)
    taken, seconds, bounds = list(shapes), [], []
    for _ in range(rounds):
        start = time.perf_counter()
        found = model.generate(asked)
        seconds.append(time.perf_counter() - start)
        bounds.append(sum(product_seconds(loaded, rows, tokens) for rows, tokens in taken))
    prompts = [encode(request, loaded.tokenizer) for request in asked]
    shared = common_prefix(prompts)
    own = sum(len(prompt) - shared for prompt in prompts)
    written = sum(answer.output_tokens or 0 for answer in found)
    return Decoded(explainer, answers, shared, own, written, statistics.median(seconds), statistics.median(bounds))


@contextmanager
def passes(loaded: LoadedModel) -> Iterator[list[tuple[int, int]]]:
    """(rows, tokens per row) of each forward pass inside the block, in order."""
    shapes: list[tuple[int, int]] = []

    def note(module: object, inputs: tuple[torch.Tensor, ...]) -> None:
        rows, tokens = inputs[0].shape
        shapes.append((rows, tokens))

    embedding = loaded.model.get_input_embeddings()
    hook = embedding.register_forward_pre_hook(note)
    try:
        yield shapes
    finally:
        hook.remove()


def requests(explainer: str, count: int) -> list[Request]:
    """What the explainer asks of planted units, sorted by length as a run sorts them."""
    study = benchmark_study(None, ["corpus.tokens=60000"])
    asking = open_explainer(explainer, ExplainSettings(study.llm[study.explain.llm]))
    with tempfile.TemporaryDirectory() as folder:
        units = meaningful(study, Path(folder), 16)
    rng = np.random.default_rng(_SEED)
    each = -(-count // len(units))
    found = [p for unit in units for p in asking.propose(material(unit, study).shown, each, rng)]
    asked = [p.request for p in found if isinstance(p, PromptedCandidate)]
    return sorted(asked, key=lambda request: len(request.messages[-1][1]))[:count]


@torch.inference_mode()
def product_seconds(loaded: LoadedModel, rows: int, tokens: int) -> float:
    """Seconds of all linear maps of one pass; of the logits alone one token per row is needed."""
    head = loaded.model.get_output_embeddings()  # type: ignore[no-untyped-call]  # transformers leaves it untyped
    seconds = 0.0
    for layer in loaded.model.modules():
        if isinstance(layer, torch.nn.Linear | HalfLinear):
            values = torch.randn(rows if layer is head else rows * tokens, layer.in_features).to(layer.weight.dtype)
            start = time.perf_counter()
            torch.nn.functional.linear(values, layer.weight)
            seconds += time.perf_counter() - start
    return seconds


if __name__ == "__main__":
    sys.exit(main())
