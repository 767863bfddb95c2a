"""The Triton kernel; each of its programs computes many steps of one field."""

import triton
import triton.language as tl

from nefstudy.fitting.engines.fused.mfn import mfn
from nefstudy.fitting.engines.fused.product import split
from nefstudy.fitting.engines.fused.rffnet import rffnet
from nefstudy.fitting.engines.fused.siren import siren
from nefstudy.fitting.optimizer import BETAS, EPSILON

BETA_1, BETA_2, TINY = tl.constexpr(BETAS[0]), tl.constexpr(BETAS[1]), tl.constexpr(EPSILON)
REST_1, REST_2 = tl.constexpr(1 - BETAS[0]), tl.constexpr(1 - BETAS[1])


@triton.jit
def positions(BLOCK: tl.constexpr):
    """Return the positions of a block's entries in the flat row, and a mask that excludes the padding."""
    column = tl.arange(0, BLOCK[5])
    if BLOCK[4] == 1:
        position = BLOCK[0] + column * BLOCK[1]
        inside = column < BLOCK[3]
    else:
        row = tl.arange(0, BLOCK[4])
        position = BLOCK[0] + row[:, None] * BLOCK[1] + column[None, :]
        inside = (row[:, None] < BLOCK[2]) & (column[None, :] < BLOCK[3])
    return position, inside


@triton.jit
def load_matrices(row, factor, BLOCKS: tl.constexpr):
    """Load a row's matrices, scaled, split for products and padded with zeros; vectors are replaced by 0."""
    matrices = ()
    for i in tl.static_range(len(BLOCKS)):
        if BLOCKS[i][4] == 1:
            matrices = matrices + (0,)
        else:
            position, inside = positions(BLOCKS[i])
            values = tl.load(row + position, mask=inside, other=0.0)
            if BLOCKS[i][6]:
                values = values * factor
            matrices = matrices + (split(values),)
    return matrices


@triton.jit
def load_vectors(matrices, row, factor, BLOCKS: tl.constexpr):
    """Return the matrices and the row's vectors, which are reloaded for each tile to save registers."""
    blocks = ()
    for i in tl.static_range(len(BLOCKS)):
        if BLOCKS[i][4] == 1:
            position, inside = positions(BLOCKS[i])
            values = tl.load(row + position, mask=inside, other=0.0)
            if BLOCKS[i][6]:
                values = values * factor
            blocks = blocks + (values,)
        else:
            blocks = blocks + (matrices[i],)
    return blocks


@triton.jit
def zero_gradients(BLOCKS: tl.constexpr, TILE: tl.constexpr):
    """Return zero gradients for the blocks.

    The gradients of vectors and of the output's biases have extra axes, which `reduced` sums.
    """
    grads = ()
    for i in tl.static_range(len(BLOCKS)):
        if BLOCKS[i][5] == 1:
            grads = grads + (tl.zeros([TILE], tl.float32),)
        elif BLOCKS[i][4] == 1:
            grads = grads + (tl.zeros([TILE // 16, 8, BLOCKS[i][5]], tl.float32),)
        else:
            grads = grads + (tl.zeros([BLOCKS[i][4], BLOCKS[i][5]], tl.float32),)
    return grads


@triton.jit
def reduced(grads, BLOCKS: tl.constexpr):
    """Sum the blocks' gradients over their extra axes, once all points have been processed."""
    sums = ()
    for i in tl.static_range(len(BLOCKS)):
        if BLOCKS[i][5] == 1:
            sums = sums + (tl.sum(grads[i], axis=0, keep_dims=True),)
        elif BLOCKS[i][4] == 1:
            sums = sums + (tl.sum(tl.sum(grads[i], axis=1), axis=0),)
        else:
            sums = sums + (grads[i],)
    return sums


@triton.jit
def gradient(
    row, factor, points, targets, share, count, zero,
    KIND: tl.constexpr, BLOCKS: tl.constexpr, D: tl.constexpr, C: tl.constexpr, DEPTH: tl.constexpr,
    LOSS: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    """Return the gradients of the blocks and the loss over all points, computed tile by tile in order.

    `zero` is 0, but the compiler cannot know: so it does not move the vectors' loads out of the loop.
    """
    matrices = load_matrices(row, factor, BLOCKS)
    grads = zero_gradients(BLOCKS, TILE)
    losses = tl.zeros([TILE], tl.float32)
    for begin in range(0, count, TILE):
        point = begin + tl.arange(0, TILE)
        inside = point < count
        x = ()
        for d in tl.static_range(D):
            x = x + (tl.load(points + point * D + d, mask=inside, other=0.0),)
        y = ()
        for c in tl.static_range(C):
            y = y + (tl.load(targets + point * C + c, mask=inside, other=0.0),)
        weights = load_vectors(matrices, row + begin * zero, factor, BLOCKS)
        if KIND == "siren":
            grads, losses = siren(weights, grads, x, y, inside, share, losses, D, C, DEPTH, LOSS)
        elif KIND == "mfn":
            grads, losses = mfn(weights, grads, x, y, inside, share, losses, D, C, DEPTH, LOSS)
        else:
            tl.static_assert(KIND == "rffnet", "the kernel has only the fields siren, mfn and rffnet")
            grads, losses = rffnet(weights, grads, x, y, inside, share, losses, D, C, DEPTH, LOSS)
    return reduced(grads, BLOCKS), tl.sum(losses, axis=0)


@triton.jit
def update(
    row, mean, variance, grads, factor, step_size, bias_correction, decay,
    BLOCKS: tl.constexpr, OPTIMIZER: tl.constexpr,
):  # fmt: skip
    """Update a row and its moments in place, as optimizer.py does."""
    for i in tl.static_range(len(BLOCKS)):
        if BLOCKS[i][7]:
            position, inside = positions(BLOCKS[i])
            grad = grads[i]
            if BLOCKS[i][6]:
                grad = grad * factor
            if OPTIMIZER == "adamw":
                first = BETA_1 * tl.load(mean + position, mask=inside, other=0.0) + REST_1 * grad
                second = BETA_2 * tl.load(variance + position, mask=inside, other=0.0) + REST_2 * (grad * grad)
                tl.store(mean + position, first, mask=inside)
                tl.store(variance + position, second, mask=inside)
                stride = tl.div_rn(step_size * first, tl.sqrt_rn(second) * bias_correction + TINY)
            else:
                tl.static_assert(OPTIMIZER == "sgd", "the kernel has only the optimizers adamw and sgd")
                stride = step_size * grad
            tl.store(row + position, tl.load(row + position, mask=inside, other=0.0) * decay - stride, mask=inside)
    tl.debug_barrier()  # in the next step, a number may be read by another thread than the one that wrote it


NUMBERS = ["first", "steps", "count", "row_stride", "point_stride", "point_step", "target_step", "zero"]


@triton.jit(do_not_specialize=NUMBERS)  # one program for every number of steps, because bits could differ otherwise
def take_steps(
    rows, means, variances, active, diverged, points, targets, scalars,
    factor, share, decay, first, steps, count, row_stride, point_stride, point_step, target_step, zero,
    KIND: tl.constexpr, BLOCKS: tl.constexpr, D: tl.constexpr, C: tl.constexpr, DEPTH: tl.constexpr,
    LOSS: tl.constexpr, OPTIMIZER: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    """Compute `steps` steps of field `program_id(0)`, starting with step `first`."""
    field = tl.program_id(0).to(tl.int64)
    if tl.load(active + field) == 0:
        return
    rows += field * row_stride
    means += field * row_stride
    variances += field * row_stride
    points += field * point_stride
    targets += field * count * C
    diverged_at = tl.full([], -1, tl.int32)
    for step in range(steps):
        grads, loss = gradient(
            rows, factor, points, targets, share, count, zero,
            KIND, BLOCKS, D, C, DEPTH, LOSS, TILE,
        )  # fmt: skip
        is_bad = (loss != loss) | (tl.abs(loss) == float("inf"))
        diverged_at = tl.where((diverged_at == -1) & is_bad, first + step, diverged_at)
        step_size = tl.load(scalars + 2 * step)
        bias_correction = tl.load(scalars + 2 * step + 1)
        update(rows, means, variances, grads, factor, step_size, bias_correction, decay, BLOCKS, OPTIMIZER)
        points += point_step
        targets += target_step
    tl.store(diverged + field, diverged_at)


@triton.jit(do_not_specialize=["count", "row_stride", "point_stride", "zero"])
def measure(
    rows, losses, points, targets, factor, share, count, row_stride, point_stride, zero,
    KIND: tl.constexpr, BLOCKS: tl.constexpr, D: tl.constexpr, C: tl.constexpr, DEPTH: tl.constexpr,
    LOSS: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    """Store the loss of field `program_id(0)` over all its points."""
    field = tl.program_id(0).to(tl.int64)
    _, loss = gradient(
        rows + field * row_stride, factor, points + field * point_stride, targets + field * count * C,
        share, count, zero,
        KIND, BLOCKS, D, C, DEPTH, LOSS, TILE,
    )  # fmt: skip
    tl.store(losses + field, loss * share)
