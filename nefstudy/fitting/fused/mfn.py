"""Loss and gradient of one MFN over one tile of points, in a kernel."""

import triton
import triton.language as tl

from nefstudy.fitting.fused.linear import entry, entry_gradient, output
from nefstudy.fitting.fused.waves import waves


@triton.jit
def mfn(
    weights, grads, coordinates, targets, inside, share, losses,
    D: tl.constexpr, C: tl.constexpr, DEPTH: tl.constexpr, LOSS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """(grads, losses) with a tile's added; DEPTH hidden matrices, one filter more (see blocks.py)."""
    AT: tl.constexpr = (D + 1) * (DEPTH + 1)
    sine, cosine = waves(entry(weights, weights[D], coordinates, 0, D))
    sines = (sine,)
    cosines = (cosine,)
    states = (sine,)
    linears = ()
    for i in tl.static_range(DEPTH):
        sine, cosine = waves(entry(weights, weights[(i + 1) * (D + 1) + D], coordinates, (i + 1) * (D + 1), D))
        sines = sines + (sine,)
        cosines = cosines + (cosine,)
        linear = tl.dot(states[i], weights[AT + 2 * i], input_precision=PRECISION) + weights[AT + 2 * i + 1][None, :]
        linears = linears + (linear,)
        states = states + (linear * sine,)
    last, back, losses = output(weights, grads, states[DEPTH], targets, inside, share, losses, AT + 2 * DEPTH, C, LOSS)
    filters = ()
    for i in tl.static_range(DEPTH - 1, -1, -1):
        turn = back * linears[i] * cosines[i + 1]
        phase = grads[(i + 1) * (D + 1) + D] + tl.sum(turn, axis=0)
        filters = entry_gradient(grads, turn, coordinates, (i + 1) * (D + 1), D) + (phase,) + filters
        slope = back * sines[i + 1]
        kernel = tl.dot(tl.trans(states[i]), slope, acc=grads[AT + 2 * i], input_precision=PRECISION)
        last = (kernel, grads[AT + 2 * i + 1] + tl.sum(slope, axis=0)) + last
        back = tl.dot(slope, tl.trans(weights[AT + 2 * i]), input_precision=PRECISION)
    turn = back * cosines[0]
    filters = entry_gradient(grads, turn, coordinates, 0, D) + (grads[D] + tl.sum(turn, axis=0),) + filters
    return filters + last, losses
