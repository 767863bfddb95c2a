"""The Triton kernel; each of its programs computes many steps of one field."""

import triton
import triton.language as tl

from nefstudy.fitting.engines.fused.gradients import load_block, positions
from nefstudy.fitting.engines.fused.mfn import mfn
from nefstudy.fitting.engines.fused.product import split
from nefstudy.fitting.engines.fused.rffnet import rffnet
from nefstudy.fitting.engines.fused.siren import siren
from nefstudy.fitting.optimizer import BETAS, EPSILON

BETA_1, BETA_2, TINY = tl.constexpr(BETAS[0]), tl.constexpr(BETAS[1]), tl.constexpr(EPSILON)
REST_1, REST_2 = tl.constexpr(1 - BETAS[0]), tl.constexpr(1 - BETAS[1])


@triton.jit
def load_matrices(row, factor, BLOCKS: tl.constexpr, WIDE: tl.constexpr):
    """Load a row's matrices, split for products; vectors, and matrices of a wide field, are replaced by 0."""
    matrices = ()
    for i in tl.static_range(len(BLOCKS)):
        if BLOCKS[i][4] == 1 or WIDE:
            matrices = matrices + (0,)
        else:
            matrices = matrices + (split(load_block(row, factor, BLOCKS[i])),)
    return matrices


@triton.jit
def load_vectors(matrices, row, factor, BLOCKS: tl.constexpr):
    """Return the matrices and the row's vectors, which are reloaded for each tile to save registers."""
    blocks = ()
    for i in tl.static_range(len(BLOCKS)):
        if BLOCKS[i][4] == 1:
            blocks = blocks + (load_block(row, factor, BLOCKS[i]),)
        else:
            blocks = blocks + (matrices[i],)
    return blocks


@triton.jit
def zero_gradients(BLOCKS: tl.constexpr, TILE: tl.constexpr, WIDE: tl.constexpr):
    """Return zero gradients for the blocks; a wide field's are in memory.

    The gradients of vectors and of the output's biases have extra axes, which `reduced` sums.
    """
    grads = ()
    for i in tl.static_range(len(BLOCKS)):
        if WIDE:
            grads = grads + (0,)
        elif BLOCKS[i][5] == 1:
            grads = grads + (tl.zeros([TILE], tl.float32),)
        elif BLOCKS[i][4] == 1:
            grads = grads + (tl.zeros([TILE // 16, 8, BLOCKS[i][5]], tl.float32),)
        else:
            grads = grads + (tl.zeros([BLOCKS[i][4], BLOCKS[i][5]], tl.float32),)
    return grads


@triton.jit
def reduced(grads, BLOCKS: tl.constexpr, WIDE: tl.constexpr):
    """Sum the blocks' gradients over their extra axes, once all points have been processed."""
    sums = ()
    for i in tl.static_range(len(BLOCKS)):
        if WIDE:
            sums = sums + (0,)
        elif BLOCKS[i][5] == 1:
            sums = sums + (tl.sum(grads[i], axis=0, keep_dims=True),)
        elif BLOCKS[i][4] == 1:
            sums = sums + (tl.sum(tl.sum(grads[i], axis=1), axis=0),)
        else:
            sums = sums + (grads[i],)
    return sums


@triton.jit
def gradient(
    row, sums, factor, points, targets, share, count, zero,
    KIND: tl.constexpr, BLOCKS: tl.constexpr, D: tl.constexpr, C: tl.constexpr, DEPTH: tl.constexpr,
    LOSS: tl.constexpr, TILE: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Return the gradients of the blocks and the loss over all points, computed tile by tile in order.

    A wide field's gradients are added to `sums` instead. `zero` is 0, but the compiler cannot know: so it does not
    move the loads of vectors, and of a wide field's matrices, out of the loop.
    """
    matrices = load_matrices(row, factor, BLOCKS, WIDE)
    grads = zero_gradients(BLOCKS, TILE, WIDE)
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
        memory = (row + begin * zero, factor, sums)
        if KIND == "siren":
            tile_grads, losses = siren(
                weights, grads, memory, x, y, inside, share, losses, BLOCKS, D, C, DEPTH, LOSS, WIDE
            )
        elif KIND == "mfn":
            tile_grads, losses = mfn(
                weights, grads, memory, x, y, inside, share, losses, BLOCKS, D, C, DEPTH, LOSS, WIDE
            )
        else:
            tl.static_assert(KIND == "rffnet", "the kernel has only the fields siren, mfn and rffnet")
            tile_grads, losses = rffnet(
                weights, grads, memory, x, y, inside, share, losses, BLOCKS, D, C, DEPTH, LOSS, WIDE
            )
        if WIDE:
            tl.debug_barrier()  # the next tile may read a sum in another thread than the one that wrote it
        else:
            grads = tile_grads
    return reduced(grads, BLOCKS, WIDE), tl.sum(losses, axis=0)


@triton.jit
def update(
    row, mean, variance, grads, sums, factor, step_size, bias_correction, decay,
    BLOCKS: tl.constexpr, OPTIMIZER: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Update a row and its moments in place, as optimizer.py does; a wide field's sums become zero again."""
    for i in tl.static_range(len(BLOCKS)):
        if BLOCKS[i][7]:
            position, inside = positions(BLOCKS[i])
            if WIDE:
                grad = tl.load(sums + position, mask=inside, other=0.0)
                tl.store(sums + position, tl.zeros_like(grad), mask=inside)
            else:
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
    rows, means, variances, sums, active, diverged, points, targets, scalars,
    factor, share, decay, first, steps, count, row_stride, point_stride, point_step, target_step, zero,
    KIND: tl.constexpr, BLOCKS: tl.constexpr, D: tl.constexpr, C: tl.constexpr, DEPTH: tl.constexpr,
    LOSS: tl.constexpr, OPTIMIZER: tl.constexpr, TILE: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Compute `steps` steps of field `program_id(0)`, starting with step `first`."""
    field = tl.program_id(0).to(tl.int64)
    if tl.load(active + field) == 0:
        return
    rows += field * row_stride
    means += field * row_stride
    variances += field * row_stride
    sums += field * row_stride
    points += field * point_stride
    targets += field * count * C
    diverged_at = tl.full([], -1, tl.int32)
    for step in range(steps):
        grads, loss = gradient(
            rows, sums, factor, points, targets, share, count, zero,
            KIND, BLOCKS, D, C, DEPTH, LOSS, TILE, WIDE,
        )  # fmt: skip
        is_bad = (loss != loss) | (tl.abs(loss) == float("inf"))
        diverged_at = tl.where((diverged_at == -1) & is_bad, first + step, diverged_at)
        step_size = tl.load(scalars + 2 * step)
        bias_correction = tl.load(scalars + 2 * step + 1)
        update(rows, means, variances, grads, sums, factor, step_size, bias_correction, decay, BLOCKS, OPTIMIZER, WIDE)
        points += point_step
        targets += target_step
    tl.store(diverged + field, diverged_at)


@triton.jit(do_not_specialize=["count", "row_stride", "point_stride", "zero"])
def measure(
    rows, sums, losses, points, targets, factor, share, count, row_stride, point_stride, zero,
    KIND: tl.constexpr, BLOCKS: tl.constexpr, D: tl.constexpr, C: tl.constexpr, DEPTH: tl.constexpr,
    LOSS: tl.constexpr, TILE: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Store the loss of field `program_id(0)` over all its points."""
    field = tl.program_id(0).to(tl.int64)
    _, loss = gradient(
        rows + field * row_stride, sums + field * row_stride, factor,
        points + field * point_stride, targets + field * count * C, share, count, zero,
        KIND, BLOCKS, D, C, DEPTH, LOSS, TILE, WIDE,
    )  # fmt: skip
    tl.store(losses + field, loss * share)
