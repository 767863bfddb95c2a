"""Tests of the result check, which accepts only results that can be recorded."""

import json
import os
from collections import UserDict
from dataclasses import asdict, replace
from math import inf, nan
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nefstudy.bench.noop import noop
from nefstudy.config import ClassifierConfig, FieldConfig, NeuralDatasetConfig, SignalsConfig
from nefstudy.errors import TrialFailed
from nefstudy.fields.catalog import complete
from nefstudy.outside_text import ERROR_LENGTH
from nefstudy.tasks.classification import ClassificationConfig
from nefstudy.tasks.result import TrialResult
from nefstudy.tasks.setting import Setting
from nefstudy.trial.result_check import ENTRIES, NAME_LENGTH, POINTS, checked, read_result

from ..stub_tasks import expected_of

EXAMPLES = int(os.environ.get("NEFSTUDY_EXAMPLES", "200"))

DATASET = NeuralDatasetConfig(
    signals=SignalsConfig(name="digits8", subset=120), field=complete(FieldConfig(name="siren")), init="shared"
)
TRIAL = ClassificationConfig(dataset=DATASET, steps=2, classifier=ClassifierConfig(name="mlp", epochs=1))
EXPECTED = expected_of(TRIAL)
GOOD = noop(TRIAL, setting=Setting(root="/nowhere", clock=float))
(USED,) = GOOD.datasets
FOLDER = f"trials/{TRIAL.key}"


class Sealed(UserDict[str, float]):
    def __iter__(self):
        raise ZeroDivisionError


class Nameless:
    def __repr__(self) -> str:
        raise RuntimeError("no words")


def changed(**changes: Any) -> Any:
    """Return a valid result in which some entries are replaced or added."""
    merged = {name: getattr(GOOD, name) | value if type(value) is dict else value for name, value in changes.items()}
    return replace(GOOD, **merged)


def used_with(**changes: Any) -> Any:
    """Return the valid result's record of its neural dataset, with some entries replaced."""
    return replace(USED, **changes)


def refusal(result: Any) -> str:
    with pytest.raises(TrialFailed) as caught:
        checked(result, expected=EXPECTED)
    assert caught.value.cause == "bug"
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < ERROR_LENGTH
    return str(caught.value)


@pytest.mark.parametrize(
    ("result", "named"),
    [
        (None, "None"),
        ({"val_accuracy": 0.5}, "TrialResult"),
        (changed(metrics={"test_extra": None}), "'test_extra' is None"),
        (changed(metrics={"val_accuracy": "high"}), "'val_accuracy' is 'high'"),
        (changed(metrics={"n": 10**400}), "'n' is "),
        (changed(metrics={"n": 10**5000}), "'n' is a int"),
        (changed(metrics={"n": Nameless()}), "'n' is <Nameless instance"),
        (changed(metrics={"n": 1j}), "'n' is 1j"),
        (changed(metrics={"caf\udce9": 1.0}), r"caf\udce9"),
        (changed(metrics={"\x1b[31mred": 1.0}), "metric name"),
        (changed(metrics={"": 1.0}), "metric name ''"),
        (changed(metrics={5: 1.0}), "metric name 5"),
        (changed(metrics={"x" * (NAME_LENGTH + 1): 1.0}), "metric name"),
        (changed(metrics={f"extra_{i}": 1.0 for i in range(ENTRIES)}), "metric entries"),
        (replace(GOOD, metrics={"test_accuracy": 0.5}), "'val_accuracy'"),
        (replace(GOOD, metrics=[0.5]), "[0.5]"),  # type: ignore[arg-type]
        (replace(GOOD, metrics=Sealed({"val_accuracy": 0.5})), "ZeroDivisionError"),  # type: ignore[arg-type]
        (changed(curves={"c": [(0, None)]}), "'c' at step 0 is None"),
        (changed(curves={"c": [(0.5, 1.0)]}), "'c' has the step 0.5"),
        (changed(curves={"c": [(10**30, 1.0)]}), "'c' has the step"),
        (changed(curves={"c": [1.0]}), "'c' holds 1.0"),
        (changed(curves={"c": "flat"}), "'c' is 'flat'"),
        (changed(curves={"c": [(i, 1.0) for i in range(POINTS + 1)]}), "'c' is too long"),
        (changed(fingerprint={"n": 5}), "'n' is 5"),
        (changed(fingerprint={"n": "a\x00b"}), "'n' is"),
        (changed(made_by={"n": None}), "'n' is None"),
        (changed(artifacts={"passwd.txt": "../../../../etc/passwd"}), "passwd.txt"),
        (changed(artifacts={"hostname": "/etc/hostname"}), "/etc/hostname"),
        (changed(artifacts={"x.png": f"{FOLDER}/../other/x.png"}), "x.png"),
        (changed(artifacts={"x.png": f"{FOLDER}/"}), "x.png"),
        (changed(artifacts={"a b\n.png": f"{FOLDER}/a.png"}), "file name"),
        (changed(artifacts={"a/b.png": f"{FOLDER}/b.png"}), "a/b.png"),
        (changed(datasets=(used_with(digest="../../other"),)), "../../other"),
        (changed(datasets=(USED, used_with(digest="../../other"))), "../../other"),
        (changed(datasets=()), "name all that the trial needs, and no other: " + USED.digest),
        (changed(datasets=None), "None"),
        (changed(datasets=(USED.digest,)), "return a UsedDataset"),
        (changed(datasets=(used_with(digest=5),)), "is 5"),
        (changed(datasets=(used_with(rungs=(1, -2)),)), "-2"),
        (changed(datasets=(used_with(bytes=2.5),)), "2.5"),
        (changed(datasets=(used_with(fingerprint={"n": 5}),)), "'n' is 5"),
        (changed(confusion=[[0.5]]), "0.5"),
        (changed(datasets=(used_with(sha256=b"00"),)), "b'00'"),
    ],
)
def test_an_entry_that_cannot_be_recorded_is_named_in_one_line(result: Any, named: str) -> None:
    """If an entry of a result cannot be recorded, the error names the entry or its value in one line."""
    assert named in refusal(result)


@pytest.mark.parametrize("value", [nan, inf, 1, True, np.float32(0.5), np.int64(3), 2**60])
def test_every_number_that_a_float_holds_is_recorded(value: Any) -> None:
    """A metric may be NaN, infinity, an integer or a NumPy scalar; the check converts it to a float."""
    result = checked(changed(metrics={"extra": value}), expected=EXPECTED)
    assert repr(result.metrics["extra"]) == repr(float(value))
    assert type(result.metrics["extra"]) is float


def test_a_good_result_is_unchanged_and_survives_the_transport_to_the_driver() -> None:
    """A valid result passes the check and the transport to the driver unchanged."""
    good = changed(artifacts={"x.png": f"{FOLDER}/deeper/x.png"})
    result = checked(good, expected=EXPECTED)
    assert result == good
    assert read_result(result.to_json(), expected=EXPECTED) == result


def test_only_a_partial_result_may_lack_the_objective() -> None:
    """A partial result, which may lack the objective, is accepted only with `whole=False`."""
    part = replace(GOOD, metrics={"all_psnr": 20.0})
    assert checked(part, expected=EXPECTED, whole=False) == part
    refusal(part)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "null", "[" * 100_000, '{"metrics": 5}', GOOD.to_json().replace("0.5", "9" * 5000)]
)
def test_a_text_that_is_not_a_result_fails_the_trial(text: str) -> None:
    """If a worker sends text that is not a result, the driver treats the trial as failed."""
    with pytest.raises(TrialFailed):
        read_result(text, expected=EXPECTED)


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**400), 10**400)
    | st.floats()
    | st.binary()
    | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
names = st.sampled_from(["val_accuracy", "x", "x.png"]) | st.text(st.characters(exclude_categories=()), max_size=5)
numbers = st.floats() | st.integers() | anything
points = st.lists(st.tuples(st.integers() | anything, numbers) | anything, max_size=3)
paths = st.text(max_size=5).map(lambda name: f"{FOLDER}/{name}") | anything
used = st.fixed_dictionaries(
    {},
    optional={
        "digest": anything,
        "fitted": anything,
        "rungs": anything,
        "bytes": anything,
        "fingerprint": st.dictionaries(names, st.text(max_size=5) | anything, max_size=2) | anything,
        "sha256": anything,
    },
).map(lambda changes: used_with(**changes))
entries = st.fixed_dictionaries(
    {},
    optional={
        "metrics": st.dictionaries(names, numbers, max_size=3).map(lambda metrics: {"val_accuracy": 0.5} | metrics)
        | anything,
        "curves": st.dictionaries(names, points | anything, max_size=2) | anything,
        "artifacts": st.dictionaries(names, paths, max_size=2) | anything,
        "fingerprint": st.dictionaries(names, st.text(max_size=5) | anything, max_size=2) | anything,
        "datasets": st.lists(used | anything, max_size=2).map(tuple) | anything,
        "confusion": anything,
    },
)


@settings(max_examples=EXAMPLES, deadline=None)
@given(entries)
def test_any_result_is_plain_data_or_a_failed_trial(changes: dict[str, Any]) -> None:
    """Any result either survives conversion to JSON unchanged or is rejected with a one-line error.

    The JSON is valid UTF-8 and strict, except for NaN.
    """
    try:
        result = checked(replace(GOOD, **changes), expected=EXPECTED)
    except TrialFailed as error:
        message = str(error)
        message.encode()
        assert "\n" not in message
        assert len(message) < ERROR_LENGTH
        return
    text = result.to_json()
    json.dumps(asdict(result), ensure_ascii=False).encode()
    assert read_result(text, expected=EXPECTED).to_json() == text
    assert isinstance(result, TrialResult)
