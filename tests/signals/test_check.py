"""Tests of the validation that every set of signals, built in or user-defined, must pass."""

from dataclasses import replace

import numpy as np
import pytest

from nefstudy.config import SignalsConfig
from nefstudy.errors import BadSignals
from nefstudy.signals.catalog import load_signals
from nefstudy.signals.check import refuse
from nefstudy.signals.image_set import image_set
from nefstudy.signals.signal import Signals

from ..present import present

GOOD = image_set(
    np.random.default_rng(0).random((60, 4, 4, 1), dtype=np.float32),
    np.arange(60) % 2,
    config=SignalsConfig(name="mine"),
    class_names=("a", "b"),
    license="none",
    source="drawn",
)


def _load(signals: Signals) -> Signals:
    return load_signals(SignalsConfig(name="mine"), sources={"mine": lambda _: signals})


def test_a_user_source_is_loaded_like_any_other():
    """A valid user-defined set is loaded unchanged."""
    assert sorted(_load(GOOD).ids) == list(range(60))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values": GOOD.values * 3}, r"outside \[0, 1\]"),
        ({"labels": present(GOOD.labels) + 1}, "labels .*1 to 2"),
        ({"ids": GOOD.ids // 2}, "2 times"),
        ({"split": present(GOOD.split) * 0}, "val split"),
        ({"card": replace(GOOD.card, grid=(4, 5))}, r"card .*grid \(4, 5\)"),
        ({"card": replace(GOOD.card, channels=2)}, "card .*2 channels"),
        ({"card": replace(GOOD.card, mean=(0.5, 0.5))}, "2 means .*1 deviation"),
        ({"card": replace(GOOD.card, std=(0.0,))}, r"deviation \(0\.0,\); .*above 0"),
        ({"card": replace(GOOD.card, mean=(float("nan"),))}, r"card .*mean \(nan,\) .*finite"),
        ({"card": replace(GOOD.card, class_names=("a", "b", "c"))}, "'c' .*training signal"),
    ],
)
def test_an_inconsistent_user_set_is_refused(change: dict, message: str):
    """An inconsistent set is rejected before any fitting, with a one-line error."""
    with pytest.raises(BadSignals, match=message) as refused:
        _load(replace(GOOD, **change))
    assert "\n" not in str(refused.value)


def test_columns_of_different_lengths_are_refused():
    """A set of signals that has fewer ids than values is rejected."""
    short = replace(GOOD)
    object.__setattr__(short, "ids", GOOD.ids[:-1])
    with pytest.raises(BadSignals, match=r"lengths \[59, 60\]"):
        _load(short)


def test_a_long_list_of_problems_stays_one_short_line():
    """An error lists the first four problems and counts the remaining ones."""
    with pytest.raises(BadSignals, match=r"here: 0; 1; 2; 3; and 6 more$"):
        refuse(map(str, range(10)), where="here")


def test_no_problem_is_no_error():
    """If the list of problems is empty, no error is raised."""
    refuse([], where="here")
