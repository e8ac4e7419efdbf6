"""Every sparse product against its dense twin."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from sae.codes.dense import DenseCode
from sae.codes.sparse import SparseCode


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
    code.accumulate(code.values, left, into, keep=True)
    assert_close(into, 1 + dense.t() @ left)
    into.fill_(float("nan"))  # what is not kept must not leak
    code.accumulate(code.values, left, into, keep=False)
    assert_close(into, dense.t() @ left)
    middle = width // 2
    for first, end in ((0, middle), (middle, width)):
        assert_close(code.between(first, end).dense(), dense[:, first:end])


@settings(max_examples=60, deadline=None)
@given(dense=dense_codes())
def test_both_forms_of_a_code_do_the_same(dense: torch.Tensor) -> None:
    vectors, width = dense.shape
    sparse, full = SparseCode.of_dense(dense), DenseCode(dense)
    matrix, left = torch.randn(width, 5).double(), torch.randn(vectors, 5).double()
    per_latent = torch.randn(width).double()
    assert_close(sparse.times(matrix), full.times(matrix))
    assert_close(sparse.times(matrix, plus=left, plus_scale=0.5), full.times(matrix, plus=left, plus_scale=0.5))
    assert_close(sparse.firings(), full.firings())
    assert_close(sparse.row_sums(), full.row_sums())
    grads = [code.sampled_product(left, matrix) * code.spread(per_latent) for code in (sparse, full)]
    assert_close(sparse.with_values(grads[0]).dense(), grads[1])
    assert_close(sparse.sums(grads[0]), full.sums(grads[1]))
    for keep in (False, True):
        into = [torch.ones(width, 5).double() for _ in range(2)]
        for code, values, room in zip((sparse, full), grads, into, strict=True):
            code.accumulate(values, left, room, keep)
        assert_close(*into)


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
