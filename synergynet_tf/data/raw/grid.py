"""Grids, and arrays taken from one to another through a matrix of mm to mm."""
import functools
import gzip
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
from scipy import ndimage

from synergynet_tf.data import nifti
from synergynet_tf.data.nifti import Volume
from synergynet_tf.data.phantom import atlas
from synergynet_tf.runtime.processes import cores
from synergynet_tf.storage.files import replace_file


class Grid(NamedTuple):
    """Where the voxels of an array [X, Y, Z] lie."""

    shape: tuple[int, ...]      # X, Y, Z
    affine: np.ndarray          # float64 [4, 4], voxel indices to mm, RAS+


MNI = Grid(atlas.GRID, atlas.AFFINE)


def grid_of(volume: Volume) -> Grid:
    """The canonical grid of a scan that was read."""
    return Grid(volume.array.shape, volume.affine)


def resample(array: np.ndarray, source: Grid, target: Grid, to_source: np.ndarray, order: int = 1,
             within: np.ndarray | None = None) -> np.ndarray:
    """Read an array [X, Y, Z] on `source` at the voxels of `target`; float32, 0 outside.

    A target voxel that spans several source voxels is the mean of as many points along that axis, so that thick slices see
    all that they cover. Values of a spline overshoot at edges: they are cut to the range of the array.

    Args:
        array: [X, Y, Z] on `source`.
        source: the grid that is read.
        target: the grid that is filled.
        to_source: float64 [4, 4], from mm of the target's world to mm of the source's.
        order: of the spline; 1 is linear.
        within: bool on `target`: which voxels are asked for, the others stay 0; none: all.
    """
    step = np.linalg.inv(source.affine) @ to_source @ target.affine
    matrix, counts = step[:3, :3], np.maximum(1, np.round(np.linalg.norm(step[:3, :3], axis=0) - 1e-6)).astype(int)
    coefficients = array.astype(np.float32)
    if order > 1:
        coefficients = ndimage.spline_filter(coefficients, order, np.float32, mode="constant")
    total = np.zeros(target.shape, np.float32)
    box = _reached(array, step, target.shape) if order == 1 else (slice(None),) * 3     # a spline reaches further
    corner, part = np.array([side.start or 0 for side in box]), total[box]
    places = matrix @ np.argwhere(within).T if within is not None else None
    read = functools.partial(ndimage.map_coordinates, coefficients, output=np.float32, order=order, prefilter=False)
    for place in np.ndindex(*counts):
        offset = matrix @ ((np.array(place) + 0.5) / counts - 0.5) + step[:3, 3]
        if places is not None:
            with ThreadPoolExecutor(cores()) as threads:
                total[within] += np.concatenate([*threads.map(read, np.array_split(places + offset[:, None], cores(), axis=1))])
        elif part.size:
            part += ndimage.affine_transform(coefficients, matrix, offset + matrix @ corner, part.shape, np.float32, order,
                                             prefilter=False)
    return np.clip(total / counts.prod(), min(array.min(), 0), array.max())


def _reached(array: np.ndarray, step: np.ndarray, shape: tuple[int, ...]) -> tuple[slice, ...]:
    """The box of voxels, of a target of this shape, that what is not 0 in an array can reach; `step` leads to the array's."""
    ends = [np.flatnonzero(array.any(axis=tuple({0, 1, 2} - {axis})))[[0, -1]] + [-1, 1] if array.any() else (0, -1)
            for axis in range(3)]
    corners = np.linalg.inv(step) @ np.stack([*np.meshgrid(*ends), np.ones((2, 2, 2))]).reshape(4, -1)
    low, high = np.floor(corners[:3].min(axis=1) - 0.5), np.ceil(corners[:3].max(axis=1) + 0.5)
    return tuple(slice(int(np.clip(a, 0, n)), int(np.clip(b + 1, 0, n))) for a, b, n in zip(low, high, shape))


def shrunk(array: np.ndarray, grid: Grid, side_mm: float) -> tuple[np.ndarray, Grid]:
    """Means of blocks of voxels, of sides of up to `side_mm`, float32, and their grid; what fills no block is left out."""
    sides = np.linalg.norm(grid.affine[:3, :3], axis=0)
    blocks = np.clip((side_mm / sides + 1e-3).astype(int), 1, array.shape)
    counts = array.shape // blocks
    whole = array[tuple(slice(n) for n in counts * blocks)]
    means = whole.reshape(np.stack([counts, blocks], axis=1).ravel()).mean(axis=(1, 3, 5), dtype=np.float32)
    to_voxels = np.diag([*blocks, 1.0])
    to_voxels[:3, 3] = (blocks - 1) / 2
    return means, Grid(means.shape, grid.affine @ to_voxels)


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
