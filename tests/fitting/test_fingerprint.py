"""Tests of fingerprints: they contain everything that a fit's bytes depend on, except for the recipe."""

from collections.abc import Callable

from nefstudy.config import FitConfig
from nefstudy.fitting.engines.catalog import ENGINES
from nefstudy.fitting.fingerprint import fingerprint


def test_it_names_what_bytes_depend_on(configure: Callable[..., FitConfig]) -> None:
    """Fingerprints name engine, optimizer implementation, version, device class, CPU features, threads and dtype."""
    eager = fingerprint(configure(), ENGINES["eager"])
    assert eager["engine"] == "eager"
    assert set(eager) == {"engine", "optimizer", "torch", "device", "cpu_capability", "threads", "dtype"}
    assert fingerprint(configure(), ENGINES["compiled"]) != eager


def test_what_changes_no_bytes_is_not_in_it(configure: Callable[..., FitConfig]) -> None:
    """The fingerprint depends on the optimizer, but not on the chunk size or the rungs."""
    adamw = fingerprint(configure(), ENGINES["eager"])
    assert fingerprint(configure(chunk=3, rungs=(1, 2)), ENGINES["eager"]) == adamw
    sgd = configure().dataset.optimizer.model_copy(update={"name": "sgd"})
    assert fingerprint(configure(optimizer=sgd), ENGINES["eager"]) != adamw
