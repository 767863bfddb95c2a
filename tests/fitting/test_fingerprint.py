"""A fingerprint names what bytes depend on beyond the recipe."""

from collections.abc import Callable

import pytest

from nefstudy.config import FitConfig
from nefstudy.errors import BadConfig
from nefstudy.fitting.fingerprint import fingerprint


def test_auto_is_resolved_to_an_engine(configure: Callable[..., FitConfig]) -> None:
    """The fingerprint holds a concrete engine, never "auto"."""
    marks = fingerprint(configure(engine="auto"))
    assert marks["engine"] != "auto"
    assert set(marks) >= {"engine", "optimiser", "torch", "device", "cpu_capability", "dtype"}


def test_what_changes_no_bytes_is_not_in_it(configure: Callable[..., FitConfig]) -> None:
    """Chunk and rungs leave it alone; the optimiser does not."""
    marks = fingerprint(configure())
    assert fingerprint(configure(chunk=3, rungs=(1, 2))) == marks
    sgd = configure().dataset.optimiser.model_copy(update={"name": "sgd"})
    assert fingerprint(configure(optimiser=sgd)) != marks


def test_an_engine_that_is_not_there_is_refused(configure: Callable[..., FitConfig]) -> None:
    """A named engine this build lacks is refused with those it has, not replaced in silence."""
    with pytest.raises(BadConfig, match="engine 'fused' is not available here; allowed: auto, eager"):
        fingerprint(configure(engine="fused"))
