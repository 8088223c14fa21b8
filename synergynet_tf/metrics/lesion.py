"""Scores that count lesions: connected components of a mask, found or missed whole.

The connectivity decides what one lesion is, and with it every number here: on the public scans 6, 18 and 26 give 4518, 3279 and
3099 lesions. It is 18 (voxels that share a face or an edge) unless said otherwise, and every report states it.
"""
from typing import NamedTuple

import cc3d
import numpy as np

from synergynet_tf.errors import InputError
from synergynet_tf.metrics.voxel import as_mask, check_same_shape

CONNECTIVITIES = (6, 18, 26)


class LesionCounts(NamedTuple):
    """Lesions of a reference and of a prediction, and how many of each touch the other by at least one voxel."""

    reference: int          # TPL + FNL
    detected: int           # of the reference, touched by the prediction: TPL of LTPR
    predicted: int          # TPL + FPL
    false: int              # of the prediction, touching no reference lesion: FPL

    @property
    def ltpr(self) -> float:
        """Lesion true positive rate, the share of reference lesions that are touched (paper, 3). No reference lesion: nan."""
        return self.detected / self.reference if self.reference else float("nan")

    @property
    def lfpr(self) -> float:
        """Lesion false positive rate, the share of predicted lesions that touch none (paper, 3). No predicted lesion: nan.

        Carass et al., NeuroImage 148 (2017), 77-102: the ISBI 2015 challenge counts false positives among predicted lesions.
        """
        return self.false / self.predicted if self.predicted else float("nan")


def label_lesions(mask: np.ndarray, connectivity: int = 18) -> tuple[np.ndarray, int]:
    """Number the lesions of a mask.

    Args:
        mask: [X, Y, Z], bool or all 0 and 1.
        connectivity: 6 (faces), 18 (and edges) or 26 (and corners).

    Returns:
        Labels, unsigned integers [X, Y, Z], 0 for background and 1..n for the lesions; and n.

    Raises:
        InputError: no mask of three axes, or another connectivity.
    """
    if connectivity not in CONNECTIVITIES:
        raise InputError(f"connectivity is {connectivity!r}, but it must be 6, 18 or 26")
    mask = as_mask(mask, "mask")
    if mask.ndim != 3:
        raise InputError(f"the mask has shape {mask.shape}, but three axes are needed to label lesions")
    if not mask.any():
        return np.zeros(mask.shape, np.uint16), 0
    return cc3d.connected_components(mask, connectivity=connectivity, return_N=True, binary_image=True)


def count_lesions(reference: np.ndarray, prediction: np.ndarray, connectivity: int = 18) -> LesionCounts:
    """Label both masks [X, Y, Z] and count which lesions touch the other mask by one voxel or more.

    Raises:
        InputError: shapes differ, one is no mask of three axes, or another connectivity.
    """
    check_same_shape(reference, prediction, "prediction")
    reference, prediction = as_mask(reference, "reference"), as_mask(prediction, "prediction")
    box = _bounding_box(reference | prediction)
    reference, prediction = reference[box], prediction[box]
    reference_labels, n_reference = label_lesions(reference, connectivity)
    predicted_labels, n_predicted = label_lesions(prediction, connectivity)
    both = reference & prediction
    detected = len(np.unique(reference_labels[both]))
    correct = len(np.unique(predicted_labels[both]))
    return LesionCounts(n_reference, detected, n_predicted, n_predicted - correct)


def _bounding_box(mask: np.ndarray) -> tuple[slice, ...]:
    """The slices that hold all of a mask; all of the grid for an empty one. Lesions fill a small part of a scan."""
    if not mask.any():
        return (slice(None),) * mask.ndim
    box = []
    for axis in range(mask.ndim):
        inside = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        box.append(slice(int(inside[0]), int(inside[-1]) + 1))
    return tuple(box)
