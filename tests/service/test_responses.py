"""Tests of responses: JSON without NaN, and error messages without directories."""

import json
import math

import pytest

from nefstudy.insight.questions.failures import presentable
from nefstudy.service.responses import encode, finite

from ..present import present


def test_encoding_round_trips_plain_data():
    """Finite plain data is unchanged by encoding and decoding."""
    value = {"a": [1, 2.5, None, "x"], "b": {"c": True}}
    assert json.loads(encode(value)) == value


def test_nan_and_infinities_become_null():
    """NaN and infinities become null at any depth.

    Nothing else changes.
    """
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
def test_an_error_is_shown_without_directories(error, shown):
    """Only the first line of an error is shown, and only the last component of each path in it."""
    assert presentable(error) == shown


def test_a_long_error_is_cut():
    """An error of more than 300 characters is truncated."""
    assert len(present(presentable("x" * 10_000))) <= 300
