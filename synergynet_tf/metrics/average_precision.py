"""Average precision of probability maps; apart from the other scores of voxels, for scikit-learn takes seconds to import."""
import numpy as np
from sklearn.metrics import average_precision_score

from synergynet_tf.errors import InputError
from synergynet_tf.metrics.voxel import as_mask, check_same_shape


def average_precision(reference: np.ndarray, scores: np.ndarray) -> float:
    """Average precision of scores, the sum over thresholds of (R_n - R_{n-1}) P_n (paper, 3), 0 to 1. Empty reference: nan.

    Equal to `sklearn.metrics.average_precision_score` over all voxels to rounding (1e-12): recall moves only at a score that some
    reference voxel has, so voxels are first counted between those scores, and scikit-learn is given the few thousand counts as
    weights in place of several million voxels. Only the background above the reference's lowest score is sorted.

    Args:
        reference: mask.
        scores: finite numbers of the same shape, higher for lesion; only their order matters. A binary mask is scored as
            `mask_average_precision` says.

    Raises:
        InputError: shapes differ, the reference is no mask, or a score is not finite.
    """
    scores = np.asarray(scores)
    check_same_shape(reference, scores, "probability map")
    reference = as_mask(reference, "reference")
    if not np.isfinite([scores.min(initial=0), scores.max(initial=0)]).all():       # nan too is both
        raise InputError(f"the probability map holds {scores[~np.isfinite(scores)].flat[0]}, but finite numbers are needed")
    if not reference.any():
        return float("nan")
    thresholds, positives = np.unique(scores[reference], return_counts=True)
    negatives = _background_between(scores, ~reference, thresholds)
    labels = np.repeat([1, 0], len(thresholds))
    return float(average_precision_score(labels, np.tile(thresholds, 2),
                                         sample_weight=np.concatenate([positives, negatives]).astype(np.float64)))


def _background_between(scores: np.ndarray, background: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """How many of the background's scores lie from each threshold up to the next: int [T] for ascending thresholds [T].

    What lies below the lowest threshold is left out: recall is complete by then.
    """
    above = np.sort(scores[background & (scores > thresholds[0])])
    at_or_above = len(above) - np.searchsorted(above, thresholds)
    at_or_above[0] += np.count_nonzero(background & (scores == thresholds[0]))
    return -np.diff(at_or_above, append=0)
