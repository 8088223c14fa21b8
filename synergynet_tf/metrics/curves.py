"""Precision-recall curves of probability maps, pooled over many scans without keeping any of them."""
import numpy as np

from synergynet_tf.errors import InputError
from synergynet_tf.metrics.voxel import as_mask, check_same_shape

LEVELS = 4096       # probabilities are counted to 1/4096, the step in which our maps are written


def score_counts(reference: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """How many voxels of the background and of the lesions have each probability: int64 [2, LEVELS + 1].

    Counts of several scans are added.

    Raises:
        InputError: other shapes, no mask, or a value outside 0 to 1.
    """
    probability = np.asarray(probability)
    check_same_shape(reference, probability, "probability map")
    reference = as_mask(reference, "reference")
    low, high = probability.min(initial=0), probability.max(initial=0)
    if not 0 <= low <= high <= 1:
        raise InputError(f"the probability map holds {low} to {high}, but probabilities are 0 to 1")
    level = np.rint(probability * LEVELS).astype(np.int64)
    whole = np.bincount(level.ravel(), minlength=LEVELS + 1)
    lesions = np.bincount(level[reference], minlength=LEVELS + 1)
    return np.stack([whole - lesions, lesions])


def precision_recall(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall [n] from counts [2, LEVELS + 1], at the n probabilities that occur, falling.

    Without lesion voxels both are empty.
    """
    false, true = np.cumsum(counts[:, ::-1], axis=1)
    some = counts[:, ::-1].any(axis=0)
    if not true[-1]:
        return np.zeros(0), np.zeros(0)
    return true[some] / (false + true)[some], true[some] / true[-1]
