"""Laws of the study of reading: a question is a study, replicates are seeds, an unknown question is named."""

import runpy
from pathlib import Path

import pytest

from nefstudy.errors import BadConfig
from nefstudy.study.options import StudyOptions
from nefstudy.study.plan import listed_trials

SCRIPT = runpy.run_path(str(Path(__file__).parents[2] / "studies" / "classifier_targets.py"))


def trials_of(question: str, **options):
    plan = SCRIPT["plan"](StudyOptions(study=question, **options))
    assert plan.study == question
    return [trial for cell in plan.cells for trial in listed_trials(plan, cell)]


@pytest.mark.parametrize("question", list(SCRIPT["QUESTIONS"]))
def test_replicates_are_seeds_of_fields_and_classifier(question):
    """Three replicates are three neural datasets for each one, and no trial is asked for twice."""
    one, three = trials_of(question), trials_of(question, replicates=3)
    assert len(three) == 3 * len(one) == len({trial.key for trial in three})
    assert len({t.dataset.digest for t in three}) == 3 * len({t.dataset.digest for t in one})
    assert len({trial.seed for trial in three}) == 3


def test_the_published_network_reads_what_the_default_reads():
    """Both questions are about one neural dataset and one rung, so that only the reader differs."""
    (published,), (own,) = trials_of("published-gnn"), trials_of("random-1-view")
    assert (published.dataset, published.steps) == (own.dataset, own.steps)
    assert (published.classifier.name, own.classifier.name) == ("gnn", "gnn-sign")
    assert published.classifier.params["width"] == 64


def test_only_the_random_starts_are_seen_several_times():
    """Views of a shared start would all be the same fit."""
    views = {question: {t.dataset.views for t in trials_of(question)} for question in SCRIPT["QUESTIONS"]}
    assert views.pop("random-5-views") == {5}
    assert set.union(*views.values()) == {1}
    assert {t.dataset.init.name for t in trials_of("random-5-views")} == {"random"}


def test_an_unknown_question_is_refused():
    """So is none at all; the error lists what can be asked."""
    for study in ("nope", None):
        with pytest.raises(BadConfig, match="allowed are shared-start, random-1-view"):
            SCRIPT["plan"](StudyOptions(study=study))
