"""Laws of a trial on shapes: the same code path as images, told apart by the signals and the named metric."""

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
def test_every_field_fits_shapes_and_a_classifier_reads_them(field: str, lr: float, tmp_path):
    """Three-dimensional fields learn occupancy: IoU of held-out points grows; the trial has all its numbers."""
    config = trial(field, lr=lr)
    ladders = {config.dataset.digest: (0, 20)}
    found = run_classification(config, setting=Setting(root=str(tmp_path), ladders=ladders, clock=time.monotonic))
    iou = dict(found.curves["all_iou"])
    assert iou[20] > iou[0] + 0.03
    assert {"all_iou", "test_iou", "val_accuracy", "test_accuracy", "all_nmi"} <= set(found.metrics)
    assert not {name for name in found.metrics if "psnr" in name or "ssim" in name}
    assert (tmp_path / found.artifacts["reconstruction.png"]).read_bytes().startswith(b"\x89PNG")


def test_an_odd_number_of_points_cannot_be_half_inside(tmp_path):
    """A step takes as many points inside as outside, so an odd number is refused with the rule."""
    with pytest.raises(BadConfig, match=r"batch_points = 33: .* a multiple of 2"):
        run_classification(trial("siren", batch_points=33), setting=Setting(root=str(tmp_path), clock=time.monotonic))
