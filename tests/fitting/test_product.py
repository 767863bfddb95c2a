"""Laws of the products of narrow matrices: those of the matrix library, the same bytes in every lane."""

from itertools import product

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from nefstudy.fitting.product import WIDEST, load_products, use_products

pytestmark = [pytest.mark.compiled, pytest.mark.slow]
SHAPES = [*product((1, 3, 8, 21, 32), (1, 5, 16, 37), (16, 64, 112, 784)), (64, 64, 1024), (WIDEST, WIDEST, 48)]


@pytest.fixture(autouse=True)
def _loaded() -> None:
    load_products()


def operands(rows: int, inner: int, points: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Layers forward, by a transposed kernel; their gradients by inputs; and by kernels."""
    torch.manual_seed(rows * 1000 + inner)
    kernel, inputs = torch.randn(5, inner, rows), torch.randn(5, inner, points)
    cotangent = torch.randn(5, rows, points)
    return [(kernel.mT, inputs), (kernel, cotangent), (inputs, cotangent.mT)]


def test_products_are_those_of_the_matrix_library() -> None:
    """Every shape, whole vectors or not, to the rounding of sums of so many numbers."""
    for shape in SHAPES:
        for one, other in operands(*shape):
            found, expected = torch.ops.nefstudy.product(one, other), torch.bmm(one.double(), other.double())
            limit = 1e-6 * torch.bmm(one.abs(), other.abs()) + 1e-6
            assert ((found - expected).abs() <= limit).all(), shape


def test_a_lanes_bytes_are_its_own() -> None:
    """Any place among any neighbours, by one thread or two: the same bytes; other operands give others."""
    threads = torch.get_num_threads()
    order = torch.tensor([3, 0, 4, 1, 2])
    for shape in SHAPES:
        for one, other in operands(*shape):
            expected = torch.ops.nefstudy.product(one, other)[order]
            places = [torch.empty_strided(x.shape, x.stride()).copy_(x[order]) for x in (one, other)]
            try:
                torch.set_num_threads(2)
                assert torch.equal(torch.ops.nefstudy.product(*places), expected), shape
            finally:
                torch.set_num_threads(threads)
            assert not torch.equal(expected[0], expected[1])


def test_shapes_it_cannot_multiply_are_refused() -> None:
    """Rows that fill no vector raise, instead of reading past their end."""
    with pytest.raises(RuntimeError, match="no product for these shapes and strides"):
        torch.ops.nefstudy.product(torch.ones(2, 3, 5), torch.ones(2, 5, 7))


@pytest.mark.parametrize(("units", "narrow"), [(WIDEST, True), (WIDEST + 1, False)])
def test_wide_matrices_are_left_to_the_library(units: int, narrow: bool) -> None:
    """A graph's products are replaced up to a width, and none beyond it."""
    graph = make_fx(torch.bmm)(torch.ones(2, 8, units), torch.ones(2, units, 16))
    use_products(graph)
    assert (torch.ops.nefstudy.product.default in {node.target for node in graph.graph.nodes}) == narrow
