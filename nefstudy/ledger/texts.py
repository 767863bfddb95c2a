"""JSON as the ledger stores it: compact, and with NaN and infinities, which metrics may hold."""

import json
from typing import Any


def dump(value: Any) -> str:
    """The compact JSON text of plain data."""
    return json.dumps(value, separators=(",", ":"))


def load(text: str) -> Any:
    """The plain data of a JSON text."""
    return json.loads(text)
