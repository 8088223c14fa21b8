"""Places in MNI space on a phantom's own brain: where the choroid plexus, the optic tract and the like are looked for.

An atlas' voxels are mapped to MNI space by one affine map fitted to its deep structures, good to 2 or 3 mm there: enough to
say where something lies, and what tissue is there is then asked of the brain itself.
"""
from collections.abc import Sequence

import numpy as np

from synergynet_tf.data.phantom.anatomy import Anatomy
from synergynet_tf.data.phantom.atlas import Atlas
from synergynet_tf.metrics.extent import bounding_box

_STEP = 4       # voxels between the places that are searched
_BORDER = 6     # voxels about what was found

Window = tuple[slice, slice, slice]
Points = Sequence[tuple[float, float, float]]


class Places:
    """MNI coordinates of the voxels of an anatomy's box.

    Attributes:
        mm: float32 [3, x, y, z], where each voxel lies in MNI space.
    """

    def __init__(self, anatomy: Anatomy, atlas: Atlas):
        matrix, place = atlas.to_mni.astype(np.float32), anatomy.place
        if place is None:
            raise ValueError("an anatomy of no atlas has no MNI coordinates")
        self.mm = np.stack([sum(matrix[i, j] * place[j] for j in range(3)) + matrix[i, 3] for i in range(3)])
        self._coarse = self.mm[:, ::_STEP, ::_STEP, ::_STEP]

    def window(self, low: Sequence[float], high: Sequence[float]) -> Window | None:
        """The part of the box that holds every voxel within two corners in MNI mm; none where there is none."""
        inside = np.ones(self._coarse.shape[1:], bool)
        for axis in range(3):
            inside &= (self._coarse[axis] > low[axis] - _STEP) & (self._coarse[axis] < high[axis] + _STEP)
        if not inside.any():
            return None
        x, y, z = (slice(max(part.start * _STEP - _BORDER, 0), min((part.stop - 1) * _STEP + _BORDER + 1, n))
                   for part, n in zip(bounding_box(inside), self.mm.shape[1:]))
        return x, y, z

    def tubes(self, points: Points, radius: float, both: bool = True) -> list[tuple[Window, np.ndarray]]:
        """A bent tube through points in MNI mm, on both sides or one: its windows, and in each the nearness, float32.

        The nearness is 1 on the tube's axis and 1/e at `radius` mm from it.
        """
        tubes = []
        for sign in (1, -1) if both else (1,):
            path = np.array(points, np.float32) * np.array([sign, 1, 1], np.float32)
            window = self.window(path.min(0) - 2 * radius, path.max(0) + 2 * radius)
            if window is not None:
                tubes.append((window, np.exp(-self._squared_distance(path, window) / np.float32(radius ** 2))))
        return tubes

    def _squared_distance(self, path: np.ndarray, window: Window) -> np.ndarray:
        """mm2 from the voxels of a window to a polyline [N, 3]."""
        points = self.mm[(slice(None), *window)]
        least = np.full(points.shape[1:], np.inf, np.float32)
        for start, stop in zip(path[:-1], path[1:]):
            along = stop - start
            share = sum((points[i] - start[i]) * along[i] for i in range(3)) / np.float32((along ** 2).sum())
            np.clip(share, 0, 1, out=share)
            least = np.minimum(least, sum((points[i] - start[i] - share * along[i]) ** 2 for i in range(3)))
        return least
