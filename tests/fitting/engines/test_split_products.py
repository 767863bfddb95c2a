"""Tests, without Triton, of the accuracy of the fused engine's matrix products, which split each factor in two."""

import torch

BITS = 13  # lowest bits of a float32 that tf32 drops


def to_tf32(value: torch.Tensor) -> torch.Tensor:
    """Return a float32 as a tensor core reads it: without its 13 lowest bits."""
    return (value.view(torch.int32) & -(2**BITS)).view(torch.float32)


def split_product(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Multiply as engines/fused/product.py does: split each factor in two and add three of the partial products."""
    highs = [to_tf32((factor.view(torch.int32) + 2 ** (BITS - 1)).view(torch.float32)) for factor in (one, other)]
    lows = [to_tf32(factor - high) for factor, high in zip((one, other), highs, strict=True)]
    return lows[0] @ highs[1] + highs[0] @ lows[1] + highs[0] @ highs[1]


def test_products_in_three_parts_are_as_good_as_float32s() -> None:
    """Split products have less than 1.5 times the error of float32 products.

    A single tf32 product has more than 100 times the error of a float32 product.
    """
    random = torch.Generator().manual_seed(0)
    errors = torch.zeros(3)
    for size in (16, 32, 64, 256):
        one, other = torch.randn(2, 200, size, size, generator=random).unbind()
        exact = one.double() @ other.double()
        products = (one @ other, split_product(one, other), to_tf32(one) @ to_tf32(other))
        errors += torch.stack([(product - exact).norm() / exact.norm() for product in products]).float()
    plain, split, single = errors.tolist()
    assert split < 1.5 * plain
    assert single > 100 * plain
