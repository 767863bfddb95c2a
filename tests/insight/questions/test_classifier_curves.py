"""Tests of the figure of training curves, which shows one trial per size of a classifier."""

from typing import Any

import pytest

from nefstudy.insight.questions.classifier_curves import MAX_SIZES, classifier_curves, trials_by_size
from nefstudy.insight.table import TrialRef

from ..synthetic_study import trial, trials_of


def sized(key: str, size: float | None, **changes: Any) -> dict[str, Any]:
    """Return a trial whose classifier has `size` parameters."""
    return trial(key=key, classifier_parameters=size, **{"classifier": "mlp"} | changes)


def keys(*rows: dict[str, Any]) -> list[list[str]]:
    """Return the trial keys of each group that the figure forms."""
    trials = trials_of(list(rows))
    return [[trials["key"][index] for index in group] for group in trials_by_size(trials)]


def test_hyperparameters_make_sizes() -> None:
    """A classifier's trials form a group with one trial per size, smallest first.

    Classifiers with a single size and trials of unknown size are left out.
    """
    rows = (sized("wide", 9000), sized("narrow", 1000), sized("again", 1000), sized("other", 1000, classifier="gnn"))
    assert keys(*rows, sized("unknown", None)) == [["narrow", "wide"]]


def test_each_field_has_its_own_group() -> None:
    """Trials with different fields or initializations form separate groups."""
    places: list[dict[str, Any]] = [{"field": "mfn"}, {"field": "siren"}, {"field": "siren", "init": "random"}]
    rows = [sized(f"{i}{size}", size, **place) for i, place in enumerate(places) for size in (1000, 2000)]
    assert keys(*rows) == [["21000", "22000"], ["11000", "12000"], ["01000", "02000"]]


@pytest.mark.parametrize("count", [2, MAX_SIZES, MAX_SIZES + 1, 100])
def test_many_sizes_are_spaced_evenly(count: int) -> None:
    """A group has at most `MAX_SIZES` sizes, including the smallest and the largest.

    No size appears twice.
    """
    (group,) = keys(*(sized(str(size), size) for size in range(count)))
    assert (group[0], group[-1]) == ("0", str(count - 1))
    assert len(set(group)) == len(group) == min(count, MAX_SIZES)


def test_a_line_holds_a_trials_curve() -> None:
    """Each shown trial has one line for its training curve and one for its validation curve.

    Only the curves of shown trials are read.
    """
    read: list[TrialRef] = []
    curves = {"val_accuracy": [(1.0, 0.5), (2.0, 0.6)], "train_accuracy": [(1.0, 0.7)], "val_loss": [(1.0, 9.0)]}

    def read_curves(ref: TrialRef) -> dict[str, list[tuple[float, float]]]:
        read.append(ref)
        return curves

    rows = [sized("wide", 9000), sized("narrow", 1000), sized("alone", 1, classifier="gnn")]
    figure = classifier_curves(trials_of(rows), curves=read_curves)
    assert [ref.key for ref in read] == ["narrow", "wide"]
    (mark,) = figure.marks
    named = ("key", "size", "split", "x", "y")
    points = list(zip(*(mark.columns[name] for name in named), strict=True))
    assert points == [
        (key, size, split, x, y)
        for key, size in (("narrow", 1000), ("wide", 9000))
        for split, x, y in (("validation", 1.0, 0.5), ("validation", 2.0, 0.6), ("training", 1.0, 0.7))
    ]
    assert len(set(mark.columns["z"])) == 4
    assert "2 trials in 1 group" in figure.caption
    assert figure.of == 2


def test_without_several_sizes_the_figure_is_empty() -> None:
    """If no classifier has several sizes, the figure is empty and its caption states the reason."""
    figure = classifier_curves(trials_of([sized("one", 1000)]), curves=lambda _ref: {})
    assert (figure.marks, figure.of, figure.caption) == ((), 0, "No classifier was trained in more than one size.")
