"""Class structure in the weights of a neural dataset, measured without a classifier."""

import warnings
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from nefstudy.errors import FitDiverged
from nefstudy.seeds import integer

RESTARTS = 3


@dataclass(frozen=True)
class Agreement:
    """The mutual information of labels and clusters of weights.

    Attributes:
        nmi: normalized: divided by the mean of the two entropies. 1 if clusters match the labels. Clusters without
            information about the labels score above 0, more so for fewer rows.
        ami: adjusted for chance (Vinh et al. 2010): the same, but clusters without information score 0 on average, for
            any number of rows. It can be slightly negative.
        n: number of clustered rows.
    """

    nmi: float
    ami: float
    n: int


def agreement(
    weights: Float[np.ndarray, "N P"], labels: Int[np.ndarray, " N"], classes: int, *, seed: int
) -> Agreement:
    """Return the mutual information of labels and k-means clusters of flat weights, one cluster per class.

    Weights are divided by one scalar, their overall standard deviation, which does not change the clusters; per-weight
    scaling would change the distances. Both scores are 0 if all weights are equal or there is one row per class.

    Raises:
        FitDiverged: weights that are not finite; drop diverged fields first.
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.metrics import adjusted_mutual_info_score, normalized_mutual_info_score
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # has no stubs

    if not np.isfinite(weights).all():
        bad = int((~np.isfinite(weights).all(axis=1)).sum())
        raise FitDiverged(f"{bad} of {len(weights)} weight rows are not finite; drop diverged fields")
    scale = float(weights.std(dtype=np.float64))
    if scale == 0 or len(weights) <= classes:
        return Agreement(0.0, 0.0, len(weights))
    means = KMeans(classes, n_init=RESTARTS, random_state=integer(seed, "nmi") % 2**32)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct rows than classes: the result is valid
        clusters = means.fit_predict((weights / np.float32(scale)).astype(np.float32))
    return Agreement(
        nmi=float(normalized_mutual_info_score(labels, clusters)),
        ami=float(adjusted_mutual_info_score(labels, clusters)),
        n=len(weights),
    )
