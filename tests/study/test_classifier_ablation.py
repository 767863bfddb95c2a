"""Laws of the study of classifiers: every classifier on every start and field, sizes on one, full size by one flag."""

import runpy
from pathlib import Path

import pytest

from nefstudy.classifiers.catalog import CLASSIFIERS
from nefstudy.classifiers.gnn import GNN_SIZES
from nefstudy.study.options import StudyOptions
from nefstudy.study.plan import listed_trials

SCRIPT = Path(__file__).parents[2] / "studies" / "classifier_ablation.py"


def plan_of(**options):
    return runpy.run_path(str(SCRIPT))["plan"](StudyOptions(**options))


@pytest.mark.parametrize("scale", ["cpu", "paper"])
def test_every_classifier_meets_every_start_and_field(scale):
    """All readers of one start and field share one neural dataset, and no two trials are the same."""
    plan = plan_of(scale=scale)
    trials = [(cell.field, trial) for cell in plan.cells for trial in listed_trials(plan, cell)]
    met = {(field, t.dataset.init.name, t.classifier.name) for field, t in trials}
    assert len(met) == 3 * 2 * len(CLASSIFIERS)
    assert len({t.dataset.digest for _, t in trials}) == 3 * 2
    assert len({t.key for _, t in trials}) == len(trials)


def test_sizes_are_tried_on_the_siren_alone():
    """Three sizes or more of the MLP and of the GNN, as in the supplement's figure 1."""
    plan = plan_of()
    for cell in plan.cells:
        for name in ("mlp", "gnn"):
            sizes = {t.classifier.digest for t in listed_trials(plan, cell) if t.classifier.name == name}
            assert len(sizes) >= 3 if cell.field == "siren" else len(sizes) == 1


def test_the_paper_scale_has_the_published_widths_and_all_signals():
    """Only there; elsewhere a thousand signals and widths that are said to be reduced."""
    full, reduced = (plan_of(scale=scale).cells[0] for scale in ("paper", "cpu"))
    assert full.classifiers["gnn-1.5m"].params == GNN_SIZES["1.5M"]
    assert full.classifiers["transformer"].params == {}
    assert (full.signals.subset, reduced.signals.subset) == (None, 1000)
    assert reduced.classifiers["transformer"].params != {}


def test_one_classifier_can_be_asked_for():
    """--classifier keeps its rows of the table and its sizes."""
    plan = plan_of(classifier="dws", cells=("mnist5k/mfn",))
    assert {t.classifier.name for cell in plan.cells for t in listed_trials(plan, cell)} == {"dws"}
