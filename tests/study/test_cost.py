"""Laws of a plan's price: by the engine a fit would get, scaled by one measurement of the machine."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from nefstudy.fitting.cost import RATES
from nefstudy.fitting.engines import ENGINES
from nefstudy.study.cost import Device, cost_summary, plan_cost
from nefstudy.study.cost_table import cost_table
from nefstudy.study.device import measure_device
from nefstudy.study.plan import CellPlan, StudyPlan
from nefstudy.study.scales import SCALES, grid_cells, search_cells
from nefstudy.study.space import Choice

HERE = Device("here", cores=2, slowness=1.0)


def plan_of(*cells: CellPlan) -> StudyPlan:
    return StudyPlan(study="a", cells=cells)


def grid_cell(*steps: int, scale: str = "smoke", cell: str = "mnist5k/siren") -> CellPlan:
    one = grid_cells(SCALES[scale], (cell,))[0]
    return replace(one, space={**one.space, "steps": Choice(steps)})


def test_few_steps_are_priced_eager_and_many_compiled() -> None:
    """The engine is the one that `auto` would pick for the cell's longest rung."""
    few, many = (plan_cost(plan_of(grid_cell(steps)))[0] for steps in (1, 50_000))
    assert few.engines == {"eager": few.fits}
    assert many.engines == {"compiled": many.fits}


def test_an_engine_asked_for_is_the_one_priced() -> None:
    """`fused` is priced by its derived rate where there is no GPU, and says so; auto is never dearer than either."""
    plan = plan_of(grid_cell(1, 20, 50_000))
    by = {name: plan_cost(plan, engine=name)[0] for name in ("auto", "eager", "compiled", "fused")}
    for name in ("eager", "compiled", "fused"):
        assert by[name].engines == {name: by[name].fits}
    cheapest = min(sum(by[name].seconds.values()) for name in ("eager", "compiled"))
    assert sum(by["auto"].seconds.values()) == pytest.approx(cheapest)
    assert "derived, not measured" in measure_device(engine="fused").name


def test_a_program_is_paid_for_once_a_shape() -> None:
    """More fits of the same shape add no compilation; loading is in each fit."""
    one = plan_cost(plan_of(grid_cell(100, cell="mnist5k/siren")), engine="compiled")[0]
    twice = plan_cost(plan_of(replace(grid_cell(100), replicates=2)), engine="compiled")[0]
    widths = len(grid_cell(100).space["hidden"].values)
    once = widths * (RATES["compiled"].ready - RATES["compiled"].ready_again)
    assert twice.fits == 2 * one.fits
    assert twice.seconds["compiled"] - once == pytest.approx(2 * (one.seconds["compiled"] - once))


def test_hours_follow_the_machine() -> None:
    """Twice as slow is twice the hours, twice the cores half; cells add up to the whole, inside its band."""
    costs = plan_cost(plan_of(grid_cell(10), *search_cells(SCALES["smoke"], ("mnist5k/rffnet",))))
    here = cost_summary(costs, HERE)
    total = here["total"]["device_hours"]
    assert sum(cell["device_hours"]["mid"] for cell in here["cells"]) == pytest.approx(total["mid"])
    assert 0 < total["low"] < total["mid"] < total["high"]
    for other, times in ((replace(HERE, slowness=2.0), 2.0), (replace(HERE, cores=4), 0.5)):
        assert cost_summary(costs, other)["total"]["device_hours"]["mid"] == pytest.approx(times * total["mid"])


def caption_of(engine: str, cell: CellPlan) -> str:
    """What stands below the table of a plan priced by an engine, on one line."""
    summary = cost_summary(plan_cost(plan_of(cell), engine=engine), HERE, engine=engine)
    return str(cost_table("a", summary).caption)


@pytest.mark.parametrize(
    ("engine", "said"), [("auto", "the engine that auto picks"), ("eager", "eager, as asked for"),
                         ("compiled", "compiled, as asked for"), ("fused", "fused, as asked for")]
)  # fmt: skip
def test_the_caption_names_the_engine_that_is_priced(engine: str, said: str) -> None:
    """`auto` picks only where it was left to; an engine by name is said to be asked for."""
    assert caption_of(engine, grid_cell(20)).startswith(f"By {said}, on here;")


def test_the_caption_says_what_takes_an_engines_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fits that the engine asked for cannot do are priced as eager, and the caption says so."""
    without = replace(ENGINES["compiled"], why_not=lambda _field: "there is no C++ compiler")
    monkeypatch.setitem(ENGINES, "compiled", without)
    said = "compiled, as asked for, and eager where it cannot work"
    assert caption_of("compiled", grid_cell(20)).startswith(f"By {said}, on here;")


@pytest.mark.slow
def test_this_machine_is_measured() -> None:
    """A short run gives a factor of the right size, and the name tells the figure it rests on."""
    device = measure_device()
    assert 0.05 < device.slowness < 20
    assert device.cores >= 1
    assert "eager steps/s each, measured now" in device.name


def test_the_table_fits_a_terminal_and_names_engines() -> None:
    """At eighty columns nothing is cut, at the largest scale; the engine stands on every line."""
    summary = cost_summary(plan_cost(plan_of(*search_cells(SCALES["paper"], ("microimagenet/rffnet",)))), HERE)
    console = Console(width=80, file=io.StringIO())
    console.print(cost_table("a", summary))
    shown = console.file.getvalue()
    assert "…" not in shown
    assert "microimagenet/rffnet" in shown
    assert "c: compiled" in shown
    assert all(len(line) <= 80 for line in shown.splitlines())
