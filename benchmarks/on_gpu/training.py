"""Training on the GPU beside the processor: seconds per step on the same vectors, and how good the result is."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from saes.job import Data
from saes.planted import Planted, planted
from torch import Tensor

from on_gpu.sheet import Line, Sheet, times
from sae.architectures.registry import TRAINABLE
from sae.evaluate import evaluate
from sae.recipe import Recipe
from sae.training.trainer import Trainer

_PLANNED = 10_000
"""Steps that schedules and dead latents reckon with, where only a few are measured."""
_TOLERANCE = 0.02
"""Of FVU and of the mean cosine with the planted directions, between the means over the seeds."""


@dataclass(frozen=True)
class Size:
    """Of what is timed."""

    d_in: int
    width: int
    k: int
    batch: int


SMALL, LARGE = Size(512, 4096, 32, 4096), Size(4096, 65_536, 64, 4096)
"""That of `sae_speed.py`, and one that is worth a GPU: the size of the arithmetic in docs/sae-training.md."""


def measure(sheet: Sheet, rounds: int, seeds: int) -> None:
    """Speed of every architecture, the large size on the GPU alone, and quality."""
    batches = _batches(SMALL, 4)
    for architecture in TRAINABLE:
        _speed(sheet, architecture, batches, rounds)
    for architecture in ("topk", "batchtopk"):
        _precision(sheet, architecture, rounds)
    for architecture in TRAINABLE:
        _quality(sheet, architecture, seeds)


def _batches(size: Size, count: int, device: str = "cpu") -> list[Tensor]:
    """Vectors with something to find: sparse sums of directions, twice as many as there are dimensions."""
    generator = torch.Generator(device).manual_seed(0)
    directions = torch.randn(2 * size.d_in, size.d_in, generator=generator, device=device) / size.d_in**0.5
    made = []
    for _ in range(count):
        draw = torch.rand(size.batch, 2 * size.d_in, generator=generator, device=device)
        made.append(torch.where(draw > 0.99, draw, 0.0) @ directions + 0.1 * directions[0])
    return made


def _recipe(architecture: str, size: Size, **more: Any) -> Recipe:
    settings: dict[str, Any] = {"architecture": architecture, "width": size.width, "k": size.k, "batch": size.batch}
    return Recipe(**settings, **more)


def _seconds(trainer: Trainer, batches: Sequence[Tensor], steps: int) -> float:
    """Per step, over so many of them."""
    torch.cuda.synchronize()
    start = time.perf_counter()
    for number in range(steps):
        trainer.step(batches[number % len(batches)])
    torch.cuda.synchronize()
    return (time.perf_counter() - start) / steps


def _speed(sheet: Sheet, architecture: str, batches: Sequence[Tensor], rounds: int) -> None:
    """Rounds are interleaved. The GPU is fed from the processor's memory, as a run feeds it, and from its own."""
    first, there = torch.cat(list(batches)), [batch.cuda() for batch in batches]
    recipe = _recipe(architecture, SMALL)
    here = Trainer(recipe, first, steps=_PLANNED, seed=0)
    gpu = Trainer(recipe, first, steps=_PLANNED, seed=0, device="cuda")
    _seconds(here, batches, 1), _seconds(gpu, batches, 5), _seconds(gpu, there, 5)
    found: dict[str, list[float]] = {"cpu": [], "cuda": [], "cuda, vectors in its memory": []}
    for _ in range(rounds):
        found["cpu"].append(_seconds(here, batches, 3))
        found["cuda"].append(_seconds(gpu, batches, 30))
        found["cuda, vectors in its memory"].append(_seconds(gpu, there, 30))
    sheet.numbers.setdefault("training, seconds per step", {})[architecture] = found
    own = times(found["cpu"], found["cuda, vectors in its memory"])
    value = f"{times(found['cpu'], found['cuda'])}; fed from its own memory {own}"
    sheet.lines.append(Line(f"training {architecture}: GPU to CPU", value, rounds))


def _precision(sheet: Sheet, architecture: str, rounds: int) -> None:
    """The large size, which no processor is asked for: bfloat16's product to float32's, and to the product alone."""
    batches = _batches(LARGE, 2, "cuda")
    found: dict[str, list[float]] = {}
    for precision in ("float32", "bfloat16"):
        trainer = Trainer(
            _recipe(architecture, LARGE, precision=precision), batches[0].cpu(), steps=_PLANNED, seed=0, device="cuda"
        )
        _seconds(trainer, batches, 2)
        found[precision] = [_seconds(trainer, batches, 5) for _ in range(rounds)]
        del trainer
    rows = torch.randn(LARGE.width, LARGE.d_in, device="cuda").to(torch.bfloat16)
    found["bfloat16 product alone"] = [_product(batches[0].to(torch.bfloat16), rows) for _ in range(rounds)]
    found["peak GB"] = [torch.cuda.max_memory_allocated() / 1e9]
    sheet.numbers.setdefault("large training, seconds per step", {})[architecture] = {**found, "size": asdict(LARGE)}
    what = f"training {architecture}, M = {LARGE.width:,}"
    sheet.lines.append(Line(f"{what}: bfloat16 product to float32", times(found["float32"], found["bfloat16"]), rounds))
    value = times(found["bfloat16"], found["bfloat16 product alone"])
    sheet.lines.append(Line(f"{what}: step to its product alone, bfloat16", value, rounds))
    torch.cuda.empty_cache()


def _product(left: Tensor, right: Tensor) -> float:
    best = float("inf")
    for _ in range(5):
        torch.cuda.synchronize()
        start = time.perf_counter()
        torch.mm(left, right.t())
        torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return best


def _quality(sheet: Sheet, architecture: str, seeds: int) -> None:
    """Trained on the same vectors on both; the recipe's own precision, so bfloat16 products where they are faster."""
    found: dict[str, list[dict[str, float]]] = {"cpu": [], "cuda": []}
    for seed in range(seeds):
        data = planted(Data("dictionary", d_in=64, atoms=160, active=4.0, seed=seed))
        for device, scores in found.items():
            scores.append(_score(architecture, data, seed, device))
    means = {
        device: {key: statistics.mean(score[key] for score in scores) for key in scores[0]}
        for device, scores in found.items()
    }
    sheet.numbers.setdefault("quality", {})[architecture] = found
    apart = {key: abs(means["cuda"][key] - means["cpu"][key]) for key in ("fvu", "cosine")}
    value = f"FVU {means['cuda']['fvu']:.3f} and {means['cpu']['fvu']:.3f}, cosine {means['cuda']['cosine']:.3f} and "
    value += f"{means['cpu']['cosine']:.3f}"
    what = f"quality {architecture}: GPU and CPU, within {_TOLERANCE}"
    sheet.lines.append(Line(what, value, seeds, max(apart.values()) <= _TOLERANCE))


def _score(architecture: str, data: Planted, seed: int, device: str) -> dict[str, float]:
    size, steps = Size(64, 192, 4, 1024), 400
    recipe = _recipe(architecture, size, l1=0.05, lr=1e-2)
    first = torch.cat([data.batch(number, size.batch) for number in range(4)])
    trainer = Trainer(recipe, first, steps=steps, seed=seed, device=device)
    for number in range(steps):
        trainer.step(data.batch(number, size.batch))
    sae = trainer.finish().sae
    found = evaluate(sae, [data.batch(-1, 8192)])
    rows = torch.nn.functional.normalize(sae.W_dec.cpu(), dim=1)
    return {"fvu": found.fvu, "l0": found.l0, "cosine": float((data.dictionary @ rows.t()).max(dim=1).values.mean())}
