"""What one trial found: numbers, curves, and where its pictures are."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Self


@dataclass(frozen=True)
class TrialResult:
    """The outcome of a completed trial; plain data, so that it crosses any process boundary as JSON.

    Attributes:
        metrics: flat numbers; each name carries its split (`test_accuracy`, `all_psnr`).
        curves: (step or epoch, value) pairs by metric name.
        artifacts: file name -> path relative to the root.
        fingerprint: how it was computed: engine, versions, device class.
        dataset: digest of the neural dataset read; None for a task that reads none.
        fitted: whether this trial fitted that dataset, or found it.
        rungs, dataset_bytes: what that dataset holds, and its size on disk.
        rung_sha256: hash over the hashes of the shards read: equal bytes, equal hash.
        made_by: revision, library versions, the device's name; beside the fingerprint on the trial's row.
    """

    metrics: dict[str, float]
    curves: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    artifacts: dict[str, str] = field(default_factory=dict)
    fingerprint: dict[str, str] = field(default_factory=dict)
    dataset: str | None = None
    fitted: bool = False
    rungs: tuple[int, ...] = ()
    dataset_bytes: int = 0
    confusion: list[list[int]] = field(default_factory=list)
    rung_sha256: str = ""
    made_by: dict[str, str] = field(default_factory=dict)

    @property
    def provenance(self) -> dict[str, str]:
        """The fingerprint and all that is known beside it, as the trial's row keeps it."""
        return self.fingerprint | self.made_by | ({"rung_sha256": self.rung_sha256} if self.rung_sha256 else {})

    def to_json(self) -> str:
        """JSON text that `from_json` reads back equal."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The result `to_json` wrote."""
        data: dict[str, Any] = json.loads(text)
        data["curves"] = {name: [(int(x), float(y)) for x, y in pairs] for name, pairs in data["curves"].items()}
        return cls(**data | {"rungs": tuple(data["rungs"])})
