"""Tests of the automatic engine choice: `auto` is never much slower than the fastest measured engine."""

import io
from math import prod

import pytest
from rich.console import Console

from nefstudy.bench.auto import WORKS, Pieces, auto_table, rows_of
from nefstudy.bench.fit import Case
from nefstudy.fitting.cost import step_seconds
from nefstudy.fitting.lanes import lanes_in_cache

# From the README next to this file: field-steps per second (eager, compiled), seconds for compiling and for loading.
# The rates in fitting/cost.py were fitted to the first six cases; the last three are held out.
MEASURED = {
    Case("siren", 32, "28x28x1"): (3771, 18456, 18.0, 2.4),
    Case("siren", 64, "32x32x3"): (1080, 3940, 17.5, 2.3),
    Case("mfn", 32, "28x28x1"): (1274, 5723, 22.3, 2.6),
    Case("rffnet", 32, "28x28x1"): (2190, 6634, 19.9, 2.4),
    Case("siren", 16, "28x28x1"): (7590, 39456, 17.3, 2.3),
    Case("rffnet", 16, "28x28x1"): (5197, 17940, 20.5, 2.3),
    Case("siren", 24, "28x28x1"): (5071, 26216, 17.7, 2.5),
    Case("rffnet", 64, "32x32x3"): (540, 1220, 23.1, 2.6),
    Case("mfn", 16, "28x28x1"): (2991, 14536, 23.0, 2.7),
}
DENSE = tuple(
    (fields, steps) for fields in (8, 32, 128, 512, 1000, 5000, 20000) for steps in (5, 10, 20, 50, 200, 1000)
)


def pieces(case: Case, *, first: float | None = None) -> Pieces:
    eager, compiled, compiling, loading = MEASURED[case]
    steps = {"eager": 1 / eager, "compiled": 1 / compiled}
    begin = compiling if first is None else first
    return Pieces(case, steps, first={"eager": 0.0, "compiled": begin}, again={"eager": 0.0, "compiled": loading})


@pytest.mark.parametrize("case", MEASURED, ids=lambda case: f"{case.field}-{case.hidden}")
def test_auto_loses_at_most_a_tenth(case: Case) -> None:
    """`auto` is at most 10 % slower than the faster engine for every measured field and workload."""
    rows = rows_of(pieces(case), WORKS + DENSE)
    assert len(rows) == 2 * len(WORKS + DENSE)
    for row in rows:
        assert row.loss <= 0.10, row
    assert {row.auto for row in rows} == {"eager", "compiled"}


@pytest.mark.parametrize("case", MEASURED, ids=lambda case: f"{case.field}-{case.hidden}")
def test_steps_are_known_to_an_eighth(case: Case) -> None:
    """For each engine, the step time that the cost model predicts is within 12.5 % of the measured step time."""
    points = prod(case.grid)
    lanes = lanes_in_cache(case.network, points)
    for engine, seconds in pieces(case).step.items():
        assert step_seconds(case.network, points=points, engine=engine, lanes=lanes) == pytest.approx(
            seconds, rel=0.125
        )


def test_a_wrong_choice_is_seen() -> None:
    """If compiling takes ten minutes, the table shows how much time `auto` loses by choosing the compiled engine."""
    case = Case("siren", 32, "28x28x1")
    rows = rows_of(pieces(case, first=600.0), [(512, 1000)])
    assert rows[0].auto == "compiled"
    eager, compiled, *_ = MEASURED[case]
    assert rows[0].loss == pytest.approx((600 + 512e3 / compiled) / (512e3 / eager) - 1)
    output = io.StringIO()
    console = Console(width=100, file=output)
    console.print(auto_table(rows))
    assert f"{rows[0].loss:.0%}" in output.getvalue()


def test_the_table_fits_a_terminal() -> None:
    """The table of times takes at most 80 columns, without a truncated entry or a wrapped line."""
    case = Case("rffnet", 64, "32x32x3")
    output = io.StringIO()
    console = Console(width=80, file=output)
    console.print(auto_table(rows_of(pieces(case), WORKS)))
    lines = output.getvalue().splitlines()
    assert len([line for line in lines if line.startswith("rffnet h64")]) == 2 * len(WORKS)
    assert not any("…" in line for line in lines)
