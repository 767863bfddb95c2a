"""Parts shared by the kernels of all three fields: the first linear map, and the last linear map with the loss."""

import triton
import triton.language as tl

from nefstudy.fitting.engines.fused.gradients import add_bias, add_vector


@triton.jit
def entry(weights, bias, coordinates, AT: tl.constexpr, D: tl.constexpr):
    """Return the first linear map's outputs [tile, hidden], which are sum_d coordinates[d] weights[AT + d] + bias.

    The sum has too few terms for a matrix product.
    """
    total = bias[None, :]
    for d in tl.static_range(D):
        total = total + coordinates[d][:, None] * weights[AT + d][None, :]
    return total


@triton.jit
def error(output, target, inside, share, LOSS: tl.constexpr):
    """Return the loss of each point and its gradient with respect to the output.

    `share` is the weight of one value in the field's mean.
    """
    if LOSS == "mse":
        difference = output - target
        loss = difference * difference
        output_grad = difference * (2.0 * share)
    else:
        tl.static_assert(LOSS == "bce", "the kernel has only the losses mse and bce")
        loss = tl.maximum(output, 0.0) - output * target + tl.log(1.0 + tl.exp(-tl.abs(output)))
        output_grad = (tl.sigmoid(output) - target) * share
    return tl.where(inside, loss, 0.0), tl.where(inside, output_grad, 0.0)


@triton.jit
def output(
    weights, grads, memory, hidden, targets, inside, share, losses,
    AT: tl.constexpr, BLOCKS: tl.constexpr, C: tl.constexpr, LOSS: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Compute the last linear map and its loss; return gradients for weights[AT:] and for `hidden`, and the losses.

    weights[AT + c] are a channel's weights and weights[AT + C + c] its bias. The biases' gradients are kept per point
    until the end of the step.
    """
    kernels = ()
    biases = ()
    hidden_grad = tl.zeros_like(hidden)
    for c in tl.static_range(C):
        kernel = weights[AT + c]
        value = tl.sum(hidden * kernel[None, :], axis=1) + weights[AT + C + c]
        loss, output_grad = error(value, targets[c], inside, share, LOSS)
        losses += loss
        hidden_grad += output_grad[:, None] * kernel[None, :]
        kernels = kernels + (add_vector(grads, memory, hidden * output_grad[:, None], AT + c, BLOCKS, WIDE),)
        biases = biases + (add_bias(grads, memory, output_grad, AT + C + c, BLOCKS, WIDE),)
    return kernels + biases, hidden_grad, losses


@triton.jit
def entry_gradient(
    grads, memory, angle_grad, coordinates,
    AT: tl.constexpr, BLOCKS: tl.constexpr, D: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Return grads[AT:AT + D] plus the gradients of `entry`'s weights, given the gradient of the output of `entry`."""
    block_grads = ()
    for d in tl.static_range(D):
        tile = angle_grad * coordinates[d][:, None]
        block_grads = block_grads + (add_vector(grads, memory, tile, AT + d, BLOCKS, WIDE),)
    return block_grads
