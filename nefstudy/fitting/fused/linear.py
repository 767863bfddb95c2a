"""The parts of a field that all three share, in a kernel: a tile's coordinates, and the output with its loss."""

import triton
import triton.language as tl

from nefstudy.fitting.fused.product import folded


@triton.jit
def entry(weights, bias, coordinates, AT: tl.constexpr, D: tl.constexpr):
    """sum_d x_d w_d + bias [tile, hidden], weights[AT + d] those of coordinate d: too narrow for a matrix product."""
    total = bias[None, :]
    for d in tl.static_range(D):
        total = total + coordinates[d][:, None] * weights[AT + d][None, :]
    return total


@triton.jit
def error(output, target, inside, share, LOSS: tl.constexpr):
    """(loss of each point, its gradient by the output); `share` is what one value counts for in the field's mean."""
    if LOSS == "mse":
        difference = output - target
        loss = difference * difference
        slope = difference * (2.0 * share)
    else:
        loss = tl.maximum(output, 0.0) - output * target + tl.log(1.0 + tl.exp(-tl.abs(output)))
        slope = (tl.sigmoid(output) - target) * share
    return tl.where(inside, loss, 0.0), tl.where(inside, slope, 0.0)


@triton.jit
def output(
    weights, grads, hidden, targets, inside, share, losses, AT: tl.constexpr, C: tl.constexpr, LOSS: tl.constexpr
):
    """(gradients of weights[AT:], gradient by `hidden`, losses): the last map, its loss, and back.

    weights[AT + c] are a channel's weights and weights[AT + C + c] its bias; of the latter, gradients stay
    point by point until the step's end.
    """
    kernels = ()
    biases = ()
    back = tl.zeros_like(hidden)
    for c in tl.static_range(C):
        kernel = weights[AT + c]
        value = tl.sum(hidden * kernel[None, :], axis=1) + weights[AT + C + c]
        loss, slope = error(value, targets[c], inside, share, LOSS)
        losses += loss
        back += slope[:, None] * kernel[None, :]
        kernels = kernels + (folded(grads[AT + c], hidden * slope[:, None]),)
        biases = biases + (grads[AT + C + c] + slope,)
    return kernels + biases, back, losses


@triton.jit
def entry_gradient(grads, turn, coordinates, AT: tl.constexpr, D: tl.constexpr):
    """Gradients of `entry`'s weights, added to grads[AT:AT + D], given the gradient by its result."""
    found = ()
    for d in tl.static_range(D):
        found = found + (folded(grads[AT + d], turn * coordinates[d][:, None]),)
    return found
