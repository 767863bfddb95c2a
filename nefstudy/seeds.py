"""All random streams of the project; each generator is determined by (seed, purpose, ids).

A stream is a Philox counter generator keyed by the SHA-256 of its name, so it depends only on its name: not on
batch position, chunk size, worker or earlier draws. Philox: Salmon et al. 2011.
"""

import hashlib

import numpy as np


def _key(seed: int, purpose: str, ids: tuple[int | str, ...]) -> bytes:
    name = "\x1f".join([str(seed), purpose, *map(str, ids)])
    return hashlib.sha256(name.encode()).digest()


def stream(seed: int, purpose: str, *ids: int | str) -> np.random.Generator:
    """Return the random stream named (seed, purpose, ids); the same name always gives the same numbers."""
    key = np.frombuffer(_key(seed, purpose, ids)[:16], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key))


def integer(seed: int, purpose: str, *ids: int | str) -> int:
    """Return the 63-bit integer named (seed, purpose, ids), for libraries that take an integer seed."""
    return int.from_bytes(_key(seed, purpose, ids)[:8], "little") >> 1
