"""Scores that count voxels: Dice, sensitivity, positive predictive value, volume difference.

Every function takes a reference and a prediction on one grid of any shape; masks are bool, or numbers that are all 0 or 1. What
has no definition (0 / 0) is nan, not a flattering number: the summary keeps nan out of a mean and counts it.
"""
import numpy as np

from synergynet_tf.errors import InputError


def as_mask(array: np.ndarray, name: str) -> np.ndarray:
    """The array as bool, of the same shape.

    Raises:
        InputError: it holds something other than 0 and 1; `name` says which array.
    """
    array = np.asarray(array)
    if array.dtype == bool:
        return array
    mask = array == 1
    if not np.array_equal(mask, array != 0):
        other = array[(array != 0) & ~mask].flat[0]
        raise InputError(f"the {name} holds {other}, but a mask holds only 0 and 1: threshold it first")
    return mask


def check_same_shape(reference: np.ndarray, other: np.ndarray, name: str) -> None:
    """See that both arrays have one shape; `name` says what the second one is.

    Raises:
        InputError: they have two.
    """
    if np.shape(reference) != np.shape(other):
        raise InputError(f"the reference has shape {np.shape(reference)} and the {name} {np.shape(other)}: "
                         "bring both to one grid")


def dice(reference: np.ndarray, prediction: np.ndarray) -> float:
    """Dice similarity coefficient, 2 |O and T| / (|O| + |T|) (paper, 3), 0 to 1.

    Both empty: 1, for the two agree on every voxel. One empty: 0.

    Raises:
        InputError: shapes differ, or one is no mask.
    """
    overlap, in_reference, in_prediction, _ = _counts(reference, prediction)
    both = in_reference + in_prediction
    return 2 * overlap / both if both else 1.0


def sensitivity(reference: np.ndarray, prediction: np.ndarray) -> float:
    """Share of the reference's voxels that are predicted, TP / (TP + FN) (paper, 3), 0 to 1. Empty reference: nan.

    Raises:
        InputError: shapes differ, or one is no mask.
    """
    overlap, in_reference, _, _ = _counts(reference, prediction)
    return overlap / in_reference if in_reference else float("nan")


def positive_predictive_value(reference: np.ndarray, prediction: np.ndarray) -> float:
    """Share of the predicted voxels that lie in the reference, TP / (TP + FP), 0 to 1. Empty prediction: nan.

    Raises:
        InputError: shapes differ, or one is no mask.
    """
    return sensitivity(prediction, reference)


def absolute_volume_difference(reference: np.ndarray, prediction: np.ndarray) -> float:
    """How far the predicted volume is from the reference's, as a share of that: |P - R| / R, 0 or more.

    Both empty: 0. Empty reference alone: nan.

    Raises:
        InputError: shapes differ, or one is no mask.
    """
    _, in_reference, in_prediction, _ = _counts(reference, prediction)
    if not in_reference:
        return float("nan") if in_prediction else 0.0
    return abs(in_prediction - in_reference) / in_reference


def mask_average_precision(reference: np.ndarray, prediction: np.ndarray) -> float:
    """Average precision of a binary mask taken as its own score: one operating point and "everything", 0 to 1.

    With precision p, sensitivity s and the share b of the reference in the grid it is s p + (1 - s) b, with b small nearly s p;
    an empty prediction gets b. It is no substitute for the average precision of a probability map, and not comparable with one.
    Empty reference: nan.

    Raises:
        InputError: shapes differ, or one is no mask.
    """
    overlap, in_reference, in_prediction, voxels = _counts(reference, prediction)
    if not in_reference:
        return float("nan")
    recall = overlap / in_reference
    precision = overlap / in_prediction if in_prediction else 0.0
    return recall * precision + (1 - recall) * in_reference / voxels


def _counts(reference: np.ndarray, prediction: np.ndarray) -> tuple[int, int, int, int]:
    """Voxels in both masks, in the reference, in the prediction, and in the grid."""
    check_same_shape(reference, prediction, "prediction")
    reference, prediction = as_mask(reference, "reference"), as_mask(prediction, "prediction")
    overlap = int(np.count_nonzero(reference & prediction))
    return overlap, int(np.count_nonzero(reference)), int(np.count_nonzero(prediction)), reference.size
