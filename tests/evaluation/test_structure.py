"""Laws of the mutual information between labels and clusters of weights."""

import numpy as np
import pytest

from nefstudy.errors import FitDiverged
from nefstudy.evaluation.structure import nmi

LABELS = np.arange(120) % 4


def clustered(spread: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.normal(size=(4, 12))[LABELS] + spread * rng.normal(size=(120, 12))).astype(np.float32)


def test_separate_classes_share_all_information_and_noise_none():
    """Tight classes score 1, weights that ignore the labels almost 0."""
    assert nmi(clustered(0.01), LABELS, 4, seed=0) == pytest.approx(1)
    assert nmi(np.random.default_rng(1).normal(size=(120, 12)).astype(np.float32), LABELS, 4, seed=0) < 0.15


def test_scale_shift_and_names_of_classes_do_not_matter():
    """One factor and offset on all weights, permuted class indices or columns leave the score."""
    weights = clustered(0.7)
    score = nmi(weights, LABELS, 4, seed=0)
    assert 0.1 < score < 0.99
    assert nmi(weights * np.float32(1e-3), LABELS, 4, seed=0) == pytest.approx(score)
    assert nmi(weights + np.float32(0.5), LABELS, 4, seed=0) == pytest.approx(score)
    assert nmi(weights[:, ::-1], LABELS, 4, seed=0) == pytest.approx(score)
    assert nmi(weights, np.array([2, 0, 3, 1])[LABELS], 4, seed=0) == pytest.approx(score)


def test_a_factor_on_single_weights_does_matter():
    """Weights are not standardised one by one: blowing up a noisy column hides the classes."""
    weights = np.hstack([clustered(0.01), np.random.default_rng(2).normal(size=(120, 1))]).astype(np.float32)
    loud = weights * np.where(np.arange(13) == 12, 1e3, 1).astype(np.float32)
    assert nmi(loud, LABELS, 4, seed=0) < 0.5 < nmi(weights, LABELS, 4, seed=0)


def test_the_score_repeats_for_its_seed():
    """The same seed gives the same bits."""
    weights = clustered(0.7)
    assert nmi(weights, LABELS, 4, seed=5) == nmi(weights, LABELS, 4, seed=5)


def test_equal_fields_share_no_information():
    """A shared start at step 0 makes all fields equal: the score is 0, without a warning."""
    assert nmi(np.ones((120, 12), dtype=np.float32), LABELS, 4, seed=0) == 0
    two = np.where(LABELS[:, None] < 2, 1, 0) * np.ones((120, 12), dtype=np.float32)
    assert 0 < nmi(two, LABELS, 4, seed=0) < 1


def test_weights_that_diverged_are_refused():
    """NaN among the weights is the caller's to remove."""
    weights = clustered(0.7)
    weights[3, 2] = np.nan
    with pytest.raises(FitDiverged, match="1 of 120 weight rows are not finite"):
        nmi(weights, LABELS, 4, seed=0)
