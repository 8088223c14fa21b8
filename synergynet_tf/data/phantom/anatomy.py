"""A patient's own brain: affine map, smooth deformation, ventricle size, width of the sulci, tightness of skull stripping."""
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from synergynet_tf.data.phantom.atlas import AFFINE, GRID, OTHER_VENTRICLE, VENTRICLE, WHITE, Atlas
from synergynet_tf.data.phantom.fields import enlarge, lattice_shape, random_field, spline
from synergynet_tf.metrics.extent import bounding_box

_SPACING = 6                                # mm between the nodes of the deformation
_CENTRE = np.array([0.0, -18.0, 8.0])       # mm, about which brains are scaled and turned
_SMALLEST, _LARGEST = 0.95e6, 1.80e6        # mm3 aimed at; skull stripping adds or takes a few per cent


class Anatomy(NamedTuple):
    """One patient's brain. Maps are [x, y, z], the part of the grid that `box` cuts out."""

    box: tuple[slice, slice, slice]
    grey: np.ndarray            # float32, share of grey matter, 0..1
    white: np.ndarray           # float32, share of white matter, 0..1; the rest is CSF
    regions: np.ndarray         # uint8, CORTEX..BRAINSTEM of atlas.py; 0 far outside
    brain: np.ndarray           # bool, what skull stripping keeps
    place: np.ndarray | None = None     # float32 [3, x, y, z], the atlas' voxel that lies there, where it is of one

    def is_white(self) -> np.ndarray:
        """Bool [x, y, z]: voxels of cerebral white matter."""
        return (self.white > 0.5) & (self.regions == WHITE)


def _target_volume(atlas: Atlas, rng: np.random.Generator) -> float:
    """mm3: native size as after rigid registration, or the template's size as after affine registration, in equal shares."""
    if rng.random() < 0.5:
        return rng.uniform(1.62e6, _LARGEST)
    native = rng.uniform(0.95e6, 1.40e6) if atlas.averaged else atlas.volume * rng.uniform(0.95, 1.05)
    return float(np.clip(native, _SMALLEST, _LARGEST))


def _affine(rng: np.random.Generator, scale: float) -> np.ndarray:
    """float64 [3, 3] from the grid's mm to the atlas' mm: small turns, unequal axes, shear; the determinant is scale ** 3."""
    angles = np.radians(rng.normal(0, 2.5, 3))
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        turn = np.eye(3)
        a, b = [i for i in range(3) if i != axis]
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        matrix = matrix @ turn
    stretch = np.exp(rng.normal(0, 0.025, 3))
    matrix = matrix @ (np.diag(stretch) + np.triu(rng.normal(0, 0.015, (3, 3)), 1))
    return matrix * (scale / np.cbrt(np.linalg.det(matrix)))


def _node_positions(atlas: Atlas, volume: float, rng: np.random.Generator) -> np.ndarray:
    """Atlas voxel, float32 [3, A, B, C], of every lattice node of the grid, on which the brain is to have `volume` mm3."""
    shape = lattice_shape(GRID, _SPACING)
    voxels = (np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")) - 1.0) * _SPACING
    mm = np.einsum("ab,bxyz->axyz", AFFINE[:3, :3], voxels) + AFFINE[:3, 3][:, None, None, None]
    matrix = _affine(rng, np.cbrt(atlas.volume / volume))
    centre = _CENTRE[:, None, None, None]
    mm = np.einsum("ab,bxyz->axyz", matrix, mm - centre) + centre
    for sigma, amount in ((2.5, 3.5), (1.0, 1.6)):
        bend = ndimage.gaussian_filter(rng.standard_normal((3, *shape)), (0, sigma, sigma, sigma))
        mm += bend * (amount * rng.uniform(0.7, 1.2) / bend.std())
    index = np.einsum("ab,bxyz->axyz", atlas.to_index[:, :3], mm) + atlas.to_index[:, 3][:, None, None, None]
    opening = rng.uniform(-0.8, 3.5) if atlas.averaged else rng.uniform(-0.8, 1.2)      # mm at the ventricles' walls
    pull = np.stack([ndimage.map_coordinates(p, index / 4, order=1) for p in atlas.ventricle_pull])
    return (index + opening * pull).astype(np.float32)


def _box(atlas: Atlas, nodes: np.ndarray) -> tuple[slice, slice, slice]:
    """The part of the grid that holds the brain, with a border of a node or two."""
    inside = ndimage.map_coordinates(atlas.brain, nodes, order=1, output=np.float32) > 1
    x, y, z = (slice(max(int((part.start - 2) * _SPACING), 0), min(int((part.stop - 1) * _SPACING) + 1, side))
               for part, side in zip(bounding_box(inside), GRID))
    return x, y, z


def _shares(atlas: Atlas, at: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Shares of grey and white matter at atlas voxels `at` [3, x, y, z]; the rest is CSF.

    Maps averaged over people are sharpened (cubed, normalised), with more CSF in the sulci, differently from place to place.
    """
    grey, white = (ndimage.map_coordinates(m, at, order=1, output=np.float32) for m in (atlas.grey, atlas.white))
    grey /= 255
    white /= 255
    if not atlas.averaged:
        return grey, white
    csf = np.clip(1 - grey - white, 0, 1)
    widen = random_field(rng, csf.shape, 20)
    csf *= np.exp(0.25 * widen + rng.uniform(0.55, 1.0))
    for share in (grey, white, csf):
        share *= share * share
    total = grey + white + csf + 1e-6
    return grey / total, white / total


def deform(atlas: Atlas, rng: np.random.Generator, volume: float | None = None) -> Anatomy:
    """Give an atlas a patient's own shape. About 2 s for a brain of template size.

    volume: mm3 of the brain; none: drawn as `_target_volume` does.
    """
    nodes = _node_positions(atlas, _target_volume(atlas, rng) if volume is None else volume, rng)
    box = _box(atlas, nodes)
    at = np.stack([spline(n, _SPACING, box) for n in nodes])
    grey, white = _shares(atlas, at, rng)
    regions = ndimage.map_coordinates(atlas.regions, at, order=0)
    brain = ndimage.map_coordinates(atlas.brain, at, order=1, output=np.float32) / 255
    inner = (regions == VENTRICLE) | (regions == OTHER_VENTRICLE)
    keep = _stripped(np.where(inner, 1, grey + white) * np.minimum(brain, 1), rng) & (brain > 0.3) | inner
    labels, count = ndimage.label(keep)
    if count > 1:
        keep = labels == np.argmax(np.bincount(labels.ravel())[1:]) + 1
    return Anatomy(box, grey, white, regions, keep, at)


def _stripped(tissue: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Bool [x, y, z]: what a brain mask covers: tissue, the CSF close to it (wide or tight, unevenly), the cisterns between."""
    close = ndimage.gaussian_filter(tissue, rng.uniform(1.0, 2.0), truncate=2.5) + 0.05 * random_field(rng, tissue.shape, 8)
    around = enlarge(ndimage.gaussian_filter(tissue[::4, ::4, ::4], 1.7), 4, tissue.shape)
    return (close > rng.uniform(0.22, 0.45)) | (around > rng.uniform(0.42, 0.58))
