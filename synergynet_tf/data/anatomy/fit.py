"""Where the MNI152 template lies in a scan: an affine map that brings the template's brain onto the scan's."""
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from synergynet_tf.metrics.extent import bounding_box

STEP_MM = 4.0           # of the grids on which brains are compared
ITERATIONS = 30
ENOUGH_MM = 0.05        # a step that moves no corner of the brain by more ends the search
RADIUS_MM = 80.0        # of a brain: what an entry of the matrix moves its surface by


class Fit(NamedTuple):
    """How the template lies in a scan."""

    to_scan: np.ndarray     # float64 [4, 4], from MNI mm to the scan's mm
    dice: float             # of both brains, on the coarse grid


class _Coarse(NamedTuple):
    share: np.ndarray       # float32 [X, Y, Z], of the brain in each cell, smoothed
    affine: np.ndarray      # float64 [4, 4], from cells to mm


def fit_template(brain: np.ndarray, affine: np.ndarray, template: np.ndarray, template_affine: np.ndarray) -> Fit:
    """Fit the template's brain to a scan's: by place and size first, then all twelve numbers by Gauss-Newton's method.

    Args:
        brain: bool [X, Y, Z], RAS+.
        affine: [4, 4], from its voxels to the scan's mm.
        template: bool, the template's brain.
        template_affine: [4, 4], from its voxels to MNI mm.
    """
    scan, fixed = _coarse(brain, affine), _coarse(template, template_affine)
    matrix = _start(scan, fixed)
    cells = np.argwhere((fixed.share > 0.02) & (fixed.share < 0.98))
    cells = np.concatenate([cells, np.argwhere(fixed.share >= 0.98)[::4]])
    wanted = fixed.share[tuple(cells.T)]
    mm = np.column_stack([cells @ fixed.affine[:3, :3].T + fixed.affine[:3, 3], np.ones(len(cells))])
    slopes = np.stack(np.gradient(scan.share))
    inverse = np.linalg.inv(scan.affine)
    for _ in range(ITERATIONS):
        at = (inverse @ matrix @ mm.T)[:3]
        difference = wanted - ndimage.map_coordinates(scan.share, at, order=1)
        slope = inverse[:3, :3].T @ np.stack([ndimage.map_coordinates(part, at, order=1) for part in slopes])
        basis = mm / [RADIUS_MM, RADIUS_MM, RADIUS_MM, 1]
        jacobian = (slope.T[:, :, None] * basis[:, None, :]).reshape(len(mm), 12)
        normal = jacobian.T @ jacobian
        step = np.linalg.solve(normal + 1e-3 * np.trace(normal) / 12 * np.eye(12), jacobian.T @ difference).reshape(3, 4)
        matrix[:3] += step / [RADIUS_MM, RADIUS_MM, RADIUS_MM, 1]
        if np.abs(step).max() < ENOUGH_MM:
            break
    return Fit(matrix, _dice(scan, fixed, matrix))


def _coarse(mask: np.ndarray, affine: np.ndarray) -> _Coarse:
    """The share of a mask in cells of about `STEP_MM`, with a border of three cells about it, smoothed by one."""
    box = bounding_box(mask)
    start = np.array([side.start for side in box])
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    size = np.maximum(np.round(STEP_MM / spacing).astype(int), 1)
    part = mask[box].astype(np.float32)
    part = np.pad(part, [(0, -n % k) for n, k in zip(part.shape, size)])
    x, y, z = (n // k for n, k in zip(part.shape, size))
    share = part.reshape(x, size[0], y, size[1], z, size[2]).mean((1, 3, 5))
    to_mm = affine.copy()
    to_mm[:3, :3] = affine[:3, :3] * size
    to_mm[:3, 3] = affine[:3, :3] @ (start + (size - 1) / 2 - 3 * size) + affine[:3, 3]
    share = ndimage.gaussian_filter(np.pad(share, 3), STEP_MM / (spacing * size))
    return _Coarse(share, to_mm)


def _start(scan: _Coarse, fixed: _Coarse) -> np.ndarray:
    """Upright: the middles on one another, the size by the volumes."""
    (middle, volume), (origin, whole) = _moments(scan), _moments(fixed)
    matrix = np.eye(4)
    matrix[:3, :3] *= np.cbrt(volume / whole)
    matrix[:3, 3] = middle - matrix[:3, :3] @ origin
    return matrix


def _moments(brain: _Coarse) -> tuple[np.ndarray, float]:
    """The middle in mm, and the volume in mm3."""
    middle = np.array(ndimage.center_of_mass(brain.share))
    volume = float(brain.share.sum() * abs(np.linalg.det(brain.affine[:3, :3])))
    return brain.affine[:3, :3] @ middle + brain.affine[:3, 3], volume


def _dice(scan: _Coarse, fixed: _Coarse, matrix: np.ndarray) -> float:
    """Of the template's brain and the scan's, brought to the template's cells."""
    step = np.linalg.inv(scan.affine) @ matrix @ fixed.affine
    moved = ndimage.affine_transform(scan.share, step[:3, :3], step[:3, 3], fixed.share.shape, order=1) > 0.5
    inside = fixed.share > 0.5
    return float(2 * (moved & inside).sum() / max(moved.sum() + inside.sum(), 1))
