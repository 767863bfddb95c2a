"""The precision of float32 arithmetic in torch, which a process shares and which decides the bytes of a fit."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import torch

_PLACES = [
    ("generic", "all"),
    *((name, op) for name in ("mkldnn", "cuda") for op in ("all", "matmul", "conv", "rnn")),
]
DEFAULT_PRECISIONS = ("highest", "none", *("none",) * 4, "none", "none", "tf32", "tf32")  # as torch starts


@contextmanager
def full_precision() -> Iterator[None]:
    """Compute as a fresh torch does inside the block: no lower types, denormals kept; restore the state after it.

    Without it, a setting of the caller would give other bytes under the same fingerprint.
    """
    before, flushes = get_precisions(), flushes_denormals()
    set_precisions(DEFAULT_PRECISIONS)
    torch.set_flush_denormal(False)
    try:
        with torch.autocast("cpu", enabled=False):
            yield
    finally:
        torch.set_flush_denormal(flushes)
        set_precisions(before)


def get_precisions() -> tuple[str, ...]:
    """Return torch's settings: that of `set_float32_matmul_precision`, then the newer ones of each backend."""
    own = "mixed"
    with suppress(RuntimeError):  # raised where the newer way was used as well
        own = torch._C._get_float32_matmul_precision()
    return (own, *(torch._C._get_fp32_precision_getter(*place) for place in _PLACES))


def set_precisions(values: Sequence[str]) -> None:
    """Restore settings that `get_precisions` returned."""
    if values[0] != "mixed":
        torch.set_float32_matmul_precision(values[0])
    for place, value in zip(_PLACES, values[1:], strict=True):
        torch._C._set_fp32_precision_setter(*place, value)


def flushes_denormals() -> bool:
    """Return whether this thread computes the smallest numbers as 0."""
    return 5e-324 * 1.0 == 0.0
