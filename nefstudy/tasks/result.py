"""The result of a trial: metrics, curves, the neural datasets that it read and the paths of its artifacts."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any, Self


@dataclass(frozen=True)
class UsedDataset:
    """A neural dataset that a trial read, after fitting it if it did not exist.

    Attributes:
        fitted: whether this trial fitted it.
        rungs, bytes: its rungs, and its size on disk.
        fingerprint: how it was fitted: engine, versions, device class.
        sha256: hash over the hashes of the shards that the trial read; equal bytes give equal hashes.
    """

    digest: str
    fitted: bool = False
    rungs: tuple[int, ...] = ()
    bytes: int = 0
    fingerprint: dict[str, str] = field(default_factory=dict)
    sha256: str = ""


@dataclass(frozen=True)
class TrialResult:
    """The result of a completed trial, as plain data that crosses process boundaries as JSON.

    Attributes:
        metrics: numbers by name; a name includes its split (`test_accuracy`, `all_psnr`). A metric of a split that the
            signals do not have is left out.
        curves: (step or epoch, value) pairs by metric name.
        artifacts: paths relative to the root, by file name.
        fingerprint: how it was computed: engine, versions, device class.
        datasets: every neural dataset that the trial needs; empty for a task that needs none.
        confusion: entry [label][prediction] counts test signals, or validation signals if there are no test signals.
        made_by: revision, library versions and name of the device, stored with the fingerprint on the trial's row.
    """

    metrics: dict[str, float]
    curves: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    artifacts: dict[str, str] = field(default_factory=dict)
    fingerprint: dict[str, str] = field(default_factory=dict)
    datasets: tuple[UsedDataset, ...] = ()
    confusion: list[list[int]] = field(default_factory=list)
    made_by: dict[str, str] = field(default_factory=dict)

    @property
    def rung_sha256(self) -> str:
        """Hash of the datasets that the trial read: one dataset's hash, a hash over several hashes, or "" for none."""
        hashes = [used.sha256 for used in self.datasets if used.sha256]
        return "".join(hashes) if len(hashes) < 2 else hashlib.sha256("".join(hashes).encode()).hexdigest()

    @property
    def provenance(self) -> dict[str, str]:
        """The fingerprint, `made_by` and the rungs' hash, as stored in the trial's row."""
        return self.fingerprint | self.made_by | ({"rung_sha256": self.rung_sha256} if self.rung_sha256 else {})

    def to_json(self) -> str:
        """Return the result as JSON text for `from_json`."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the result from JSON text written by `to_json`."""
        data: dict[str, Any] = json.loads(text)
        data["curves"] = {name: [(int(x), float(y)) for x, y in pairs] for name, pairs in data["curves"].items()}
        datasets = (UsedDataset(**used | {"rungs": tuple(used["rungs"])}) for used in data["datasets"])
        return cls(**data | {"datasets": tuple(datasets)})
