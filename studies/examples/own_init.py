"""A plan with a custom initialization: one draw shared by all fields, scaled by a gain that the grid varies.

python studies/examples/own_init.py --root /tmp/examples
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import Tensor

from nefstudy.config import InitConfig, SignalsConfig
from nefstudy.fields.field import NeuralField
from nefstudy.inits import INITS
from nefstudy.inits.drawn import SharedInit
from nefstudy.study.command import main
from nefstudy.study.options import StudyOptions
from nefstudy.study.plan.study_plan import CellPlan, StudyPlan
from nefstudy.study.space import Categorical


@dataclass(frozen=True)
class Scaled:
    """The shared initialization multiplied by a gain."""

    gain: float = 1.0
    shared: ClassVar[bool] = True

    def rows(self, field: NeuralField, *, seed: int, ids: Sequence[int] | np.ndarray, view: int) -> Tensor:
        """Return the shared draw multiplied by the gain, repeated for each id."""
        return self.gain * SharedInit().rows(field, seed=seed, ids=ids, view=view)


def plan(options: StudyOptions) -> StudyPlan:
    """Return a plan with a grid over the built-in shared init and the custom init with two gains."""
    cell = CellPlan(
        phase="grid",
        signals=SignalsConfig(name="digits8", subset=200),
        field="siren",
        space={"init": Categorical(("shared", "half", "double")), "steps": Categorical((5, 40))},
        fixed={"hidden": 16, "lr": 1e-3},
        task="fitting",
        inits={word: InitConfig(name="scaled", params={"gain": gain}) for word, gain in (("half", 0.5), ("double", 2))},
    )
    return StudyPlan(
        study=options.study or "own-init", cells=(cell,), seed=options.seed, inits=INITS | {"scaled": Scaled}
    )


if __name__ == "__main__":
    main(plan, about="Grid over a shared initialization and scaled versions of it. Run it again to continue.")
