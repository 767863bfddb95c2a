"""Scalars, canonical JSON and its digest, shared by configurations and the ledger."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

Scalar = bool | int | float | str

DIGEST_CHARS = 20  # 80 bits: under 1e-12 odds of a collision among a million trials


def is_scalar(value: object) -> bool:
    """Return whether a value is a plain number or string."""
    return isinstance(value, bool | int | float | str)


def is_point(value: object) -> bool:
    """Return whether a value maps names to plain numbers and strings."""
    return isinstance(value, Mapping) and all(isinstance(key, str) and is_scalar(v) for key, v in value.items())


def canonical_json(value: Any) -> str:
    """Return the canonical JSON of plain data: sorted keys, no spaces, shortest round-trip floats."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(text: str) -> str:
    """Return the first 20 hex digits of the SHA-256 of `text`."""
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_CHARS]
