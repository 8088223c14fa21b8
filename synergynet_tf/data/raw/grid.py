"""Grids, and arrays taken from one to another through a matrix of mm to mm."""
import gzip
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
from scipy import ndimage

from synergynet_tf.data import nifti
from synergynet_tf.data.nifti import Volume
from synergynet_tf.data.phantom import atlas
from synergynet_tf.storage.files import replace_file


class Grid(NamedTuple):
    """Where the voxels of an array [X, Y, Z] lie."""

    shape: tuple[int, ...]      # X, Y, Z
    affine: np.ndarray          # float64 [4, 4], voxel indices to mm, RAS+


MNI = Grid(atlas.GRID, atlas.AFFINE)


def grid_of(volume: Volume) -> Grid:
    """The canonical grid of a scan that was read."""
    return Grid(volume.array.shape, volume.affine)


def resample(array: np.ndarray, source: Grid, target: Grid, to_source: np.ndarray, order: int = 1) -> np.ndarray:
    """Read an array [X, Y, Z] on `source` at the voxels of `target`; float32, 0 outside.

    A target voxel that spans several source voxels is the mean of as many points along that axis, so that thick slices see
    all that they cover. Values of a spline overshoot at edges: they are cut to the range of the array.

    Args:
        array: [X, Y, Z] on `source`.
        source: the grid that is read.
        target: the grid that is filled.
        to_source: float64 [4, 4], from mm of the target's world to mm of the source's.
        order: of the spline; 1 is linear.
    """
    step = np.linalg.inv(source.affine) @ to_source @ target.affine
    counts = np.maximum(1, np.round(np.linalg.norm(step[:3, :3], axis=0) - 1e-6)).astype(int)
    coefficients = array.astype(np.float32)
    if order > 1:
        coefficients = ndimage.spline_filter(coefficients, order, np.float32, mode="constant")
    total = np.zeros(target.shape, np.float32)
    for place in np.ndindex(*counts):
        offset = step[:3, :3] @ ((np.array(place) + 0.5) / counts - 0.5) + step[:3, 3]
        total += ndimage.affine_transform(coefficients, step[:3, :3], offset, target.shape, np.float32, order, prefilter=False)
    return np.clip(total / counts.prod(), min(array.min(), 0), array.max())


def write(path: Path, array: np.ndarray, grid: Grid, dtype: type) -> None:
    """Write an array on a grid as a NIfTI file, as `files.replace_file` does.

    Raises:
        InputError: it cannot be written.
    """
    image = nib.Nifti1Image(array.astype(dtype), grid.affine)
    code = 4 if grid is MNI else 1
    image.set_sform(grid.affine, code)
    image.set_qform(grid.affine, code)
    image.header.set_xyzt_units("mm")
    replace_file(path, gzip.compress(image.to_bytes(), nifti.COMPRESSION, mtime=0))
