"""The device memory that a trial uses, measured in the trial's process."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

PEAK, MEMORY = "device_peak_mb", "device_memory_mb"


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
