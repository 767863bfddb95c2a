"""Tests of how a trial obtains its neural datasets, which are fitted, opened or repaired."""

import time

import pytest

from nefstudy.config import FieldConfig, InitConfig, NeuralDatasetConfig, SignalsConfig
from nefstudy.errors import BadSignals
from nefstudy.fields.catalog import complete
from nefstudy.paths import dataset_path
from nefstudy.tasks.obtain import ObtainedDataset, with_neural_datasets
from nefstudy.tasks.result import TrialResult
from nefstudy.tasks.setting import Setting
from nefstudy.tasks.task import Need


def need(hidden: int, rung: int = 1) -> Need:
    field = complete(FieldConfig(name="siren", params={"hidden": hidden, "layers": 2}))
    signals, init = SignalsConfig(name="digits8", subset=30), InitConfig(name="shared")
    recipe = NeuralDatasetConfig(signals=signals, field=field, init=init)
    return Need(recipe, rung)


def read_all(needs: tuple[Need, ...], root: object, **more: object) -> TrialResult:
    """Read all needed neural datasets and return a result whose metric is the sum of all their parameters."""

    def read(obtained: tuple[ObtainedDataset, ...]) -> TrialResult:
        total = sum(float(one.rung.parameters.sum()) for one in obtained)
        return TrialResult({"sum": total}, datasets=tuple(one.used for one in obtained))

    setting = Setting(root=str(root), clock=time.monotonic, engine="eager")
    return with_neural_datasets(needs, setting=setting, then=read, **more)  # type: ignore[arg-type]


def test_only_what_is_missing_is_fitted(tmp_path) -> None:
    """Only missing neural datasets are fitted. The result lists every needed dataset, in the order of the needs."""
    read_all((need(4),), tmp_path)
    result = read_all((need(6), need(4)), tmp_path)
    assert [(used.digest, used.fitted) for used in result.datasets] == [
        (need(6).digest, True),
        (need(4).digest, False),
    ]
    assert read_all((), tmp_path) == TrialResult({"sum": 0.0})


def test_every_damaged_neural_dataset_is_repaired_before_the_retry(tmp_path) -> None:
    """If several neural datasets of a trial are damaged, the trial refits all of them and gets the same result."""
    both = (need(4), need(6))
    before = read_all(both, tmp_path)
    for one in both:
        for path in (tmp_path / dataset_path(one.digest)).rglob("*.arrow"):
            path.write_bytes(path.read_bytes()[:100])
    after = read_all(both, tmp_path)
    assert (after.metrics, after.rung_sha256) == (before.metrics, before.rung_sha256)
    assert [used.fitted for used in after.datasets] == [True, True]


def test_the_signals_of_every_need_are_checked_before_any_fit(tmp_path) -> None:
    """If the signals of any required dataset are unsuitable for the task, nothing is written."""
    seen: list[object] = []

    def refuse_second(signals: object) -> None:
        seen.append(signals)
        if len(seen) == 2:
            raise BadSignals("unsuitable")

    with pytest.raises(BadSignals, match="unsuitable"):
        read_all((need(4), need(6)), tmp_path, check=refuse_second)
    assert not list(tmp_path.iterdir())


def test_the_hash_of_a_result_covers_all_that_was_read(tmp_path) -> None:
    """A result's hash depends on every rung that was read and on their order.

    For a single neural dataset, it equals the hash of that dataset's rung.
    """
    one, two, both, swapped = (
        read_all(needs, tmp_path) for needs in ((need(4),), (need(6),), (need(4), need(6)), (need(6), need(4)))
    )
    assert one.rung_sha256 == one.datasets[0].sha256
    hashes = [result.rung_sha256 for result in (one, two, both, swapped)]
    assert len(set(hashes)) == 4
    assert {len(text) for text in hashes} == {64}
    assert both.provenance["rung_sha256"] == both.rung_sha256
    assert "rung_sha256" not in TrialResult({}).provenance
