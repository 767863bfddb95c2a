"""Tests of products of narrow matrices: they agree with the matrix library and have the same bytes in every lane."""

from itertools import product

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from nefstudy.fitting.engines.product import WIDEST, load_products, use_products

pytestmark = [pytest.mark.compiled, pytest.mark.slow]
SHAPES = [*product((1, 3, 8, 21, 32), (1, 5, 16, 37), (16, 64, 112, 784)), (64, 64, 1024), (WIDEST, WIDEST, 48)]


@pytest.fixture(autouse=True)
def _loaded() -> None:
    load_products()


def operands(rows: int, inner: int, points: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return the operands of a layer's forward pass and of its gradients with respect to the inputs and the kernel."""
    torch.manual_seed(rows * 1000 + inner)
    kernel, inputs = torch.randn(5, inner, rows), torch.randn(5, inner, points)
    cotangent = torch.randn(5, rows, points)
    return [(kernel.mT, inputs), (kernel, cotangent), (inputs, cotangent.mT)]


def test_products_are_those_of_the_matrix_library() -> None:
    """Products of all shapes, not only multiples of the vector size, equal the matrix library's up to rounding."""
    for shape in SHAPES:
        for one, other in operands(*shape):
            ours, expected = torch.ops.nefstudy.product(one, other), torch.bmm(one.double(), other.double())
            limit = 1e-6 * torch.bmm(one.abs(), other.abs()) + 1e-6
            assert ((ours - expected).abs() <= limit).all(), shape


def test_a_lanes_bytes_are_its_own() -> None:
    """A product's bytes depend only on its operands, not on the lane or the number of threads."""
    threads = torch.get_num_threads()
    order = torch.tensor([3, 0, 4, 1, 2])
    for shape in SHAPES:
        for one, other in operands(*shape):
            expected = torch.ops.nefstudy.product(one, other)[order]
            shuffled = [torch.empty_strided(x.shape, x.stride()).copy_(x[order]) for x in (one, other)]
            try:
                torch.set_num_threads(2)
                assert torch.equal(torch.ops.nefstudy.product(*shuffled), expected), shape
            finally:
                torch.set_num_threads(threads)
            assert not torch.equal(expected[0], expected[1])


def test_shapes_it_cannot_multiply_are_refused() -> None:
    """Rows whose length is not a multiple of the vector size raise an error instead of being read past their end."""
    with pytest.raises(RuntimeError, match="strides"):
        torch.ops.nefstudy.product(torch.ones(2, 3, 5), torch.ones(2, 5, 7))


@pytest.mark.parametrize(("units", "narrow"), [(WIDEST, True), (WIDEST + 1, False)])
def test_wide_matrices_are_left_to_the_library(units: int, narrow: bool) -> None:
    """In a compiled graph, only products up to a maximum width are replaced; the matrix library computes wider ones."""
    graph = make_fx(torch.bmm)(torch.ones(2, 8, units), torch.ones(2, units, 16))
    use_products(graph)
    assert (torch.ops.nefstudy.product.default in {node.target for node in graph.graph.nodes}) == narrow
