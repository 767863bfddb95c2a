"""Loss and gradient of one SIREN over one tile of points, in a kernel."""

import triton
import triton.language as tl

from nefstudy.fitting.fused.linear import entry, entry_gradient, output
from nefstudy.fitting.fused.waves import waves


@triton.jit
def siren(
    weights, grads, coordinates, targets, inside, share, losses,
    D: tl.constexpr, C: tl.constexpr, DEPTH: tl.constexpr, LOSS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """(grads, losses) with a tile's added; DEPTH hidden matrices, omega_0 in the weights (see blocks.py)."""
    AT: tl.constexpr = D + 1
    sine, cosine = waves(entry(weights, weights[D], coordinates, 0, D))
    sines = (sine,)
    cosines = (cosine,)
    for i in tl.static_range(DEPTH):
        angle = tl.dot(sines[i], weights[AT + 2 * i], input_precision=PRECISION) + weights[AT + 2 * i + 1][None, :]
        sine, cosine = waves(angle)
        sines = sines + (sine,)
        cosines = cosines + (cosine,)
    last, back, losses = output(weights, grads, sines[DEPTH], targets, inside, share, losses, AT + 2 * DEPTH, C, LOSS)
    found = last
    for i in tl.static_range(DEPTH - 1, -1, -1):
        turn = back * cosines[i + 1]
        kernel = tl.dot(tl.trans(sines[i]), turn, acc=grads[AT + 2 * i], input_precision=PRECISION)
        found = (kernel, grads[AT + 2 * i + 1] + tl.sum(turn, axis=0)) + found
        back = tl.dot(turn, tl.trans(weights[AT + 2 * i]), input_precision=PRECISION)
    turn = back * cosines[0]
    found = (grads[D] + tl.sum(turn, axis=0),) + found
    return entry_gradient(grads, turn, coordinates, 0, D) + found, losses
