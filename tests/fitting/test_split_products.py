"""The arithmetic of the fused engine's products, in numbers, without Triton."""

import torch

BITS = 13  # that tf32 drops of a float32


def held_by_tf32(value: torch.Tensor) -> torch.Tensor:
    """What a tensor core reads of a float32: all but its 13 lowest bits."""
    return (value.view(torch.int32) & -(2**BITS)).view(torch.float32)


def split_product(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Three products of parts, as in nefstudy/fitting/fused/product.py, each part cut as the hardware cuts it."""
    highs = [held_by_tf32((factor.view(torch.int32) + 2 ** (BITS - 1)).view(torch.float32)) for factor in (one, other)]
    lows = [held_by_tf32(factor - high) for factor, high in zip((one, other), highs, strict=True)]
    return lows[0] @ highs[1] + highs[0] @ lows[1] + highs[0] @ highs[1]


def test_products_in_three_parts_are_as_good_as_float32s() -> None:
    """Their error against float64 is at most half as large again as float32's; a single tf32 product's is 100 times."""
    random = torch.Generator().manual_seed(0)
    errors = torch.zeros(3)
    for size in (16, 32, 64, 256):
        one, other = torch.randn(2, 200, size, size, generator=random).unbind()
        exact = one.double() @ other.double()
        found = (one @ other, split_product(one, other), held_by_tf32(one) @ held_by_tf32(other))
        errors += torch.stack([(product - exact).norm() / exact.norm() for product in found]).float()
    plain, split, single = errors.tolist()
    assert split < 1.5 * plain
    assert single > 100 * plain
