"""The memory of a trial's process: what a GPU has, measured, and what the C library keeps."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

PEAK, MEMORY = "device_peak_mb", "device_memory_mb"
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
MMAP_BYTES, TRIM_BYTES = 2**25, 2**28  # 2**25 is the most that glibc accepts


def keep_freed_memory() -> bool:
    """Let glibc keep memory that training frees and allocates again in each step; return whether it will.

    By default it returns large blocks to the system, and every page of the next one costs a fault. Other C libraries
    stay unchanged.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, MMAP_BYTES)) and bool(mallopt(M_TRIM_THRESHOLD, TRIM_BYTES))


@contextmanager
def device_memory() -> Iterator[dict[str, float]]:
    """Yield a dict that is filled on exit with the peak tensor memory and the total memory of the GPU, in MB.

    Without a GPU it stays empty.
    """
    measured: dict[str, float] = {}
    if not torch.cuda.is_available():
        yield measured
        return
    torch.cuda.reset_peak_memory_stats()
    yield measured
    total = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
    measured |= {PEAK: torch.cuda.max_memory_allocated() / 2**20, MEMORY: total / 2**20}
