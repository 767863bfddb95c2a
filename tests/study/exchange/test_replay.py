"""Tests of replaying a trial: a replay reproduces its bytes and numbers, and reports a changed record."""

import time
from dataclasses import replace

import pytest

from nefstudy.config import ClassifierConfig, FieldConfig, NeuralDatasetConfig, SignalsConfig
from nefstudy.errors import BadConfig
from nefstudy.fields.catalog import complete
from nefstudy.study.exchange.replay import compare, replay
from nefstudy.tasks.catalog import TASKS
from nefstudy.tasks.classification import ClassificationConfig, run_classification
from nefstudy.tasks.setting import Catalogs, Setting
from nefstudy.trial.provenance import made_by, revision

from ...ledger.records import as_record

pytestmark = pytest.mark.slow


@pytest.fixture
def recorded(ledger, tmp_path):
    """Record one trial of a ladder as a driver would; return the trial's key."""
    dataset = NeuralDatasetConfig(
        signals=SignalsConfig(name="digits8", subset=120),
        field=complete(FieldConfig(name="siren", params={"hidden": 8})),
        init="random",
    )
    config = ClassificationConfig(dataset=dataset, steps=2, classifier=ClassifierConfig(name="gnn-sign", epochs=2))
    setting = Setting(
        root=str(tmp_path / "root"), ladders={dataset.digest: (2, 4)}, clock=time.monotonic, engine="eager"
    )
    result = run_classification(config, setting=setting)
    result = replace(result, made_by=made_by(revision="abc", workers=0))
    ledger.studies.put("s", {}, cells={})
    token = ledger.trials.request("s", "phase2", record=as_record(config))
    ledger.trials.complete(
        "s",
        "phase2",
        key=config.key,
        token=token,
        metrics=result.metrics,
        curves=result.curves,
        fingerprint=result.provenance,
    )
    return config.key


def test_a_trial_of_a_ladder_replays_to_the_bit(ledger, recorded, tmp_path):
    """A replay reproduces the recorded rung bytes, metrics and epochs exactly."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    found = replay(ledger, recorded, scratch=scratch)
    assert found.exact
    assert found.same, [line for line in found.lines if not line.same]
    assert found.lines[0].held == found.lines[0].found
    assert {"test_accuracy", "all_psnr", "all_nmi", "curve val_loss"} <= {line.what for line in found.lines}
    assert list(found.differences) == ["revision"], "differences without effect are reported too"
    assert not list(scratch.iterdir())


def test_a_changed_record_is_noticed(ledger, recorded):
    """A replay reports a change to the recorded metrics, hash or epochs.

    Under another version of torch, it reports only large differences of metrics.
    """
    row, curves = ledger.trials.get(recorded), ledger.trials.curves("s", "phase2", key=recorded)
    again = run_again(row)
    metrics = row.metrics | {"all_psnr": row.metrics["all_psnr"] + 1e-12}
    assert names(compare(replace(row, metrics=metrics), curves, again)) == ["all_psnr"]
    marked = replace(row, fingerprint=row.fingerprint | {"rung_sha256": "0" * 64})
    assert names(compare(marked, curves, again)) == ["neural dataset"]
    assert names(compare(row, curves | {"val_loss": curves["val_loss"][:-1]}, again)) == ["curve val_loss"]
    spent = row.metrics | {"device_peak_mb": 100.0, "classify_seconds": 1e6}
    assert names(compare(replace(row, metrics=spent), curves, again)) == [], "what a run spent is not what it found"
    elsewhere = replace(row, metrics=metrics, fingerprint=row.fingerprint | {"torch": "1.0"})
    assert names(compare(elsewhere, curves, again)) == []
    far = replace(elsewhere, metrics=metrics | {"all_psnr": row.metrics["all_psnr"] + 0.2})
    assert names(compare(far, curves, again)) == ["all_psnr"]


def test_only_a_finished_trial_can_be_replayed(ledger, recorded):
    """A replay is rejected if the ledger contains no trial with the given key."""
    with pytest.raises(BadConfig, match="0" * 20):
        replay(ledger, "0" * 20)


def test_the_revision_is_what_the_environment_says_first():
    """NEFSTUDY_REVISION takes precedence over the checked-out commit, for container images without a repository."""
    assert revision({"NEFSTUDY_REVISION": "feed"}) == "feed"
    assert revision({}) != "feed"


def names(found):
    return [line.what for line in found.lines if not line.same]


def run_again(row):
    import tempfile

    from nefstudy.study.exchange.replay import computed

    with tempfile.TemporaryDirectory() as folder:
        return computed(row, root=folder, catalogs=Catalogs(), tasks=TASKS)
