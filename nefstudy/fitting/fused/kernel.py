"""The kernel: one program takes one field through many steps, its state in registers."""

import triton
import triton.language as tl

from nefstudy.fitting.fused.mfn import mfn
from nefstudy.fitting.fused.product import split
from nefstudy.fitting.fused.rffnet import rffnet
from nefstudy.fitting.fused.siren import siren
from nefstudy.fitting.optimizer import BETAS, EPSILON

BETA_1, BETA_2, TINY = tl.constexpr(BETAS[0]), tl.constexpr(BETAS[1]), tl.constexpr(EPSILON)
REST_1, REST_2 = tl.constexpr(1 - BETAS[0]), tl.constexpr(1 - BETAS[1])


@triton.jit
def places(BLOCK: tl.constexpr):
    """Where a block's numbers lie in the flat row, and which of them exist."""
    column = tl.arange(0, BLOCK[5])
    if BLOCK[4] == 1:
        place = BLOCK[0] + column * BLOCK[1]
        inside = column < BLOCK[3]
    else:
        row = tl.arange(0, BLOCK[4])
        place = BLOCK[0] + row[:, None] * BLOCK[1] + column[None, :]
        inside = (row[:, None] < BLOCK[2]) & (column[None, :] < BLOCK[3])
    return place, inside


@triton.jit
def matrices(row, factor, BLOCKS: tl.constexpr):
    """A row's matrices as a field uses them, split for products and zero beyond what exists; 0 for vectors."""
    found = ()
    for i in tl.static_range(len(BLOCKS)):
        if BLOCKS[i][4] == 1:
            found = found + (0,)
        else:
            place, inside = places(BLOCKS[i])
            values = tl.load(row + place, mask=inside, other=0.0)
            if BLOCKS[i][6]:
                values = values * factor
            found = found + (split(values),)
    return found


@triton.jit
def with_vectors(kept, row, factor, BLOCKS: tl.constexpr):
    """The same with a row's vectors in their places; read anew for each tile, for a register is worth more."""
    found = ()
    for i in tl.static_range(len(BLOCKS)):
        if BLOCKS[i][4] == 1:
            place, inside = places(BLOCKS[i])
            values = tl.load(row + place, mask=inside, other=0.0)
            if BLOCKS[i][6]:
                values = values * factor
            found = found + (values,)
        else:
            found = found + (kept[i],)
    return found


@triton.jit
def nothing_yet(BLOCKS: tl.constexpr, TILE: tl.constexpr):
    """Gradients of the blocks before the first point; of vectors, and of the output's biases, not yet summed up."""
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
def summed(grads, BLOCKS: tl.constexpr):
    """Gradients of the blocks after the last point."""
    found = ()
    for i in tl.static_range(len(BLOCKS)):
        if BLOCKS[i][5] == 1:
            found = found + (tl.sum(grads[i], axis=0, keep_dims=True),)
        elif BLOCKS[i][4] == 1:
            found = found + (tl.sum(tl.sum(grads[i], axis=1), axis=0),)
        else:
            found = found + (grads[i],)
    return found


@triton.jit
def gradient(
    row, factor, points, targets, share, count, nothing,
    KIND: tl.constexpr, BLOCKS: tl.constexpr, D: tl.constexpr, C: tl.constexpr, DEPTH: tl.constexpr,
    LOSS: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    """(gradients of the blocks, loss) over all points, tile by tile in order; `nothing` is 0, unknown to compilers."""
    kept = matrices(row, factor, BLOCKS)
    grads = nothing_yet(BLOCKS, TILE)
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
        weights = with_vectors(kept, row + begin * nothing, factor, BLOCKS)
        if KIND == "siren":
            grads, losses = siren(weights, grads, x, y, inside, share, losses, D, C, DEPTH, LOSS)
        elif KIND == "mfn":
            grads, losses = mfn(weights, grads, x, y, inside, share, losses, D, C, DEPTH, LOSS)
        else:
            grads, losses = rffnet(weights, grads, x, y, inside, share, losses, D, C, DEPTH, LOSS)
    return summed(grads, BLOCKS), tl.sum(losses, axis=0)


@triton.jit
def update(row, mean, variance, grads, factor, size, spread, kept, BLOCKS: tl.constexpr, OPTIMIZER: tl.constexpr):
    """One step of optimizer.py's update of a row and its moments."""
    for i in tl.static_range(len(BLOCKS)):
        if BLOCKS[i][7]:
            place, inside = places(BLOCKS[i])
            grad = grads[i]
            if BLOCKS[i][6]:
                grad = grad * factor
            if OPTIMIZER == "adamw":
                first = BETA_1 * tl.load(mean + place, mask=inside, other=0.0) + REST_1 * grad
                second = BETA_2 * tl.load(variance + place, mask=inside, other=0.0) + REST_2 * (grad * grad)
                tl.store(mean + place, first, mask=inside)
                tl.store(variance + place, second, mask=inside)
                stride = tl.div_rn(size * first, tl.sqrt_rn(second) * spread + TINY)
            else:
                stride = size * grad
            tl.store(row + place, tl.load(row + place, mask=inside, other=0.0) * kept - stride, mask=inside)
    tl.debug_barrier()  # the next step may read a number in another thread than wrote it


NUMBERS = ["first", "steps", "count", "row_stride", "point_stride", "point_step", "target_step", "nothing"]


@triton.jit(do_not_specialize=NUMBERS)  # one program for every count of steps, or bits could differ
def climb(
    rows, means, variances, moves, diverged, points, targets, paces,
    factor, share, kept, first, steps, count, row_stride, point_stride, point_step, target_step, nothing,
    KIND: tl.constexpr, BLOCKS: tl.constexpr, D: tl.constexpr, C: tl.constexpr, DEPTH: tl.constexpr,
    LOSS: tl.constexpr, OPTIMIZER: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    """Take field `program_id(0)` through `steps` steps, the first of which is counted `first`."""
    field = tl.program_id(0).to(tl.int64)
    if tl.load(moves + field) == 0:
        return
    rows += field * row_stride
    means += field * row_stride
    variances += field * row_stride
    points += field * point_stride
    targets += field * count * C
    gone = tl.full([], -1, tl.int32)
    for step in range(steps):
        grads, loss = gradient(
            rows, factor, points, targets, share, count, nothing,
            KIND, BLOCKS, D, C, DEPTH, LOSS, TILE,
        )  # fmt: skip
        gone = tl.where((gone == -1) & ((loss != loss) | (tl.abs(loss) == float("inf"))), first + step, gone)
        size = tl.load(paces + 2 * step)
        spread = tl.load(paces + 2 * step + 1)
        update(rows, means, variances, grads, factor, size, spread, kept, BLOCKS, OPTIMIZER)
        points += point_step
        targets += target_step
    tl.store(diverged + field, gone)


@triton.jit(do_not_specialize=["count", "row_stride", "point_stride", "nothing"])
def measure(
    rows, losses, points, targets, factor, share, count, row_stride, point_stride, nothing,
    KIND: tl.constexpr, BLOCKS: tl.constexpr, D: tl.constexpr, C: tl.constexpr, DEPTH: tl.constexpr,
    LOSS: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    """The loss of field `program_id(0)` at all its points."""
    field = tl.program_id(0).to(tl.int64)
    _, loss = gradient(
        rows + field * row_stride, factor, points + field * point_stride, targets + field * count * C,
        share, count, nothing,
        KIND, BLOCKS, D, C, DEPTH, LOSS, TILE,
    )  # fmt: skip
    tl.store(losses + field, loss * share)
