"""Matrix products of narrow layers for compiled steps, written in C++ and built by inductor.

Matrix libraries are tuned for much larger matrices. On a Zen 5 core, the batched products of 32-wide layers reached
70 GFLOP/s by MKL 2024.2, which uses only AVX2 there, and 130 by these, with AVX-512 (100 for sums over points).
"""

from functools import cache
from importlib.resources import files

import torch
from jaxtyping import Float
from torch import Tensor
from torch.fx import GraphModule, Node

from nefstudy.fields.padding import MULTIPLE

WIDEST = 128  # units; for wider layers a matrix library's cache blocking is faster


@cache
def load_products() -> None:
    """Build the products once per machine, and register `torch.ops.nefstudy.product` in this process."""
    from torch._inductor import config
    from torch._inductor.codecache import CppCodeCache

    source = files("nefstudy.fitting.engines").joinpath("product.cpp").read_text(encoding="utf-8")
    with config.patch({"compile_threads": 1, "cpp.enable_floating_point_contract_flag": "fast"}):
        CppCodeCache.load(source, needs_vec_isa=True)
    torch.library.register_fake("nefstudy::product", _shape)


def _shape(one: Float[Tensor, "F M K"], other: Float[Tensor, "F K N"]) -> Float[Tensor, "F M N"]:
    return one.new_empty(one.shape[0], one.shape[1], other.shape[2])


def use_products(graph: GraphModule) -> None:
    """Replace the graph's products of narrow matrices; wide matrices still use the matrix library."""
    load_products()
    for node in graph.graph.nodes:
        if node.target is torch.ops.aten.bmm.default and _is_narrow(*node.args):
            node.target = torch.ops.nefstudy.product.default
    graph.recompile()


def _is_narrow(one: Node, other: Node) -> bool:
    """Return whether the operands are narrow, with strides that the C++ product supports."""
    left, right = one.meta["val"], other.meta["val"]
    (_, rows, inner), columns = map(int, left.shape), int(right.shape[2])
    along = right.stride(2) == 1 and columns % MULTIPLE == 0
    across = right.stride(1) == 1 and left.stride(2) == 1 and inner % MULTIPLE == 0
    return (along and max(rows, inner) <= WIDEST) or (across and max(rows, columns) <= WIDEST)
