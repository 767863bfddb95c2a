"""Tests of the classifier study: it combines all classifiers with every init and every field."""

import runpy
from pathlib import Path

import pytest

from nefstudy.classifiers.catalog import CLASSIFIERS
from nefstudy.classifiers.networks.gnn import GNN_SIZES
from nefstudy.study.options import StudyOptions

from ..classification import all_trials

SCRIPT = Path(__file__).parents[2] / "studies" / "classifier_ablation.py"


def plan_of(**options):
    return runpy.run_path(str(SCRIPT))["plan"](StudyOptions(**options))


@pytest.mark.parametrize("scale", ["cpu", "paper"])
def test_every_classifier_meets_every_start_and_field(scale):
    """Every classifier is combined with every init and every field, and no trial repeats."""
    plan = plan_of(scale=scale)
    trials = [(cell.field, trial) for cell in plan.cells for trial in all_trials(plan, cell)]
    met = {(field, t.dataset.init.name, t.classifier.name) for field, t in trials}
    assert len(met) == 3 * 2 * len(CLASSIFIERS)
    assert len({t.dataset.digest for _, t in trials}) == 3 * 2
    assert len({t.key for _, t in trials}) == len(trials)


def test_sizes_are_tried_on_the_siren_alone():
    """Only SIREN is combined with several sizes of the MLP and the GNN."""
    plan = plan_of()
    for cell in plan.cells:
        for name in ("mlp", "gnn"):
            sizes = {t.classifier.digest for t in all_trials(plan, cell) if t.classifier.name == name}
            assert len(sizes) >= 3 if cell.field == "siren" else len(sizes) == 1


def test_the_paper_scale_has_the_published_widths_and_all_signals():
    """The paper scale has the published widths and all signals.

    The cpu scale has narrower classifiers and 1,000 signals.
    """
    full, reduced = (plan_of(scale=scale).cells[0] for scale in ("paper", "cpu"))
    assert full.classifiers["gnn-1.5m"].params == GNN_SIZES["1.5M"]
    assert full.classifiers["transformer"].params == {}
    assert (full.signals.subset, reduced.signals.subset) == (None, 1000)
    assert reduced.classifiers["transformer"].params != {}


def test_one_classifier_can_be_asked_for():
    """The option --classifier restricts the plan to the given classifier."""
    plan = plan_of(classifier="dws", cells=("mnist5k/mfn",))
    assert {t.classifier.name for cell in plan.cells for t in all_trials(plan, cell)} == {"dws"}
