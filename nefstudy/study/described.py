"""Cells of a plan from what the ledger holds of it, perhaps written by an older version."""

from collections.abc import Callable, Mapping
from typing import Any

from nefstudy.config import ClassifierConfig, SignalsConfig, parse
from nefstudy.errors import BadConfig, BadInput
from nefstudy.ledger import StudyRow
from nefstudy.names import study_name
from nefstudy.study.plan import PHASES, CellPlan
from nefstudy.study.space import Choice, Dimension, Real, Whole

DIMENSIONS: Mapping[str, Callable[..., Dimension]] = {"Real": Real, "Whole": Whole, "Choice": Choice}


def described_cells(study: StudyRow) -> list[CellPlan]:
    """Return the cells of a study as the ledger describes them.

    Raises:
        BadConfig: an older version wrote a name or a value that is refused today.
    """
    try:
        study_name(study.study)
        return [described_cell(told) for phase in PHASES for told in study.plan.get(phase, {}).get("cells", ())]
    except (BadInput, LookupError, TypeError, ValueError) as error:
        reason = str(error) if isinstance(error, BadInput) else f"{type(error).__name__}: {error}"
        raise BadConfig(f"study {study.study!r} is skipped, its plan cannot be read: {reason}") from None


def described_cell(told: Mapping[str, Any]) -> CellPlan:
    """A cell from what `StudyPlan.describe` said of it."""
    return CellPlan(
        phase=told["phase"],
        signals=parse(SignalsConfig, told["signals"], where="plan"),
        field=told["cell"].rpartition("/")[2],
        space={name: _dimension(found) for name, found in told["space"].items()},
        fixed=dict(told["fixed"]),
        trials=told["trials"],
        classifier=parse(ClassifierConfig, told["classifier"], where="plan"),
        replicates=told["replicates"],
        classifiers={k: parse(ClassifierConfig, v, where="plan") for k, v in told.get("classifiers", {}).items()},
    )


def _dimension(told: Mapping[str, Any]) -> Dimension:
    values: dict[str, Any] = {
        name: tuple(v) if isinstance(v, list) else v for name, v in told.items() if name != "kind"
    }
    return DIMENSIONS[told["kind"]](**values)
