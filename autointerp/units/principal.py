"""Principal components: the directions of most variance of a hook's vectors (PCA), all of them candidates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from autointerp.study import Study
from autointerp.units.components import Components, component_arms
from autointerp.units.interface import Candidates, Encoder

_SMALLEST = 1e-10
"""Directions with less than this share of the largest variance are noise of single precision, and no component."""


@dataclass
class SecondMoments:
    """Mean and covariance of a stream of vectors, added up in double precision where the vectors are."""

    total: Float[Tensor, " width"]
    products: Float[Tensor, "width width"]
    vectors: int = 0

    @classmethod
    def of_width(cls, width: int) -> SecondMoments:
        """Of no vector yet."""
        return cls(torch.zeros(width, dtype=torch.float64), torch.zeros(width, width, dtype=torch.float64))

    def add(self, vectors: Float[Tensor, "vector width"]) -> None:
        """Count a batch."""
        self.total, self.products = self.total.to(vectors.device), self.products.to(vectors.device)
        exact = vectors.double()
        self.total += exact.sum(dim=0)
        self.products.addmm_(exact.T, exact)
        self.vectors += len(vectors)

    def mean(self) -> Float[np.ndarray, " width"]:
        """The mean so far."""
        return np.asarray((self.total / self.vectors).cpu().numpy())

    def covariance(self) -> Float[np.ndarray, "width width"]:
        """The covariance so far, divided by the number of vectors."""
        mean = self.mean()
        return np.asarray((self.products / self.vectors).cpu().numpy() - np.outer(mean, mean))


def principal_axes(
    covariance: Float[np.ndarray, "width width"],
) -> tuple[Float[np.ndarray, " component"], Float[np.ndarray, "component width"]]:
    """Variances, the largest first, and the unit vectors of them; those without variance are left out.

    The entry of a vector that is largest in size is positive, so that the same covariance gives the same vectors.
    """
    variances, columns = np.linalg.eigh(covariance)
    variances, rows = variances[::-1], columns.T[::-1]
    kept = variances > _SMALLEST * max(variances[0], 0.0)
    return variances[kept], oriented(rows[kept])


def oriented(rows: Float[np.ndarray, "component width"]) -> Float[np.ndarray, "component width"]:
    """The rows, each with the sign that makes its largest entry in size positive."""
    largest = np.take_along_axis(rows, np.abs(rows).argmax(axis=1)[:, None], axis=1)
    return rows * np.where(largest < 0, -1.0, 1.0)


def fit_principal(moments: SecondMoments) -> tuple[Components, Float[np.ndarray, " component"]]:
    """All principal components, and each one's share of the variance."""
    covariance = moments.covariance()
    variances, rows = principal_axes(covariance)
    return Components(moments.mean(), rows, rows), variances / np.trace(covariance)


class Principal:
    """All principal components of every hook."""

    name = "principal"
    plural = "principal components"
    oriented = True

    def candidates(
        self, study: Study, widths: Mapping[str, int], encoders: Mapping[str, tuple[Encoder, int]]
    ) -> Sequence[Candidates]:
        """One arm per hook."""
        return component_arms(self.name, study.units.principal, study, encoders)
