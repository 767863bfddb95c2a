"""Tests of a plan's cost: it depends on the engine that a fit would use and on the machine's speed."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from nefstudy.fitting.cost import RATES
from nefstudy.fitting.engines.catalog import ENGINES
from nefstudy.signals.sources import mnist
from nefstudy.study.estimate.cost import Device, cost_summary, plan_cost
from nefstudy.study.estimate.cost_table import cost_table
from nefstudy.study.estimate.device_speed import measure_device
from nefstudy.study.plan.scales import SCALES, grid_cells, search_cells
from nefstudy.study.plan.study_plan import CellPlan, StudyPlan
from nefstudy.study.space import Categorical

HERE = Device("here", cores=2, slowness=1.0)


def plan_of(*cells: CellPlan) -> StudyPlan:
    return StudyPlan(study="a", cells=cells)


def grid_cell(*steps: int, scale: str = "smoke", cell: str = "mnist5k/siren") -> CellPlan:
    one = grid_cells(SCALES[scale], (cell,), replicates=1)[0]
    return replace(one, space={**one.space, "steps": Categorical(steps)})


def test_few_steps_are_priced_eager_and_many_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The estimate assumes the engine that `auto` would choose for the cell's longest rung: native where it can run."""
    native = plan_cost(plan_of(grid_cell(1)))[0]
    assert native.engines == {"native": native.fits}
    monkeypatch.delitem(ENGINES, "native")
    few, many = (plan_cost(plan_of(grid_cell(steps)))[0] for steps in (1, 50_000))
    assert few.engines == {"eager": few.fits}
    assert many.engines == {"compiled": many.fits}


def test_an_engine_asked_for_is_the_one_priced() -> None:
    """The estimate assumes the requested engine, even if it is `fused` and the machine has no GPU.

    The engine `auto` costs as much as the cheapest engine of a CPU.
    """
    plan = plan_of(grid_cell(1, 20, 50_000))
    by = {name: plan_cost(plan, engine=name)[0] for name in ("auto", *ENGINES)}
    for name in ENGINES:
        assert by[name].engines == {name: by[name].fits}
    cheapest = min(sum(by[name].seconds.values()) for name in ENGINES if name != "fused")
    assert sum(by["auto"].seconds.values()) == pytest.approx(cheapest)
    assert "derived, not measured" in measure_device(engine="fused").name


def test_a_program_is_paid_for_once_a_shape() -> None:
    """Fits of the same shape share one compilation, but each fit loads the compiled program."""
    one = plan_cost(plan_of(grid_cell(100, cell="mnist5k/siren")), engine="compiled")[0]
    twice = plan_cost(plan_of(replace(grid_cell(100), replicates=2)), engine="compiled")[0]
    hidden = grid_cell(100).space["hidden"]
    assert isinstance(hidden, Categorical)
    widths = len(hidden.values)
    once = widths * (RATES["compiled"].compile_s - RATES["compiled"].load_s)
    assert twice.fits == 2 * one.fits
    assert twice.seconds["compiled"] - once == pytest.approx(2 * (one.seconds["compiled"] - once))


def test_fashion_mnist_is_estimated_where_it_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cost of Fashion-MNIST equals that of MNIST, and neither data set is needed to estimate it."""
    monkeypatch.setattr(mnist, "FASHION_MNIST", "/nowhere")
    fashion, digits = (
        plan_cost(plan_of(grid_cell(10, scale="paper", cell=cell)))[0] for cell in ("fashion-mnist/mfn", "mnist/mfn")
    )
    assert replace(fashion, cell=digits.cell) == digits
    assert fashion.field_steps == 70_000 * 10 * fashion.fits


def test_hours_follow_the_machine() -> None:
    """Hours are inversely proportional to the machine's speed and to its number of cores.

    The hours of the cells add up to the total.
    """
    costs = plan_cost(plan_of(grid_cell(10), *search_cells(SCALES["smoke"], ("mnist5k/rffnet",))))
    here = cost_summary(costs, HERE)
    total = here["total"]["device_hours"]
    assert sum(cell["device_hours"]["mid"] for cell in here["cells"]) == pytest.approx(total["mid"])
    assert 0 < total["low"] < total["mid"] < total["high"]
    for other, times in ((replace(HERE, slowness=2.0), 2.0), (replace(HERE, cores=4), 0.5)):
        assert cost_summary(costs, other)["total"]["device_hours"]["mid"] == pytest.approx(times * total["mid"])


def caption_of(engine: str, cell: CellPlan) -> str:
    """Return the caption of the cost table for a plan with one cell and the given engine."""
    summary = cost_summary(plan_cost(plan_of(cell), engine=engine), HERE, engine=engine)
    return str(cost_table("a", summary).caption)


@pytest.mark.parametrize(
    ("engine", "caption"), [("auto", "the engine that auto picks"), ("eager", "eager, as requested"),
                         ("compiled", "compiled, as requested"), ("fused", "fused, as requested")]
)  # fmt: skip
def test_the_caption_names_the_engine_that_is_priced(engine: str, caption: str) -> None:
    """The caption of the cost table states whether `auto` or the user chose the engine."""
    assert caption_of(engine, grid_cell(20)).startswith(f"By {caption}, on here;")


def test_the_caption_says_what_takes_an_engines_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """The caption of the cost table states that fits use the eager engine where the requested engine cannot run."""
    without = replace(ENGINES["compiled"], unsupported_reason=lambda _field: "there is no C++ compiler")
    monkeypatch.setitem(ENGINES, "compiled", without)
    caption = "compiled, as requested, and eager where it cannot run"
    assert caption_of("compiled", grid_cell(20)).startswith(f"By {caption}, on here;")


@pytest.mark.slow
def test_this_machine_is_measured() -> None:
    """A short measurement of this machine finds a plausible speed.

    The device's name states the measured speed.
    """
    device = measure_device()
    assert 0.05 < device.slowness < 20
    assert device.cores >= 1
    assert "eager steps/s each, measured now" in device.name


def printed_table(*cells: CellPlan, engine: str = "auto") -> str:
    """Return a plan's cost table as an 80-column terminal shows it."""
    output = io.StringIO()
    summary = cost_summary(plan_cost(plan_of(*cells), engine=engine), HERE, engine=engine)
    Console(width=80, file=output).print(cost_table("a", summary))
    return output.getvalue()


def engine_letters(table: str) -> dict[str, str]:
    """Return the engine letters in each line of a cost table, keyed by cell, with the key `all` for the total."""
    lines = [line.split() for line in table.splitlines()]
    by = {line[1]: line[5] for line in lines if len(line) > 5 and "/" in line[1]}
    return by | {"all": next(line[4] for line in lines if line[:1] == ["all"])}


def test_the_table_fits_a_terminal_and_names_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cost table of the largest scale fits into 80 columns without truncation.

    Every line shows the letter of its engine.
    """
    for engine in ENGINES:
        by = engine_letters(printed_table(grid_cell(1), engine=engine))
        assert by == {"mnist5k/siren": engine[0], "all": engine[0]}
    monkeypatch.delitem(ENGINES, "native")
    large = search_cells(SCALES["paper"], ("microimagenet/rffnet",))
    shown = printed_table(*large, grid_cell(1))
    assert "…" not in shown
    assert engine_letters(shown) == {"microimagenet/rffnet": "c", "mnist5k/siren": "e", "all": "c+e"}
    assert "e: eager, c: compiled, n: native, f: fused" in shown
    assert all(len(line) <= 80 for line in shown.splitlines())
