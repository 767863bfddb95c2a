"""Loss and gradient of one SIREN over one tile of points, in a kernel."""

import triton
import triton.language as tl

from nefstudy.fitting.fused.linear import entry, entry_gradient, output
from nefstudy.fitting.fused.product import folded, product, split, turned
from nefstudy.fitting.fused.waves import waves


@triton.jit
def siren(
    weights, grads, coordinates, targets, inside, share, losses,
    D: tl.constexpr, C: tl.constexpr, DEPTH: tl.constexpr, LOSS: tl.constexpr,
):  # fmt: skip
    """(grads, losses) with a tile's added; DEPTH hidden matrices, omega_0 in the weights (see blocks.py)."""
    AT: tl.constexpr = D + 1
    sine, cosine = waves(entry(weights, weights[D], coordinates, 0, D))
    hidden = split(sine)
    inputs = (hidden,)
    cosines = (cosine,)
    for i in tl.static_range(DEPTH):
        bias = tl.broadcast_to(weights[AT + 2 * i + 1][None, :], cosine.shape)
        sine, cosine = waves(product(inputs[i], weights[AT + 2 * i], bias))
        if i < DEPTH - 1:
            inputs = inputs + (split(sine),)
        cosines = cosines + (cosine,)
    last, back, losses = output(weights, grads, sine, targets, inside, share, losses, AT + 2 * DEPTH, C, LOSS)
    found = last
    for i in tl.static_range(DEPTH - 1, -1, -1):
        turn = back * cosines[i + 1]
        parts = split(turn)
        kernel = product(turned(inputs[i]), parts, grads[AT + 2 * i])
        found = (kernel, folded(grads[AT + 2 * i + 1], turn)) + found
        back = product(parts, turned(weights[AT + 2 * i]), tl.zeros_like(turn))
    turn = back * cosines[0]
    found = (folded(grads[D], turn),) + found
    return entry_gradient(grads, turn, coordinates, 0, D) + found, losses
