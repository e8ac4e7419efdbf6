"""Vectors whose true features are known, made batch by batch from a seed: the same in every process."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor

from saes.job import Data

_ZIPF = 0.6
_BISECTIONS = 60
_CHILDREN = 4
"""One atom in this many is the child of a more frequent one, without which it never comes."""
_GROUPS, _ON, _BOOST = 16, 0.2, 3.0
"""Topics that the other atoms belong to; how often each is on, and how much more often its atoms then come."""
_MOST_OFTEN = 1 / _BOOST
_LEAST, _TAIL = 0.5, 0.5
_NOISE = 0.05
_OFFSET = 1.0
_TOY_STEPS, _TOY_BATCH, _TOY_LR = 1000, 512, 1e-2
_REPRESENTED = 0.5
_STRIDE = 1_000_003
"""Apart from each other: the random numbers of two seeds, for up to so many batches."""
_FIRST = 2
"""After the features' own random numbers come those of batch -1, which is held out, and of the others."""


class Planted(ABC):
    """A distribution of vectors with known features."""

    dictionary: Tensor
    """True directions [feature, d_in], each of length 1."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._kept: dict[tuple[int, int], Tensor] = {}

    def batch(self, number: int, size: int) -> Tensor:
        """Batch `number` of `size` vectors [vector, d_in], always the same for the same seed. Not to be written to."""
        if (number, size) not in self._kept:
            generator = _generator(self._seed, _FIRST + number)
            self._kept[number, size] = self._draw(size, generator)
        return self._kept[number, size]

    @abstractmethod
    def _draw(self, size: int, generator: torch.Generator) -> Tensor: ...


class SparseDictionary(Planted):
    """Nonnegative sparse sums of random unit directions, more of them than dimensions, as in SynthSAEBench.

    Frequencies follow Zipf's law. A quarter of the atoms are children, which come only with their parent; the others
    belong to topics, so that they come together. Strengths have an exponential tail; noise and an offset are added.
    """

    def __init__(self, data: Data) -> None:
        super().__init__(data.seed)
        generator = _generator(data.seed, 0)
        self.dictionary = _unit(torch.randn(data.atoms, data.d_in, generator=generator))
        self._offset = _OFFSET * _unit(torch.randn(1, data.d_in, generator=generator))
        self._noise = _NOISE / data.d_in**0.5
        rates = _zipf(data.atoms, data.active)
        order = torch.randperm(data.atoms, generator=generator)
        children = torch.arange(data.atoms)[_CHILDREN - 1 :: _CHILDREN]
        # In order of frequency every fourth atom is a child, of one of the three before it.
        parents = children - 1 - torch.randint(_CHILDREN - 1, children.shape, generator=generator)
        topics = torch.randint(_GROUPS, (data.atoms,), generator=generator)
        self._children, self._parents, self._given = order[children], order[parents], rates[children] / rates[parents]
        self._rates = torch.empty_like(rates)
        self._rates[order] = rates
        self._topics = topics[order]

    def _draw(self, size: int, generator: torch.Generator) -> Tensor:
        on = torch.rand(size, _GROUPS, generator=generator) < _ON
        off = (1 - _ON * _BOOST) / (1 - _ON)
        factors = torch.where(on, _BOOST, off)[:, self._topics]
        chance = torch.rand(size, self._rates.shape[0], generator=generator)
        active = chance < self._rates * factors
        active[:, self._children] = active[:, self._parents] & (chance[:, self._children] < self._given)
        strength = _LEAST - _TAIL * torch.rand(active.shape, generator=generator).clamp_min_(1e-9).log_()
        code = torch.where(active, strength, 0.0)
        noise = self._noise * torch.randn(size, self.dictionary.shape[1], generator=generator)
        vectors: Tensor = code @ self.dictionary + self._offset + noise
        return vectors


class ToyModel(Planted):
    """The hidden vectors of a toy model of superposition: W x, for a model relu(W^T W x + b) trained to give x back.

    After Elhage et al. 2022: more features than hidden dimensions, each independently active with a strength uniform
    in [0, 1], all equally important. Features that the model came to ignore are no part of the dictionary.
    """

    def __init__(self, data: Data) -> None:
        super().__init__(data.seed)
        generator = _generator(data.seed, 0)
        self._rate = data.active / data.atoms
        self._features = data.atoms
        self._weights = self._trained(data, generator)
        lengths = torch.linalg.vector_norm(self._weights, dim=1)
        self.dictionary = _unit(self._weights[lengths > _REPRESENTED])

    def _trained(self, data: Data, generator: torch.Generator) -> Tensor:
        weights = torch.randn(data.atoms, data.d_in, generator=generator).mul_(data.d_in**-0.5).requires_grad_()
        bias = torch.zeros(data.atoms, requires_grad=True)
        adam = torch.optim.Adam([weights, bias], lr=_TOY_LR)
        for step in range(_TOY_STEPS):
            adam.param_groups[0]["lr"] = _TOY_LR * (1 - step / _TOY_STEPS)
            x = self._code(_TOY_BATCH, generator)
            loss = (x - (x @ weights @ weights.t() + bias).relu()).square().sum(dim=1).mean()
            adam.zero_grad()
            loss.backward()
            adam.step()
        return weights.detach()

    def _code(self, size: int, generator: torch.Generator) -> Tensor:
        active = torch.rand(size, self._features, generator=generator) < self._rate
        return torch.where(active, torch.rand(active.shape, generator=generator), 0.0)

    def _draw(self, size: int, generator: torch.Generator) -> Tensor:
        return self._code(size, generator) @ self._weights


KINDS: Mapping[str, type[SparseDictionary] | type[ToyModel]] = {"dictionary": SparseDictionary, "toy": ToyModel}


def planted(data: Data) -> Planted:
    """The distribution that `data` tells of."""
    return KINDS[data.kind](data)


def _zipf(count: int, total: float) -> Tensor:
    """Falling frequencies that add up to `total`: a power law, cut where an atom would come too often."""
    law = torch.arange(1, count + 1, dtype=torch.float64) ** -_ZIPF
    low, high = 0.0, float(total)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if float((middle * law).clamp_max(_MOST_OFTEN).sum()) < total else (low, middle)
    return (low * law).clamp_max(_MOST_OFTEN).float()


def _generator(seed: int, number: int) -> torch.Generator:
    """Random numbers that no contestant's start can be made of: theirs come from small seeds, and all draw normals."""
    return torch.Generator().manual_seed((seed + 1) * _STRIDE + number)


def _unit(rows: Tensor) -> Tensor:
    units: Tensor = rows / torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    return units
