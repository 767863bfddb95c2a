"""The device memory a trial takes, measured where it runs."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

PEAK, MEMORY = "device_peak_mb", "device_memory_mb"


@contextmanager
def device_memory() -> Iterator[dict[str, float]]:
    """Fills in the peak of tensors allocated on the GPU inside, and the GPU's memory, in MB; empty without one."""
    found: dict[str, float] = {}
    if not torch.cuda.is_available():
        yield found
        return
    torch.cuda.reset_peak_memory_stats()
    yield found
    total = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
    found |= {PEAK: torch.cuda.max_memory_allocated() / 2**20, MEMORY: total / 2**20}
