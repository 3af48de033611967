"""SURM's Fig. 1: the order of the families' errors on positive semi-definite matrices, and that they are the least."""

from __future__ import annotations

import torch

from tests.bench.surm_psd import DRAWS, ORDER, draw, errors, in_order, nearest


def test_the_papers_order_holds_in_every_draw() -> None:
    assert all(in_order(errors(draw(seed))) for seed in range(DRAWS))


def test_no_step_from_a_projection_comes_nearer() -> None:
    matrix = draw(0)
    found = errors(matrix)
    assert list(found) == ["low-rank", "Kronecker", "circulant", "symmetric Toeplitz"]
    for name, near in nearest(matrix).items():
        assert near.shape == (ORDER, ORDER)
        torch.testing.assert_close((near * (matrix - near)).sum().item(), 0.0, atol=1e-9, rtol=0)
        assert 0 < found[name] < 1
