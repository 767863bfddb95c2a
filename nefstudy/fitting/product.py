"""Matrix products of narrow fields for compiled steps: written in C++, built by inductor's own means.

A matrix library is tuned for matrices far larger than a field's. On a Zen 5 core, MKL 2024.2 gave the batched products
of 32-wide layers 70 GFLOP/s, as it keeps to AVX2 there, and these 130 by AVX-512 (100 where points are summed over).
"""

from functools import cache
from importlib.resources import files

import torch
from jaxtyping import Float
from torch import Tensor
from torch.fx import GraphModule, Node

from nefstudy.fields.padding import MULTIPLE

WIDEST = 128  # units; beyond, a matrix library's blocks for the cache win


@cache
def load_products() -> None:
    """Build the products once per machine, and make `torch.ops.nefstudy.product` known to this process."""
    from torch._inductor import config
    from torch._inductor.codecache import CppCodeCache

    source = files("nefstudy.fitting").joinpath("product.cpp").read_text(encoding="utf-8")
    with config.patch({"compile_threads": 1, "cpp.enable_floating_point_contract_flag": "fast"}):
        CppCodeCache.load(source, needs_vec_isa=True)
    torch.library.register_fake("nefstudy::product", _shape)


def _shape(one: Float[Tensor, "F M K"], other: Float[Tensor, "F K N"]) -> Float[Tensor, "F M N"]:
    return one.new_empty(one.shape[0], one.shape[1], other.shape[2])


def use_products(graph: GraphModule) -> None:
    """Replace the graph's products of narrow matrices, those of wide ones left to the matrix library."""
    load_products()
    for node in graph.graph.nodes:
        if node.target is torch.ops.aten.bmm.default and _is_narrow(*node.args):
            node.target = torch.ops.nefstudy.product.default
    graph.recompile()


def _is_narrow(one: Node, other: Node) -> bool:
    """Whether what is multiplied has rows of points, and few of them."""
    left, right = one.meta["val"], other.meta["val"]
    (_, rows, inner), columns = map(int, left.shape), int(right.shape[2])
    along = right.stride(2) == 1 and columns % MULTIPLE == 0
    across = right.stride(1) == 1 and left.stride(2) == 1 and inner % MULTIPLE == 0
    return (along and max(rows, inner) <= WIDEST) or (across and max(rows, columns) <= WIDEST)
