"""Tests of user-defined and built-in samplers in a plan: each is identified by its class name."""

import math
from dataclasses import dataclass
from typing import Any

import pytest

from nefstudy.config import SignalsConfig
from nefstudy.errors import BadConfig
from nefstudy.signals.kinds import IMAGE
from nefstudy.study import samplers
from nefstudy.study.plan.recorded import SAMPLERS, described_cell
from nefstudy.study.plan.study_plan import CellPlan, StudyPlan
from nefstudy.tasks.task import SignalTraits


@dataclass(frozen=True)
class Twice:
    """A user-defined sampler that has the required members but never suggests a trial."""

    ratio: float = 0.5
    is_prunable = False
    covers_space = False
    after = None

    def planned(self, *_given: Any, **_more: Any) -> int:
        return 1

    def describe(self) -> dict[str, Any]:
        return {"name": "Twice", "ratio": self.ratio}

    def listed(self, *_given: Any) -> None:
        return None

    def open(self, *_given: Any) -> None:
        return None


def cell_of(sampler: Any) -> CellPlan:
    signals = SignalsConfig(name="digits8")
    return CellPlan(
        phase="a", signals=signals, field="siren", space={}, sampler=sampler, task="fitting", traits=SignalTraits(IMAGE)
    )


@pytest.mark.parametrize("member", ["planned", "describe", "listed", "open", "is_prunable", "covers_space", "after"])
def test_a_missing_member_is_named_when_the_cell_is_made(member: str) -> None:
    """A cell cannot be created if its sampler lacks a required member. The error lists all required members."""
    members = {name: value for name, value in vars(Twice).items() if name != member and name[:2] != "__"}
    assert cell_of(Twice()).planned == 1
    with pytest.raises(BadConfig, match=f"Mine .*{member}; Sampler .*is_prunable, "):
        cell_of(type("Mine", (), members)())


@pytest.mark.parametrize(
    ("describe", "message"),
    [
        ({"name": "Grid"}, r"Twice .*{'name': 'Grid'}; .*{\"name\": \"Twice\", "),
        ({"ratio": 0.5}, r"Twice .*{'ratio': 0.5}"),
        (None, "Twice .*None"),
        ({"name": "Twice", "points": {1, 2}}, "plain data .*set"),
        ({"name": "Twice", "ratio": math.nan}, "plain data"),
    ],
)
def test_a_sampler_describes_itself_under_its_own_name(
    describe: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sampler must describe itself as plain data, under its own class name."""
    monkeypatch.setattr(Twice, "describe", lambda _self: describe)
    with pytest.raises(BadConfig, match=message):
        cell_of(Twice())


def test_a_sampler_that_only_its_script_knows_is_named() -> None:
    """Reading a cell from the ledger fails with a clear error if only the study's script defines its sampler."""
    (cell,) = StudyPlan(study="s", cells=(cell_of(Twice()),)).describe()["cells"]
    with pytest.raises(BadConfig, match=r"'Twice' .*: Grid, "):
        described_cell(cell)


def test_every_sampler_that_ships_can_be_read_from_a_plan() -> None:
    """Every built-in sampler can be read from a recorded plan."""
    shipped = {name: kind for name, kind in vars(samplers).items() if isinstance(kind, type)}
    assert shipped == SAMPLERS
