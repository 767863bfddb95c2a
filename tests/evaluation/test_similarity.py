"""Tests of structural similarity (SSIM)."""

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from nefstudy.evaluation.similarity import ssim


def pair(*shape: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    target = rng.random(shape, dtype=np.float32)
    return np.clip(target + rng.normal(0, 0.2, shape), 0, 1).astype(np.float32), target


def reference(prediction: np.ndarray, target: np.ndarray) -> list[float]:
    extent = min(11, *target.shape[1:3])
    return [
        structural_similarity(
            t.astype(np.float64),
            p.astype(np.float64),
            win_size=extent - (extent % 2 == 0),
            gaussian_weights=True,
            use_sample_covariance=False,
            data_range=1,
            channel_axis=-1,
        )
        for p, t in zip(prediction, target, strict=True)
    ]


@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3), (11, 11, 1), (13, 40, 2), (8, 8, 1), (10, 3, 1)])
def test_ssim_is_scikit_images(shape: tuple[int, ...]):
    """The SSIM of each image in a batch equals scikit-image's Gaussian-window SSIM, for images of any size."""
    prediction, target = pair(6, *shape)
    np.testing.assert_allclose(ssim(prediction, target), reference(prediction, target), atol=1e-12)


def test_a_score_does_not_depend_on_the_batch():
    """An image's score is bit-identical whether it is scored alone or in a batch, even across block boundaries."""
    prediction, target = pair(700, 28, 28, 1)
    whole = ssim(prediction, target)
    np.testing.assert_array_equal(whole[250:260], ssim(prediction[250:260], target[250:260]))
    np.testing.assert_array_equal(whole[-1:], ssim(prediction[-1:], target[-1:]))


def test_only_an_equal_image_scores_one():
    """An image scores 1 against itself and below 0 against its negative, and SSIM is symmetric."""
    prediction, target = pair(3, 20, 20, 3)
    np.testing.assert_allclose(ssim(target, target), 1)
    assert (ssim(1 - target, target) < 0).all()
    np.testing.assert_allclose(ssim(prediction, target), ssim(target, prediction))


def test_predictions_are_clipped():
    """Predicted values outside [0, 1] are scored as the nearest bound."""
    prediction, target = pair(3, 20, 20, 1)
    beyond = prediction * 3 - 1
    np.testing.assert_array_equal(ssim(beyond, target), ssim(np.clip(beyond, 0, 1), target))


def test_a_diverged_field_scores_nan_alone():
    """Only an image that contains NaN scores NaN."""
    prediction, target = pair(3, 20, 20, 1)
    prediction[1] = np.nan
    assert np.isnan(ssim(prediction, target)).tolist() == [False, True, False]


def test_an_empty_batch_has_no_scores():
    """The scores of an empty batch are an empty array."""
    empty = np.empty((0, 8, 8, 1), dtype=np.float32)
    assert ssim(empty, empty).shape == (0,)
