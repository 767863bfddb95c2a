"""A fingerprint names what bytes depend on beyond the recipe."""

from collections.abc import Callable

from nefstudy.config import FitConfig
from nefstudy.fitting.engines import ENGINES
from nefstudy.fitting.fingerprint import fingerprint


def test_it_names_what_bytes_depend_on(configure: Callable[..., FitConfig]) -> None:
    """Engine, optimizer implementation, version, device class, CPU capability, threads and type are all there."""
    marks = fingerprint(configure(), ENGINES["eager"])
    assert marks["engine"] == "eager"
    assert set(marks) == {"engine", "optimizer", "torch", "device", "cpu_capability", "threads", "dtype"}
    assert fingerprint(configure(), ENGINES["compiled"]) != marks


def test_what_changes_no_bytes_is_not_in_it(configure: Callable[..., FitConfig]) -> None:
    """Chunk and rungs leave it alone; the optimizer does not."""
    marks = fingerprint(configure(), ENGINES["eager"])
    assert fingerprint(configure(chunk=3, rungs=(1, 2)), ENGINES["eager"]) == marks
    sgd = configure().dataset.optimizer.model_copy(update={"name": "sgd"})
    assert fingerprint(configure(optimizer=sgd), ENGINES["eager"]) != marks
