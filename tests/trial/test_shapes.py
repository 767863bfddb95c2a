"""Laws of a trial on shapes: the same code path as images, told apart by the signals and the named metric."""

import time

import pytest

from nefstudy.config import (
    ClassifierConfig,
    FieldConfig,
    NeuralDatasetConfig,
    OptimizerConfig,
    SignalsConfig,
    TrialConfig,
)
from nefstudy.errors import BadConfig
from nefstudy.fields.catalog import complete
from nefstudy.trial.experiment import Setting, run_trial

SHAPES = SignalsConfig(name="shapes10", options={"per_class": 4})


def trial(field: str, *, batch_points: int | None = 512, lr: float = 1e-3) -> TrialConfig:
    dataset = NeuralDatasetConfig(
        signals=SHAPES,
        field=complete(FieldConfig(name=field, params={"hidden": 8})),
        init="shared",
        optimizer=OptimizerConfig(lr=lr),
        batch_points=batch_points,
    )
    return TrialConfig(dataset=dataset, steps=20, classifier=ClassifierConfig(epochs=2))


@pytest.mark.slow
@pytest.mark.parametrize(("field", "lr"), [("siren", 3e-3), ("rffnet", 3e-3), ("mfn", 5e-3)])
def test_every_field_fits_shapes_and_a_classifier_reads_them(field: str, lr: float, tmp_path):
    """Three-dimensional fields learn occupancy: IoU of held-out points grows; the trial has all its numbers."""
    setting = Setting(root=str(tmp_path), rungs=(0, 20), clock=time.monotonic)
    found = run_trial(trial(field, lr=lr), setting=setting)
    iou = dict(found.curves["all_iou"])
    assert iou[20] > iou[0] + 0.03
    assert {"all_iou", "test_iou", "val_accuracy", "test_accuracy", "all_nmi"} <= set(found.metrics)
    assert not {name for name in found.metrics if "psnr" in name or "ssim" in name}
    assert (tmp_path / found.artifacts["reconstruction.png"]).read_bytes().startswith(b"\x89PNG")


def test_an_odd_number_of_points_cannot_be_half_inside(tmp_path):
    """A step takes as many points inside as outside, so an odd number is refused with the rule."""
    with pytest.raises(BadConfig, match=r"batch_points = 33: .* a multiple of 2"):
        run_trial(
            trial("siren", batch_points=33), setting=Setting(root=str(tmp_path), rungs=(20,), clock=time.monotonic)
        )
