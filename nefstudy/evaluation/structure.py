"""What structure the weights of a neural dataset have before any classifier sees them."""

import warnings

import numpy as np
from jaxtyping import Float, Int

from nefstudy.errors import FitDiverged
from nefstudy.seeds import integer

RESTARTS = 3


def nmi(weights: Float[np.ndarray, "N P"], labels: Int[np.ndarray, " N"], classes: int, *, seed: int) -> float:
    """Normalised mutual information of labels and a k-means clustering of flat weights, k = classes.

    0 where the clusters say nothing about the labels, 1 where they are the labels (mean of the two entropies
    below the line). Weights are divided by one scalar, their overall deviation, which changes no cluster; anything
    finer would change what the distances mean.

    Raises:
        FitDiverged: weights that are not finite; leave diverged fields out.
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.metrics import normalized_mutual_info_score
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # has no stubs

    if not np.isfinite(weights).all():
        bad = int((~np.isfinite(weights).all(axis=1)).sum())
        raise FitDiverged(f"{bad} of {len(weights)} weight rows are not finite; leave diverged fields out")
    scale = float(weights.std(dtype=np.float64))
    if scale == 0 or len(weights) <= classes:
        return 0.0
    means = KMeans(classes, n_init=RESTARTS, random_state=integer(seed, "nmi") % 2**32)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct fields than classes: still an answer
        clusters = means.fit_predict((weights / np.float32(scale)).astype(np.float32))
    return float(normalized_mutual_info_score(labels, clusters))
