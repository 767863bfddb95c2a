"""Tests of the studies of classifier targets, each of which answers one question."""

import runpy
from pathlib import Path

import pytest

from nefstudy.errors import BadConfig
from nefstudy.study.options import StudyOptions

from ..classification import all_trials

SCRIPT = runpy.run_path(str(Path(__file__).parents[2] / "studies" / "classifier_targets.py"))


def trials_of(question: str, **options):
    plan = SCRIPT["plan"](StudyOptions(study=question, **options))
    assert plan.study == question
    return [trial for cell in plan.cells for trial in all_trials(plan, cell)]


@pytest.mark.parametrize("question", [*SCRIPT["QUESTIONS"], *SCRIPT["READINGS"]])
def test_replicates_are_seeds_of_fields_and_classifier(question):
    """With three replicates, a study has three seeds and three times as many distinct trials and neural datasets."""
    one, three = trials_of(question), trials_of(question, replicates=3)
    assert len(three) == 3 * len(one) == len({trial.key for trial in three})
    assert len({t.dataset.digest for t in three}) == 3 * len({t.dataset.digest for t in one})
    assert len({trial.seed for trial in three}) == 3


def test_the_published_network_reads_what_the_default_reads():
    """The questions `published-gnn` and `random-1-view` use the same neural dataset but different classifiers."""
    (published,), (own,) = trials_of("published-gnn"), trials_of("random-1-view")
    assert (published.dataset, published.steps) == (own.dataset, own.steps)
    assert (published.classifier.name, own.classifier.name) == ("gnn", "gnn-sign")
    assert published.classifier.params["width"] == 64


def test_the_network_of_the_public_code_reads_what_gnn_sign_reads():
    """The preset `gnn-published`, which is a `gnn`, reads the neural dataset that `gnn-sign` reads."""
    (published,), (own,) = trials_of("shared-gnn-published"), trials_of("shared-sign")
    assert (published.dataset, published.steps) == (own.dataset, own.steps)
    assert (published.classifier.name, own.classifier.name) == ("gnn", "gnn-sign")
    assert published.classifier.params["lift"] == 128


def test_only_the_random_starts_are_seen_several_times():
    """Only fields with a random init are fitted in several views, since all views of a shared init are identical."""
    views = {question: {t.dataset.views for t in trials_of(question)} for question in SCRIPT["QUESTIONS"]}
    assert views.pop("random-5-views") == {5}
    assert set.union(*views.values()) == {1}
    assert {t.dataset.init.name for t in trials_of("random-5-views")} == {"random"}


def test_questions_about_readings_differ_in_the_reading_only():
    """The questions `reading-plain` and `reading-centered` plan the same six fits of three fields, read differently."""
    plain, centered = trials_of("reading-plain"), trials_of("reading-centered")
    assert [(t.dataset, t.steps) for t in plain] == [(t.dataset, t.steps) for t in centered]
    assert len({t.dataset.digest for t in plain}) == 6
    assert {t.classifier.reading for t in plain} == {"plain"}
    assert [t.classifier for t in plain] == [t.classifier.model_copy(update={"reading": "plain"}) for t in centered]


def test_an_unknown_question_is_refused():
    """The error for an unknown or missing question lists the questions."""
    for study in ("nope", None):
        with pytest.raises(BadConfig, match="shared-start, random-1-view"):
            SCRIPT["plan"](StudyOptions(study=study))
