"""Laws of the check of results: what passes can be recorded, everything else is one line that names the entry."""

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
from nefstudy.trial.checked import ENTRIES, NAME_LENGTH, POINTS, checked, read_result

from ..doing import expected_of

EXAMPLES = int(os.environ.get("NEFSTUDY_EXAMPLES", "200"))

DATASET = NeuralDatasetConfig(
    signals=SignalsConfig(name="digits8", subset=120), field=complete(FieldConfig(name="siren")), init="shared"
)
TRIAL = ClassificationConfig(dataset=DATASET, steps=2, classifier=ClassifierConfig(name="mlp", epochs=1))
EXPECTED = expected_of(TRIAL)
GOOD = noop(TRIAL, setting=Setting(root="/nowhere", clock=float))
FOLDER = f"trials/{TRIAL.key}"


class Sealed(UserDict[str, float]):
    def __iter__(self):
        raise ZeroDivisionError


class Nameless:
    def __repr__(self) -> str:
        raise RuntimeError("no words")


def bent(**changes: Any) -> Any:
    """A good result with some entries exchanged or added."""
    merged = {name: getattr(GOOD, name) | value if type(value) is dict else value for name, value in changes.items()}
    return replace(GOOD, **merged)


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
        (bent(metrics={"test_extra": None}), "'test_extra' is None"),
        (bent(metrics={"val_accuracy": "high"}), "'val_accuracy' is 'high'"),
        (bent(metrics={"n": 10**400}), "'n' is "),
        (bent(metrics={"n": 10**5000}), "'n' is a int"),
        (bent(metrics={"n": Nameless()}), "'n' is <Nameless instance"),
        (bent(metrics={"n": 1j}), "'n' is 1j"),
        (bent(metrics={"caf\udce9": 1.0}), r"caf\udce9"),
        (bent(metrics={"\x1b[31mred": 1.0}), "metric name"),
        (bent(metrics={"": 1.0}), "metric name ''"),
        (bent(metrics={5: 1.0}), "metric name 5"),
        (bent(metrics={"x" * (NAME_LENGTH + 1): 1.0}), "metric name"),
        (bent(metrics={f"extra_{i}": 1.0 for i in range(ENTRIES)}), "metric entries"),
        (replace(GOOD, metrics={"test_accuracy": 0.5}), "'val_accuracy'"),
        (replace(GOOD, metrics=[0.5]), "[0.5]"),
        (replace(GOOD, metrics=Sealed({"val_accuracy": 0.5})), "ZeroDivisionError"),
        (bent(curves={"c": [(0, None)]}), "'c' at step 0 is None"),
        (bent(curves={"c": [(0.5, 1.0)]}), "'c' has the step 0.5"),
        (bent(curves={"c": [(10**30, 1.0)]}), "'c' has the step"),
        (bent(curves={"c": [1.0]}), "'c' holds 1.0"),
        (bent(curves={"c": "flat"}), "'c' is 'flat'"),
        (bent(curves={"c": [(i, 1.0) for i in range(POINTS + 1)]}), "'c' is too long"),
        (bent(fingerprint={"n": 5}), "'n' is 5"),
        (bent(fingerprint={"n": "a\x00b"}), "'n' is"),
        (bent(made_by={"n": None}), "'n' is None"),
        (bent(artifacts={"passwd.txt": "../../../../etc/passwd"}), "passwd.txt"),
        (bent(artifacts={"hostname": "/etc/hostname"}), "/etc/hostname"),
        (bent(artifacts={"x.png": f"{FOLDER}/../other/x.png"}), "x.png"),
        (bent(artifacts={"x.png": f"{FOLDER}/"}), "x.png"),
        (bent(artifacts={"a b\n.png": f"{FOLDER}/a.png"}), "file name"),
        (bent(artifacts={"a/b.png": f"{FOLDER}/b.png"}), "a/b.png"),
        (bent(dataset="../../other"), "../../other"),
        (bent(rungs=(1, -2)), "-2"),
        (bent(dataset_bytes=2.5), "2.5"),
        (bent(confusion=[[0.5]]), "0.5"),
        (bent(rung_sha256=b"00"), "b'00'"),
    ],
)
def test_what_cannot_be_recorded_is_named_in_one_line(result: Any, named: str) -> None:
    """The error names the entry and its value, whatever they are."""
    assert named in refusal(result)


@pytest.mark.parametrize("value", [nan, inf, 1, True, np.float32(0.5), np.int64(3), 2**60])
def test_every_number_that_a_float_holds_is_recorded(value: Any) -> None:
    """NaN, infinity, integers and NumPy's scalars become floats."""
    found = checked(bent(metrics={"extra": value}), expected=EXPECTED)
    assert repr(found.metrics["extra"]) == repr(float(value))
    assert type(found.metrics["extra"]) is float


def test_a_good_result_is_unchanged_and_survives_the_way_to_the_driver() -> None:
    """Checking changes nothing, and the driver reads back an equal result."""
    found = checked(bent(artifacts={"x.png": f"{FOLDER}/deeper/x.png"}), expected=EXPECTED)
    assert found == bent(artifacts={"x.png": f"{FOLDER}/deeper/x.png"})
    assert read_result(found.to_json(), expected=EXPECTED) == found


def test_before_its_end_a_trial_has_no_validation_accuracy_yet() -> None:
    """What a trial found before it trained passes as a part, and not as a whole."""
    part = replace(GOOD, metrics={"all_psnr": 20.0})
    assert checked(part, expected=EXPECTED, whole=False) == part
    refusal(part)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "null", "[" * 100_000, '{"metrics": 5}', GOOD.to_json().replace("0.5", "9" * 5000)]
)
def test_a_text_that_is_not_a_result_fails_the_trial(text: str) -> None:
    """The driver answers every text from a worker."""
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
entries = st.fixed_dictionaries(
    {},
    optional={
        "metrics": st.dictionaries(names, numbers, max_size=3).map(lambda found: {"val_accuracy": 0.5} | found)
        | anything,
        "curves": st.dictionaries(names, points | anything, max_size=2) | anything,
        "artifacts": st.dictionaries(names, paths, max_size=2) | anything,
        "fingerprint": st.dictionaries(names, st.text(max_size=5) | anything, max_size=2) | anything,
        "rungs": anything,
        "confusion": anything,
        "dataset_bytes": anything,
    },
)


@settings(max_examples=EXAMPLES, deadline=None)
@given(entries)
def test_any_result_is_plain_data_or_a_failed_trial(changes: dict[str, Any]) -> None:
    """Either one line, or strict JSON up to NaN that reads back equal and is valid UTF-8."""
    try:
        found = checked(replace(GOOD, **changes), expected=EXPECTED)
    except TrialFailed as error:
        refused = str(error)
        refused.encode()
    else:
        refused = None
    if refused is not None:
        assert "\n" not in refused
        assert len(refused) < ERROR_LENGTH
        return
    text = found.to_json()
    json.dumps(asdict(found), ensure_ascii=False).encode()
    assert read_result(text, expected=EXPECTED).to_json() == text
    assert isinstance(found, TrialResult)
