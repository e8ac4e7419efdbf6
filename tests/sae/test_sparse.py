"""Every sparse product against its dense twin."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from sae.sparse import ByLatent, SparseCode


@st.composite
def dense_codes(draw: st.DrawFn) -> torch.Tensor:
    vectors, width = draw(st.integers(1, 7)), draw(st.integers(1, 9))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10_000)))
    dense = torch.rand(vectors, width, generator=generator, dtype=torch.float64)
    return dense * (torch.rand(vectors, width, generator=generator) < draw(st.sampled_from([0.0, 0.3, 1.0])))


@settings(max_examples=60, deadline=None)
@given(dense=dense_codes())
def test_products_equal_dense_products(dense: torch.Tensor) -> None:
    vectors, width = dense.shape
    code = SparseCode.of_dense(dense)
    matrix, left = torch.randn(width, 5).double(), torch.randn(vectors, 5).double()
    assert_close(code.dense(), dense)
    assert_close(code.times(matrix), dense @ matrix)
    assert_close(code.times(matrix, plus=left, plus_scale=-2.0), dense @ matrix - 2 * left)
    assert_close(code.firings(), (dense > 0).sum(0))
    sampled = SparseCode(code.starts, code.latents, code.sampled_product(left, matrix), width)
    assert_close(sampled.dense(), (left @ matrix.t()) * (dense > 0))
    into = torch.ones(width, 5).double()
    ByLatent(code).accumulate(code.values, left, into, keep=True)
    assert_close(into, 1 + dense.t() @ left)
    into.fill_(float("nan"))  # what is not kept must not leak
    ByLatent(code).accumulate(code.values, left, into, keep=False)
    assert_close(into, dense.t() @ left)


def test_entries_of_zero_are_kept_but_inactive() -> None:
    code = SparseCode.of_rows(torch.tensor([[2, 0], [1, 2]]), torch.tensor([[0.5, 0.0], [0.0, 3.0]]), 3)
    assert code.firings().tolist() == [0, 0, 2]
    assert code.dense().tolist() == [[0.0, 0.0, 0.5], [0.0, 0.0, 3.0]]
    assert code.sampled_product(torch.ones(2, 1), torch.ones(3, 1)).tolist() == [1.0, 0.0, 0.0, 1.0]


@pytest.mark.parametrize("entries", [0, 3])
def test_rows_of_equal_length(entries: int) -> None:
    code = SparseCode.of_rows(torch.zeros(4, entries, dtype=torch.int64), torch.ones(4, entries), 5)
    assert code.vectors == 4
    assert code.rows.tolist() == [row for row in range(4) for _ in range(entries)]
