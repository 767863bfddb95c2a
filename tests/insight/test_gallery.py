"""Galleries and parallel coordinates choose trials by rule, and say what they show."""

import random
from collections.abc import Callable

from nefstudy.insight.declared import Declarations, declarations
from nefstudy.insight.gallery import reconstructions
from nefstudy.insight.parallel import parallel
from nefstudy.insight.table import TrialRef
from nefstudy.insight.trials import Trials

from .conftest import cell_plan, trial

Make = Callable[..., Trials]


def test_of_each_place_the_widest_fields_are_shown(make: Make, declared: Declarations) -> None:
    """One picture for each step count and initialization, by steps, random first; trials without one are left out."""
    rows = make(*(trial(init=init, steps=steps, hidden=hidden) for init in ("shared", "random") for steps in (25, 5)
                  for hidden in (8, 64, 32)))  # fmt: skip
    own = declared.of("phase2", "mnist5k/siren")
    found = reconstructions(rows, own, has=lambda trial: trial.key != "siren-random-64-0-5")
    assert [(p.row, p.column, p.trial.key) for p in found.pictures] == [
        ("5 steps", "shared", "siren-shared-64-0-5"),
        ("25 steps", "random", "siren-random-64-0-25"),
        ("25 steps", "shared", "siren-shared-64-0-25"),
    ]
    assert found.pictures[0].caption == "5 steps, shared · hidden 64 · PSNR 20.00 dB"
    assert reconstructions(make(), own, has=lambda _: True).caption == "No trial has left a picture."


def searched(make: Make, n: int) -> Trials:
    dice = random.Random(0)
    rows = []
    for number in range(n):
        hidden = dice.choice([8, 16, 32, 64])
        score = 0.01 * hidden + 0.001 * dice.random()
        rows.append(trial(key=f"k{number}", seed=number, hidden=hidden, val_accuracy=score, test_accuracy=score))
    return make(*rows)


def test_parallel_axes_are_the_parameters_that_matter(make: Make) -> None:
    """The parameter that the score was made of is the first axis; the best tenth comes first and is marked."""
    space = {"hidden": {"kind": "Choice", "values": [8, 16, 32, 64]}, "init": {"kind": "Choice", "values": ["shared"]}}
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
