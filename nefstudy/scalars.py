"""Scalars, their canonical JSON and its digest: the words that configurations and the ledger share."""

import hashlib
import json
from typing import Any

Scalar = bool | int | float | str

DIGEST_CHARS = 20  # 80 bits: under 1e-12 odds of a collision among a million trials


def canonical_json(value: Any) -> str:
    """Return the one JSON text of plain data: sorted keys, no spaces, shortest round-trip floats."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(text: str) -> str:
    """Return the first 20 hex digits of the SHA-256 of `text`."""
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_CHARS]
