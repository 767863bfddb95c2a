"""Laws of the live view: every cell of every phase is on it, at eighty columns too."""

import io

from rich.console import Console

from nefstudy.insight.progress import progress
from nefstudy.study.live import LiveView, study_line, study_view
from nefstudy.study.plan import StudyPlan
from nefstudy.study.scales import SCALES, search_cells
from nefstudy.tasks.progress import Working

FITTING = "fitting 300/700 fields, 1,000 field-steps/s, 21.2 dB, ETA 0:00:08"


def shown(renderable, width: int) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(renderable)
    return console.file.getvalue()


def test_the_view_names_every_cell_and_what_runs(ledger, open_run, result, small_grid):
    """Phases, cells, counts, best accuracies and the trials under way, in eighty columns without a cut."""
    search = search_cells(SCALES["smoke"], ("mnist5k/rffnet",))
    run = open_run(ledger, StudyPlan(study="s", cells=(*search, small_grid)))
    run.next("a")
    run.started("a")
    run.completed("a", result(0.625))
    run.next("b")
    run.started("b")
    run.progressed("b", Working("fitting", 300, 700, seconds=6.0, steps=20, psnr=21.25))
    text = shown(study_view(progress(ledger, "s"), list(run.under_way.values())), 80)
    for wanted in ("phase1", "phase2", "mnist5k/rffnet", "digits8/siren", "1/4", "0/12", "0.625", FITTING):
        assert wanted in text, text
    assert max(map(len, text.splitlines())) <= 80


def test_without_a_terminal_it_is_one_line(ledger, open_run, small_grid):
    """Into a log file: one line per look, never cut, counts of all phases on it."""
    run = open_run(ledger, StudyPlan(study="s", cells=(small_grid,)))
    console = Console(file=io.StringIO(), width=40)
    with LiveView(run, console=console) as view:
        view.step()
        view.step()
    (line,) = console.file.getvalue().splitlines()
    assert line == study_line(progress(ledger, "s"))
    assert "phase2 0/12" in line


def test_without_a_terminal_a_long_fit_is_told(ledger, open_run, small_grid):
    """Of the trials that will go on for more than a line's time, the one that will go on longest, on one line."""
    run = open_run(ledger, StudyPlan(study="s", cells=(small_grid,)))
    for name, seconds in (("a", 1.0), ("b", 60.0), ("c", 600.0)):
        run.next(name)
        run.started(name)
        run.progressed(name, Working("fitting", 50, 100, seconds=seconds, steps=20))
    console = Console(file=io.StringIO(), width=40)
    with LiveView(run, console=console) as view:
        view.step()
    _, line = console.file.getvalue().splitlines()
    assert line.endswith("classifier gnn-sign: fitting 50/100 fields, 2 field-steps/s, ETA 0:10:00")
