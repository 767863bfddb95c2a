"""Torch's process-wide settings for the precision of float32 arithmetic, on which the bytes of a fit depend."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import torch

_BACKEND_OPERATIONS = [
    ("generic", "all"),
    *((name, op) for name in ("mkldnn", "cuda") for op in ("all", "matmul", "conv", "rnn")),
]
DEFAULT_PRECISIONS = ("highest", "none", *("none",) * 4, "none", "none", "tf32", "tf32")  # torch's initial settings


@contextmanager
def full_precision() -> Iterator[None]:
    """Use torch's initial settings inside the block, then restore the caller's settings.

    The initial settings do not lower the precision and do not flush denormals.
    Otherwise, a caller's setting would produce different bytes under the same fingerprint.
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
    """Return torch's settings: the value of `set_float32_matmul_precision`, then the newer settings of each backend."""
    matmul = "mixed"
    with suppress(RuntimeError):  # raised if the newer settings were used as well
        matmul = torch._C._get_float32_matmul_precision()
    return (matmul, *(torch._C._get_fp32_precision_getter(*operation) for operation in _BACKEND_OPERATIONS))


def set_precisions(values: Sequence[str]) -> None:
    """Restore settings that `get_precisions` returned."""
    if values[0] != "mixed":
        torch.set_float32_matmul_precision(values[0])
    for operation, value in zip(_BACKEND_OPERATIONS, values[1:], strict=True):
        torch._C._set_fp32_precision_setter(*operation, value)


def flushes_denormals() -> bool:
    """Return whether this thread flushes denormal numbers to 0."""
    return 5e-324 * 1.0 == 0.0
