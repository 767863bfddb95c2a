"""A plan with a custom sampler, which tries each parameter only at its lowest and highest value.

python studies/examples/own_sampler.py --root /tmp/examples
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

from nefstudy.config import SignalsConfig, TrialConfig
from nefstudy.study.command import main
from nefstudy.study.options import StudyOptions
from nefstudy.study.plan.study_plan import CellPlan, StudyPlan
from nefstudy.study.samplers.listed import ListedStream
from nefstudy.study.samplers.stream import Cell, History
from nefstudy.study.space import Real, Space, drawn


@dataclass(frozen=True)
class Corners:
    """A sampler that tries every corner of the space."""

    is_prunable = False
    covers_space = False
    after = None

    def planned(self, space: Space, *, replicates: int) -> int:
        """Return the number of corners times the number of replicates."""
        return int(2 ** len(space)) * replicates

    def describe(self) -> dict[str, Any]:
        """Return the sampler's description as plain data."""
        return {"name": "Corners"}

    def listed(self, cell: Cell) -> Iterator[TrialConfig]:
        """Yield the trial of each corner."""
        ends = {name: (drawn(dimension, 0.0), drawn(dimension, 1.0)) for name, dimension in cell.space.items()}
        for corner in product(*ends.values()):
            for replicate in range(cell.replicates):
                yield cell.trial(dict(zip(ends, corner, strict=True)), replicate=replicate)

    def open(self, cell: Cell, history: History) -> ListedStream:
        """Return the corners that are not in the ledger yet."""
        return ListedStream(cell, self.listed(cell), history)


def plan(options: StudyOptions) -> StudyPlan:
    """Return a plan that tries the corners of a box of frequencies and learning rates."""
    cell = CellPlan(
        phase="corners",
        signals=SignalsConfig(name="digits8", subset=200),
        field="siren",
        space={"omega_0": Real(2, 30, log=True), "lr": Real(1e-4, 1e-2, log=True)},
        fixed={"init": "shared", "hidden": 16, "steps": 40},
        sampler=Corners(),
        task="fitting",
    )
    return StudyPlan(study=options.study or "own-sampler", cells=(cell,), seed=options.seed)


if __name__ == "__main__":
    main(plan, about="Corners of a box of frequency and learning rate. Run it again to continue.")
