"""Tests of the mutual information between labels and clusters of weights."""

import numpy as np
import pytest

from nefstudy.errors import FitDiverged
from nefstudy.evaluation.structure import agreement

LABELS = np.arange(120) % 4


def nmi(*given, **options) -> float:
    return agreement(*given, **options).nmi


def clustered(spread: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.normal(size=(4, 12))[LABELS] + spread * rng.normal(size=(120, 12))).astype(np.float32)


def test_separate_classes_share_all_information_and_noise_none():
    """Tight clusters score 1. Weights that are independent of the labels score almost 0."""
    assert nmi(clustered(0.01), LABELS, 4, seed=0) == pytest.approx(1)
    assert nmi(np.random.default_rng(1).normal(size=(120, 12)).astype(np.float32), LABELS, 4, seed=0) < 0.15


def test_scale_shift_and_class_indices_do_not_matter():
    """The mutual information is invariant to scaling or shifting all weights and to permuting classes or columns."""
    weights = clustered(0.7)
    score = nmi(weights, LABELS, 4, seed=0)
    assert 0.1 < score < 0.99
    assert nmi(weights * np.float32(1e-3), LABELS, 4, seed=0) == pytest.approx(score)
    assert nmi(weights + np.float32(0.5), LABELS, 4, seed=0) == pytest.approx(score)
    assert nmi(weights[:, ::-1], LABELS, 4, seed=0) == pytest.approx(score)
    assert nmi(weights, np.array([2, 0, 3, 1])[LABELS], 4, seed=0) == pytest.approx(score)


def test_a_factor_on_single_weights_matters():
    """Columns are not standardized separately: scaling up one noisy column hides the classes."""
    weights = np.hstack([clustered(0.01), np.random.default_rng(2).normal(size=(120, 1))]).astype(np.float32)
    loud = weights * np.where(np.arange(13) == 12, 1e3, 1).astype(np.float32)
    assert nmi(loud, LABELS, 4, seed=0) < 0.5 < nmi(weights, LABELS, 4, seed=0)


def test_the_score_is_reproducible():
    """Scores with the same seed are bit-identical."""
    weights = clustered(0.7)
    assert nmi(weights, LABELS, 4, seed=5) == nmi(weights, LABELS, 4, seed=5)


def test_equal_fields_share_no_information():
    """If all fields are equal, as with a shared init at step 0, the mutual information is 0 without a warning."""
    assert nmi(np.ones((120, 12), dtype=np.float32), LABELS, 4, seed=0) == 0
    two = np.where(LABELS[:, None] < 2, 1, 0) * np.ones((120, 12), dtype=np.float32)
    assert 0 < nmi(two, LABELS, 4, seed=0) < 1


def test_diverged_weights_are_refused():
    """Weights that contain NaN are rejected; the caller must remove them."""
    weights = clustered(0.7)
    weights[3, 2] = np.nan
    with pytest.raises(FitDiverged, match="1 of 120"):
        nmi(weights, LABELS, 4, seed=0)


def test_only_the_adjusted_score_has_no_floor():
    """For noise, the mean NMI is positive and decreases with the number of rows; the mean AMI is 0 for any number."""
    rng, floors, adjusted = np.random.default_rng(4), [], []
    for rows in (60, 600):
        labels = np.arange(rows) % 10
        scores = [agreement(rng.normal(size=(rows, 12)).astype(np.float32), labels, 10, seed=s) for s in range(5)]
        floors.append(np.mean([score.nmi for score in scores]))
        adjusted.append(np.mean([score.ami for score in scores]))
        assert {score.n for score in scores} == {rows}
    assert floors[0] > 0.2
    assert floors[1] < 0.05
    assert np.abs(adjusted).max() < 0.05


def test_both_scores_agree_on_perfect_clusters_and_on_equal_rows():
    """AMI is 1 for clusters that match the labels, below NMI for weaker ones, and 0 for equal rows."""
    assert agreement(clustered(0.01), LABELS, 4, seed=0).ami == pytest.approx(1)
    weak = agreement(clustered(0.7), LABELS, 4, seed=0)
    assert 0.1 < weak.ami < weak.nmi
    assert agreement(np.ones((120, 12), dtype=np.float32), LABELS, 4, seed=0).ami == 0
