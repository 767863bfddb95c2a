"""A process where Triton interprets kernels; the interpreter must be enabled before Triton is imported."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import pytest


@pytest.fixture(scope="session")
def interpret() -> Iterator[Callable[..., Any]]:
    """Yield a function that calls another function in a process where Triton interprets the kernels."""
    before = os.environ.get("TRITON_INTERPRET")
    os.environ["TRITON_INTERPRET"] = "1"
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        pool.submit(int).result()
        if before is None:
            del os.environ["TRITON_INTERPRET"]
        yield lambda call, *args, **kwargs: pool.submit(call, *args, **kwargs).result()
