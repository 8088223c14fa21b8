"""A confluent lesion divided into the lesions that have grown together, for counting: watershed on the depth in the lesion.

A lesion's centre is where it is thick; two that have merged meet at a neck. Its basins are those of the maxima of the distance to
its border that rise by `RISE_MM` above the saddle to a higher one (h-maxima; Soille, Morphological Image Analysis, 2003).
"""
import cc3d
import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

RISE_MM = 1.0
LEVEL_MM = 0.25         # by which the flood rises


def basins(voxels: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    """Divide a lesion.

    Args:
        voxels: int [n, 3], its voxels.
        spacing: voxel sides, mm.

    Returns:
        int64 [n], the part that each voxel belongs to: 0, 1, ..., the thickest part first.
    """
    places = tuple((voxels - voxels.min(axis=0) + 1).T)
    inside = np.zeros(np.ptp(voxels, axis=0) + 3, bool)
    inside[places] = True
    depth = ndimage.distance_transform_edt(inside, sampling=spacing)
    own, mm = depth[places], voxels * np.asarray(spacing, float)
    basin = np.full(len(voxels), -1, np.int64)
    for level in np.arange(max(own.max() - RISE_MM, 0), -LEVEL_MM, -LEVEL_MM):
        parts = cc3d.connected_components(depth > max(level, 0), connectivity=26, binary_image=True)[places].astype(np.int64)
        begun = np.bincount(parts[basin >= 0], minlength=parts.max() + 1) > 0
        high = ndimage.maximum(own, parts, np.arange(parts.max() + 1)) >= level + RISE_MM
        begins = (high | (level <= 0)) & ~begun
        for part in np.flatnonzero(begins[1:]) + 1:     # 0 is what the flood has not reached
            basin[parts == part] = basin.max() + 1
        reached = (basin < 0) & begun[parts] & (parts > 0)
        _flood(basin, reached, mm)
    return basin


def _flood(basin: np.ndarray, reached: np.ndarray, mm: np.ndarray) -> None:
    """Give voxels that the flood has reached to the basin of the nearest voxel that has one."""
    if reached.any():
        known = np.flatnonzero(basin >= 0)
        _, nearest = cKDTree(mm[known]).query(mm[reached])
        basin[reached] = basin[known[nearest]]
