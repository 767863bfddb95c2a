"""Tests of trials on shapes, which run the same code as trials on images."""

import time

import pytest

from nefstudy.config import (
    ClassifierConfig,
    FieldConfig,
    NeuralDatasetConfig,
    OptimizerConfig,
    SignalsConfig,
)
from nefstudy.errors import BadConfig
from nefstudy.fields.catalog import complete
from nefstudy.tasks.classification import ClassificationConfig, run_classification
from nefstudy.tasks.setting import Setting

SHAPES = SignalsConfig(name="shapes10", options={"per_class": 4})


def trial(field: str, *, batch_points: int | None = 512, lr: float = 1e-3) -> ClassificationConfig:
    dataset = NeuralDatasetConfig(
        signals=SHAPES,
        field=complete(FieldConfig(name=field, params={"hidden": 8})),
        init="shared",
        optimizer=OptimizerConfig(lr=lr),
        batch_points=batch_points,
    )
    return ClassificationConfig(dataset=dataset, steps=20, classifier=ClassifierConfig(epochs=2))


@pytest.mark.slow
@pytest.mark.parametrize(("field", "lr"), [("siren", 3e-3), ("rffnet", 3e-3), ("mfn", 5e-3)])
def test_every_field_and_a_classifier_learn_shapes(field: str, lr: float, tmp_path):
    """Three-dimensional fields learn occupancy: the IoU on held-out points grows, and the trial reports all metrics."""
    config = trial(field, lr=lr)
    ladders = {config.dataset.digest: (0, 20)}
    result = run_classification(config, setting=Setting(root=str(tmp_path), ladders=ladders, clock=time.monotonic))
    iou = dict(result.curves["all_iou"])
    assert iou[20] > iou[0] + 0.03
    assert {"all_iou", "test_iou", "val_accuracy", "test_accuracy", "all_nmi"} <= set(result.metrics)
    assert not {name for name in result.metrics if "psnr" in name or "ssim" in name}
    assert (tmp_path / result.artifacts["reconstruction.png"]).read_bytes().startswith(b"\x89PNG")


def test_an_odd_number_of_points_is_refused(tmp_path):
    """An odd number of points per step is rejected, because half of the points must be inside the shape."""
    with pytest.raises(BadConfig, match=r"batch_points = 33 .*multiple of 2"):
        run_classification(trial("siren", batch_points=33), setting=Setting(root=str(tmp_path), clock=time.monotonic))
