"""Lesion shapes of real patients, each at its own place: from a file of lesions on the MNI grid to a phantom's brain."""
import functools
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from synergynet_tf.data.phantom.atlas import AFFINE, GRID
from synergynet_tf.data.phantom.fields import random_field
from synergynet_tf.data.phantom.lesions import Lesion, Sites, draw_focus
from synergynet_tf.data.phantom.places import Places
from synergynet_tf.errors import InputError
from synergynet_tf.storage.readers import Stored, read_npz

TEMPLATE = 1.85e6       # mm3 of the brain that the shapes were drawn in
_REACH = 4              # voxels of the MNI grid by which a shape may grow
_LIKE = 60              # shapes of the most similar volumes, of which one is taken
_JITTER = 3.0           # mm, by which a lesion lies off its own place


class Shapes(NamedTuple):
    """N lesions on the 182x218x182, 1 mm MNI grid in LAS."""

    coords: np.ndarray      # uint8 [V, 3], voxels of all lesions
    offsets: np.ndarray     # int64 [N + 1], where each begins

    def sizes(self) -> np.ndarray:
        """Voxels of each, int64 [N]."""
        return np.diff(self.offsets)

    def lesion(self, number: int) -> np.ndarray:
        """Voxels of one, int64 [n, 3]."""
        return self.coords[self.offsets[number]:self.offsets[number + 1]].astype(np.int64)


@functools.lru_cache(maxsize=1)
def read_shapes(path: str | Path) -> Shapes:
    """Read a file of shapes: .npz with `coords` (voxels of the MNI grid, [V, 3]) and `offsets` ([N + 1]), others are passed over.

    Raises:
        InputError: a file that cannot be read or holds no such shapes.
    """
    file = read_npz(Path(path), "file of shapes", "give phantoms.shapes an .npz file with coords and offsets",
                    {"coords": Stored("iu", (None, 3)), "offsets": Stored("iu", (None,))})
    coords, offsets = file["coords"], file["offsets"]
    if not _sound(coords, offsets):
        raise InputError(f"phantoms.shapes is {path}, but its coords {coords.shape} and offsets {offsets.shape} are no lesions "
                         f"on the {'x'.join(map(str, GRID))} grid; lesion i must be coords[offsets[i]:offsets[i + 1]]")
    return Shapes(coords, offsets.astype(np.int64))


def _sound(coords: np.ndarray, offsets: np.ndarray) -> bool:
    """Whether the arrays hold lesions, each of a voxel or more of the grid."""
    return bool(len(offsets) > 1 and offsets[0] == 0 and offsets[-1] == len(coords)
                and (np.diff(offsets.astype(np.int64)) > 0).all() and coords.min() >= 0 and (coords < GRID).all())


class RealLesion(NamedTuple):
    """A lesion of real shape, in a part of the box."""

    window: tuple[slice, slice, slice]
    depth: np.ndarray       # float32, voxels from the shape's edge, above 0 inside; far below 0 where it never reaches
    volume: float           # mm3 at the first time point

    def order(self, sites: Sites, volume: float) -> tuple[tuple[slice, ...], np.ndarray]:
        """See `lesions.Lesion`: the innermost voxels first."""
        return self.window, np.where(sites.allowed[self.window] & (self.depth > -_REACH), -self.depth, np.inf)


def place_shape(voxels: np.ndarray, places: Places, volume: float, rng: np.random.Generator) -> RealLesion | None:
    """Carry a shape (voxels of the MNI grid, int [n, 3]) to a brain, to its own place or the one across, bent and stretched.

    None where that place lies outside the brain's box.
    """
    low, shape = voxels.min(0) - _REACH, np.ptp(voxels, axis=0) + 1 + 2 * _REACH
    inside = np.zeros(shape, bool)
    inside[tuple((voxels - low).T)] = True
    depth = (ndimage.distance_transform_edt(inside) - ndimage.distance_transform_edt(~inside)).astype(np.float32)
    middle = low + (shape - 1) / 2
    centre = (AFFINE[:3, :3] @ middle + AFFINE[:3, 3]) * [rng.choice((-1, 1)), 1, 1]
    mirrored = np.sign(centre[0]) != np.sign(90 - middle[0])
    centre = centre + rng.normal(0, _JITTER, 3)
    stretch = np.exp(rng.normal(0, 0.12, 3))
    window = places.window(centre - shape * stretch / 2, centre + shape * stretch / 2)
    if window is None:
        return None
    at = []
    for axis, sign in enumerate((1 if mirrored else -1, 1, 1)):     # the grid runs to the left
        offset = (places.mm[(axis, *window)] - np.float32(centre[axis])) * np.float32(sign / stretch[axis])
        offset += np.float32(rng.uniform(0, 1.5)) * random_field(rng, offset.shape, 7)
        at.append(offset + np.float32((shape[axis] - 1) / 2))
    carried = ndimage.map_coordinates(depth, at, order=1, mode="constant", cval=-99)
    return RealLesion(window, carried, volume) if (carried > 0).any() else None


class RealShapes:
    """Draws lesions for a `LesionHistory`: a share of them of real shapes, near the asked volume, and the others ovoid.

    brain: mm3 of the brain, which the shapes' volumes go with.
    """

    def __init__(self, shapes: Shapes, places: Places, brain: float, share: float):
        self._shapes, self._places, self._share = shapes, places, share
        self._volumes = shapes.sizes() * (brain / TEMPLATE)
        self._by_size = np.argsort(self._volumes, kind="stable")

    def __call__(self, sites: Sites, volume: float, rng: np.random.Generator) -> Lesion:
        """A lesion of about `volume` mm3, as `LesionHistory` draws it."""
        lesion = self.like(volume, rng) if rng.random() < self._share else None
        return lesion if lesion is not None else draw_focus(sites, volume, rng)

    def like(self, volume: float, rng: np.random.Generator) -> RealLesion | None:
        """A real lesion of about this volume, if its place lies in the brain."""
        rank = int(np.searchsorted(self._volumes[self._by_size], volume))
        first = max(min(rank - _LIKE // 2, len(self._by_size) - _LIKE), 0)
        chosen = self._by_size[first:first + _LIKE][rng.integers(min(_LIKE, len(self._by_size)))]
        return place_shape(self._shapes.lesion(int(chosen)), self._places, volume, rng)
