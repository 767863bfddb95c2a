"""Tests of what a trial does to its process's memory."""

import subprocess
import sys

import pytest

REPEATED = """
import resource, sys
from nefstudy.trial.memory import keep_freed_memory
if len(sys.argv) > 1:
    assert keep_freed_memory()
import torch
torch.set_num_threads(1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    blocks = [torch.ones(1 << 20) for _ in range(32)]
    del blocks
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc is Linux's C library")
def test_freed_memory_is_used_again_without_page_faults() -> None:
    """Blocks that are allocated again in each step cost page faults once, by default again and again."""

    def faults(*argument: str) -> int:
        run = subprocess.run(
            [sys.executable, "-c", REPEATED, *argument], capture_output=True, text=True, check=True, timeout=120
        )
        return int(run.stdout)

    assert faults("keep") < 0.8 * faults()
