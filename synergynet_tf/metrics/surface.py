"""Distances between the surfaces of two masks, in mm.

A surface voxel is one of the mask with a face on the background or on the grid's border. Lesions' surfaces are few voxels in a
large grid, so each one's nearest neighbour is looked up in a k-d tree of the others; no distance map of the grid is made.
"""
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from synergynet_tf.metrics.extent import bounding_box
from synergynet_tf.metrics.voxel import as_mask, check_same_shape


class SurfaceDistances(NamedTuple):
    """Both masks empty: 0, for there is nothing that lies apart. One empty: nan."""

    hd95: float     # mm, 95th percentile (linear) of all distances of either surface to the other, pooled
    assd: float     # mm, average symmetric surface distance: the mean of the same distances


def surface_distances(reference: np.ndarray, prediction: np.ndarray, spacing: Sequence[float]) -> SurfaceDistances:
    """Robust Hausdorff and average distance of two masks' surfaces; the definitions are those of MedPy's `hd95` and `assd`.

    Args:
        reference: mask [X, Y, Z], bool or all 0 and 1.
        prediction: mask of the same shape.
        spacing: voxel sides, mm, three numbers.

    Raises:
        InputError: shapes differ, or one is no mask.
    """
    check_same_shape(reference, prediction, "prediction")
    reference, prediction = as_mask(reference, "reference"), as_mask(prediction, "prediction")
    if not (reference.any() and prediction.any()):
        value = float("nan") if reference.any() or prediction.any() else 0.0
        return SurfaceDistances(value, value)
    box = bounding_box(reference | prediction)
    points = [surface(mask[box]) * np.asarray(spacing, np.float64) for mask in (reference, prediction)]
    distances = np.concatenate([cKDTree(points[1 - i]).query(points[i])[0] for i in (0, 1)])
    return SurfaceDistances(float(np.percentile(distances, 95)), float(distances.mean()))


def surface(mask: np.ndarray) -> np.ndarray:
    """Indices int64 [n, 3] of the voxels of a bool mask with a face on the background or on the grid's border."""
    padded = np.pad(mask, 1)
    inner = mask.copy()
    for axis in range(3):
        for start in (0, 2):
            middle = [slice(1, -1)] * 3
            middle[axis] = slice(start, start + mask.shape[axis])
            inner &= padded[tuple(middle)]
    return np.argwhere(mask & ~inner)
