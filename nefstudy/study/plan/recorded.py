"""The cells of a study, rebuilt from the plan stored in the ledger."""

from collections.abc import Callable, Container, Mapping
from typing import Any

from nefstudy.config import ClassifierConfig, InitConfig, SignalsConfig, parse
from nefstudy.errors import BadConfig, BadInput
from nefstudy.ledger import StudyRow
from nefstudy.names import study_name
from nefstudy.signals.kinds import KINDS
from nefstudy.study.plan.study_plan import CellPlan
from nefstudy.study.samplers import Grid, Points, Random, Tpe, Winners
from nefstudy.study.samplers.stream import Sampler
from nefstudy.study.space import Categorical, Dimension, Real, Whole
from nefstudy.tasks.task import Objective, SignalTraits

DIMENSIONS: Mapping[str, Callable[..., Dimension]] = {"Real": Real, "Whole": Whole, "Categorical": Categorical}
SAMPLERS: Mapping[str, Callable[..., Sampler]] = {
    "Grid": Grid, "Tpe": Tpe, "Random": Random, "Points": Points, "Winners": Winners
}  # fmt: skip


def described_cells(study: StudyRow, *, without: Container[tuple[str, str]] = ()) -> list[CellPlan]:
    """Return a study's cells as described in the ledger.

    Args:
        without: (phase, label) of cells to leave out.

    Raises:
        BadConfig: the plan cannot be read, or a cell has a sampler that is defined in its script.
    """
    try:
        study_name(study.study)
        cells = study.plan.get("cells", ())
        return [described_cell(cell) for cell in cells if (cell["phase"], cell["cell"]) not in without]
    except (BadInput, LookupError, TypeError, ValueError) as error:
        reason = str(error) if isinstance(error, BadInput) else f"{type(error).__name__}: {error}"
        raise BadConfig(f"study {study.study!r} is skipped because its plan cannot be read: {reason}") from None


def described_cell(cell: Mapping[str, Any]) -> CellPlan:
    """Return the cell for a description written by `StudyPlan.describe`."""
    kind, numbers = cell["kind"]["name"], {"count": cell.get("count"), "classes": cell.get("classes", 0)}
    splits = {"split": cell["split"], "test": cell.get("test", True)}
    configs: dict[str, dict[str, Any]] = {"classifiers": {}, "inits": {}}
    for name, model in (("classifiers", ClassifierConfig), ("inits", InitConfig)):
        configs[name] = {word: parse(model, value, where="plan") for word, value in cell.get(name, {}).items()}
    return CellPlan(
        phase=cell["phase"],
        label=cell["cell"],
        signals=parse(SignalsConfig, cell["signals"], where="plan"),
        field=cell["field"],
        space={name: _dimension(dimension) for name, dimension in cell["space"].items()},
        fixed=dict(cell["fixed"]),
        sampler=_sampler(cell["sampler"]),
        task=cell["task"],
        objective=Objective(**cell["objective"]),
        classifier=parse(ClassifierConfig, cell["classifier"], where="plan"),
        replicates=cell["replicates"],
        traits=SignalTraits(KINDS[kind], **splits, **numbers) if kind in KINDS else None,
        **configs,
    )


def _dimension(described: Mapping[str, Any]) -> Dimension:
    return DIMENSIONS[described["kind"]](**_values(described, without="kind"))


def _sampler(described: Mapping[str, Any]) -> Sampler:
    name = described["name"]
    if name not in SAMPLERS:
        raise BadConfig(
            f"sampler {name!r} is defined in the study's script; known here: {', '.join(SAMPLERS)}; run the script"
        )
    return SAMPLERS[name](**_values(described, without="name"))


def _values(described: Mapping[str, Any], *, without: str) -> dict[str, Any]:
    return {name: tuple(v) if isinstance(v, list) else v for name, v in described.items() if name != without}
