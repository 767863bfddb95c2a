"""Tests that the figure of classifier sizes shows the curves of one trial for each size."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from nefstudy.insight.questions.classifier_curves import classifier_curves
from nefstudy.report.classifiers import draw_sizes, size_files

from ..insight.synthetic_study import trial, trials_of
from ..present import present


def of_sizes(rows: Iterable[dict[str, Any]], **values: float):
    """Return the figure for the given trials; `values` maps trial keys to constant validation accuracies."""
    found = {key: {"val_accuracy": [(1, v), (2, v)], "train_accuracy": [(1, 1.0)]} for key, v in values.items()}
    return classifier_curves(trials_of(list(rows)), curves=lambda ref: found.get(ref.key, {}))


def sized(key: str, size: float, **changes: Any) -> dict[str, Any]:
    """Return a trial whose classifier has `size` parameters."""
    return trial(key=key, classifier_parameters=size, **{"classifier": "mlp"} | changes)


def test_validation_is_solid_and_training_dashed():
    """Each size has a solid validation curve and a dashed training curve in the same color.

    The curves show the values of the size's trial.
    """
    figure = draw_sizes(of_sizes([sized("wide", 9000), sized("narrow", 1000)], wide=0.9, narrow=0.4))
    lines = figure.axes[0].get_lines()
    assert [(np.asarray(line.get_ydata()).tolist(), line.get_linestyle()) for line in lines] == [
        ([0.4, 0.4], "-"),
        ([1.0], "--"),
        ([0.9, 0.9], "-"),
        ([1.0], "--"),
    ]
    colors = [line.get_color() for line in lines]
    assert colors[0] == colors[1] != colors[2] == colors[3]
    assert [text.get_text() for text in present(figure.axes[0].get_legend()).get_texts()] == ["1k", "9k"]
    assert figure.axes[0].get_title(loc="left") == "mlp, shared init"


def test_panels_are_classifiers_by_initialization():
    """Panels form one row per initialization and one column per classifier and field.

    The title of a panel names all three.
    """
    places = [("mlp", "shared", "siren"), ("mlp", "random", "siren"), ("gnn", "shared", "mfn")]
    rows = [
        sized(f"{name}{init}{field}{size}", size, classifier=name, init=init, field=field)
        for name, init, field in places
        for size in (1000, 2000)
    ]
    figure = draw_sizes(of_sizes(rows, **{row["key"]: 0.5 for row in rows}))
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "gnn on MFN, random init",
        "mlp on SIREN, random init",
        "gnn on MFN, shared init",
        "mlp on SIREN, shared init",
    ]
    assert [len(axes.get_lines()) for axes in figure.axes] == [0, 4, 4, 4]


def test_without_several_sizes_there_is_no_picture():
    """Nothing is drawn for a single size or for trials without curves."""
    assert size_files(of_sizes([sized("one", 1000)], one=0.5)) == {}
    assert size_files(of_sizes([sized("one", 1000), sized("two", 2000)])) == {}
    assert set(size_files(of_sizes([sized("one", 1000), sized("two", 2000)], one=0.5, two=0.6))) == {
        "classifier_sizes.png",
        "classifier_sizes.svg",
    }
