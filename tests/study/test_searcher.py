"""What Ray Tune is handed when it asks what comes next."""

from nefstudy.study.plan import StudyPlan
from nefstudy.study.tune import StudySearcher


def test_a_suggestion_says_how_many_fits_share_its_shape(ledger, open_run, small_grid):
    """The count is the plan's, whatever this machine has compiled."""
    run = open_run(ledger, StudyPlan(study="s", cells=(small_grid,)))
    suggestion = StudySearcher(run, most=1, stopped=lambda: False).suggest("a")
    assert suggestion["fits"] == small_grid.fits_a_shape > 1
