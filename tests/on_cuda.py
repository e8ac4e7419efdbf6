"""Tests that need a GPU: skipped, with the reason, where torch finds none."""

from __future__ import annotations

import pytest
import torch

ON_CUDA = [
    pytest.mark.cuda,
    pytest.mark.skipif(
        not torch.cuda.is_available(), reason="torch finds no CUDA GPU here (benchmarks/gpu.sh is for one)"
    ),
]
"""What a module of such tests is marked with."""
