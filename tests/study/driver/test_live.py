"""Tests of the live view: it shows every cell of every phase, even at 80 columns."""

import io

from rich.console import Console

from nefstudy.insight.progress import progress
from nefstudy.study.driver.live import LiveView, study_line, study_view
from nefstudy.study.plan.scales import SCALES, search_cells
from nefstudy.study.plan.study_plan import StudyPlan
from nefstudy.tasks.progress import TrialProgress

FITTING = "fitting 300/700 fields, 1,000 field-steps/s, 21.2 dB, ETA 0:00:08"


def shown(renderable, width: int) -> str:
    output = io.StringIO()
    Console(file=output, width=width).print(renderable)
    return output.getvalue()


def test_the_view_names_every_cell_and_what_runs(ledger, open_run, result, small_grid):
    """Phases, cells, counts, best accuracies and running trials fit into 80 columns without truncation."""
    search = search_cells(SCALES["smoke"], ("mnist5k/rffnet",))
    run = open_run(ledger, StudyPlan(study="s", cells=(*search, small_grid)))
    run.next("a")
    run.started("a")
    run.completed("a", result(0.625))
    run.next("b")
    run.started("b")
    run.progressed("b", TrialProgress("fitting", 300, 700, seconds=6.0, steps=20, psnr=21.25))
    text = shown(study_view(progress(ledger, "s"), list(run.in_flight.values())), 80)
    for expected in ("phase1", "phase2", "mnist5k/rffnet", "digits8/siren", "1/4", "0/12", "0.625", FITTING):
        assert expected in text, text
    assert max(map(len, text.splitlines())) <= 80


def test_without_a_terminal_it_is_one_line(ledger, open_run, small_grid):
    """Without a terminal, the view prints one untruncated line, and another one only when the counts change."""
    run = open_run(ledger, StudyPlan(study="s", cells=(small_grid,)))
    output = io.StringIO()
    console = Console(file=output, width=40)
    with LiveView(run, console=console) as view:
        view.step()
        view.step()
    (line,) = output.getvalue().splitlines()
    assert line == study_line(progress(ledger, "s"))
    assert "phase2 0/12" in line


def test_without_a_terminal_a_long_fit_is_reported(ledger, open_run, small_grid):
    """Without a terminal, a line reports the trial with the most time left.

    It is printed only if that time exceeds the interval.
    """
    run = open_run(ledger, StudyPlan(study="s", cells=(small_grid,)))
    for name, seconds in (("a", 1.0), ("b", 60.0), ("c", 600.0)):
        run.next(name)
        run.started(name)
        run.progressed(name, TrialProgress("fitting", 50, 100, seconds=seconds, steps=20))
    output = io.StringIO()
    console = Console(file=output, width=40)
    with LiveView(run, console=console) as view:
        view.step()
    _, line = output.getvalue().splitlines()
    assert line.endswith("classifier gnn-sign: fitting 50/100 fields, 2 field-steps/s, ETA 0:10:00")
