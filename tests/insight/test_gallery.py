"""Tests of what galleries and parallel coordinates show: the selected trials and axes."""

import random
from collections.abc import Callable

from nefstudy.insight.declared import Declarations, declarations
from nefstudy.insight.gallery import reconstructions
from nefstudy.insight.questions.parallel import parallel
from nefstudy.insight.table import TrialRef
from nefstudy.insight.trials import TrialColumns

from .synthetic_study import cell_plan, trial

Make = Callable[..., TrialColumns]


def test_widest_field_is_shown_per_steps_and_initialization(make: Make, declared: Declarations) -> None:
    """For each step count and initialization, the gallery shows the widest field that has a picture."""
    rows = make(*(trial(init=init, steps=steps, hidden=hidden) for init in ("shared", "random") for steps in (25, 5)
                  for hidden in (8, 64, 32)))  # fmt: skip
    own = declared.of("phase2", "mnist5k/siren")
    gallery = reconstructions(rows, own, has=lambda trial: trial.key != "siren-random-64-0-5")
    assert [(p.row, p.column, p.trial.key) for p in gallery.pictures] == [
        ("5 steps", "shared", "siren-shared-64-0-5"),
        ("25 steps", "random", "siren-random-64-0-25"),
        ("25 steps", "shared", "siren-shared-64-0-25"),
    ]
    assert gallery.pictures[0].caption == "5 steps, shared · hidden 64 · PSNR 20.00 dB"
    assert reconstructions(make(), own, has=lambda _: True).caption == "No trial has stored a picture."


def searched(make: Make, n: int) -> TrialColumns:
    rng = random.Random(0)
    rows = []
    for number in range(n):
        hidden = rng.choice([8, 16, 32, 64])
        score = 0.01 * hidden + 0.001 * rng.random()
        rows.append(trial(key=f"k{number}", seed=number, hidden=hidden, val_accuracy=score, test_accuracy=score))
    return make(*rows)


def test_parallel_axes_are_the_parameters_that_matter(make: Make) -> None:
    """The axes of parallel coordinates are the relevant parameters, most important first.

    The best trials come first, and the best tenth of the shown trials is marked.
    """
    space = {
        "hidden": {"kind": "Categorical", "values": [8, 16, 32, 64]},
        "init": {"kind": "Categorical", "values": ["shared"]},
    }
    declared = declarations({"cells": [cell_plan(space=space)]})
    trials = searched(make, 100)
    table = parallel(trials, declared, limit=50)
    assert [column.name for column in table.shown()] == ["key", "phase", "cell", "hidden", "val_accuracy"]
    assert (len(table.rows), table.of) == (50, 100)
    scores = table.column("val_accuracy")
    assert scores == sorted(scores, reverse=True)  # type: ignore[type-var]  # a column of numbers
    assert table.column("best") == [1] * 5 + [0] * 45
    assert isinstance(table.column("key")[0], TrialRef)
    assert parallel(searched(make, 5), declared).rows == ()
