"""What is fit to show: numbers JSON can hold, errors without folders."""

import json
import math

import pytest

from nefstudy.insight.failures import presentable
from nefstudy.service.answers import encode, finite


def test_encoding_round_trips_plain_data():
    """Finite plain data come back equal."""
    value = {"a": [1, 2.5, None, "x"], "b": {"c": True}}
    assert json.loads(encode(value)) == value


def test_what_json_cannot_hold_becomes_null():
    """NaN and infinities become null wherever they stand, and nothing else changes."""
    value = {"a": [1.0, math.nan], "b": {"c": -math.inf, "d": (1, math.inf)}}
    assert json.loads(encode(value)) == finite(value) == {"a": [1.0, None], "b": {"c": None, "d": [1, None]}}


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (None, None),
        ("", ""),
        ("ValueError: plain", "ValueError: plain"),
        ("OSError: /home/ann/runs/x.arrow is gone", "OSError: x.arrow is gone"),
        ("cannot open '/a/b c'", "cannot open 'b c'"),
        ("first\nTraceback: second", "first"),
        ("loss 3/4 of the way", "loss 3/4 of the way"),
        ("see s3://bucket/key/file.bin", "see file.bin"),
    ],
)
def test_an_error_is_shown_without_folders(error, shown):
    """The first line, each path cut down to its last part."""
    assert presentable(error) == shown


def test_a_long_error_is_cut():
    """An error cannot make an answer large."""
    assert len(presentable("x" * 10_000)) <= 300
