"""Laws of the check that every set passes, whoever made it."""

from dataclasses import replace

import numpy as np
import pytest

from nefstudy.config import SignalsConfig
from nefstudy.errors import BadSignals
from nefstudy.signals.catalog import load_signals
from nefstudy.signals.check import refuse
from nefstudy.signals.image_set import image_set
from nefstudy.signals.signal import Signals

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


def test_a_users_own_source_is_loaded_as_any_other():
    """A sound set of a user's own passes, whole."""
    assert sorted(_load(GOOD).ids) == list(range(60))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values": GOOD.values * 3}, r"outside \[0, 1\]"),
        ({"labels": GOOD.labels + 1}, "labels run from 1 to 2"),
        ({"ids": GOOD.ids // 2}, "is used 2 times"),
        ({"split": GOOD.split * 0}, "no signal is in the val split"),
        ({"card": replace(GOOD.card, grid=(4, 5))}, r"the card says grid \(4, 5\)"),
        ({"card": replace(GOOD.card, channels=2)}, "and 2 channels"),
        ({"card": replace(GOOD.card, mean=(0.5, 0.5))}, "2 means and 1 deviations"),
        ({"card": replace(GOOD.card, std=(0.0,))}, "every deviation must be above 0"),
        ({"card": replace(GOOD.card, mean=(float("nan"),))}, "standardises by mean"),
        ({"card": replace(GOOD.card, class_names=("a", "b", "c"))}, "class 'c' has no training signal"),
    ],
)
def test_an_unsound_set_of_a_users_own_is_refused(change: dict, message: str):
    """A source that hands over an inconsistent set is refused before any fitting, in one line."""
    with pytest.raises(BadSignals, match=message) as refused:
        _load(replace(GOOD, **change))
    assert "\n" not in str(refused.value)


def test_columns_of_different_lengths_are_refused():
    """A set whose ids are one short is refused."""
    short = replace(GOOD)
    object.__setattr__(short, "ids", GOOD.ids[:-1])
    with pytest.raises(BadSignals, match=r"different lengths \[59, 60\]; give one row per signal"):
        _load(short)


def test_a_long_list_of_problems_stays_one_short_line():
    """The first four problems are spelled out and the rest counted."""
    with pytest.raises(BadSignals, match=r"here: 0; 1; 2; 3; and 6 more$"):
        refuse(map(str, range(10)), where="here")


def test_no_problem_is_no_error():
    """Nothing wrong raises nothing."""
    refuse([], where="here")
