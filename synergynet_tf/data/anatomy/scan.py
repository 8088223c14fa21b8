"""The anatomy of a scan: its way to MNI space, its ventricles and its surface by what is dark in the FLAIR, and its cortex."""
from collections.abc import Sequence
from typing import NamedTuple

import cc3d
import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from synergynet_tf.data.anatomy.cortex import find_cortex
from synergynet_tf.data.anatomy.fit import fit_template
from synergynet_tf.data.anatomy.template import HORN_MM, template
from synergynet_tf.data.phantom.atlas import AFFINE
from synergynet_tf.data.preprocess import LoadedCase

MIN_DICE = 0.9          # of the template's brain, fitted, and the scan's; healthy and sick brains reach 0.94 to 0.99
DARK = 0.5              # fluid lies below this share of the way from the brain's median down to the level of fluid
FLUID = 8               # per cent: that level, among what is near the template's ventricles
CLEAR = 1.5             # times the brain's interquartile range: fluid is darker than tissue by more, else none is seen
CORE = 1 / 6            # of the zone: 2 mm about the template's ventricles, where a ventricle begins
LEAST = 8               # voxels of a part of a ventricle in there: a smaller one is a vessel or a dark lesion
BRAIN_ML = (600, 2400)  # of a head that the template is fitted to
UNKNOWN = "places of lesions are unknown: "


class Anatomy(NamedTuple):
    """Where things lie in a scan. Points are voxels' centres in mm of the scan's world."""

    to_mni: np.ndarray      # float64 [4, 4], from the scan's mm to MNI mm
    ventricles: np.ndarray  # float64 [V, 3], the surface of the lateral ventricles, from within, and the template's unseen horns
    surface: np.ndarray     # float64 [S, 3], the surface of what is not brain tissue: outside the brain, and fluid in its sulci
    cortex: np.ndarray      # float64 [C, 3], the surface of the cortex, from within
    ventricle_ml: float     # volume of the lateral ventricles


def anatomy_of(loaded: LoadedCase, channels: Sequence[str], lesions: np.ndarray) -> Anatomy | str:
    """The anatomy of a loaded case, or why it is unknown, as `find_anatomy`; lesions: bool [X, Y, Z], of the brain's box."""
    affine = loaded.grid.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ loaded.box[:3]
    return find_anatomy(loaded.image[..., channels.index("flair")], loaded.brain, lesions, affine)


def find_anatomy(flair: np.ndarray, brain: np.ndarray, lesions: np.ndarray, affine: np.ndarray) -> Anatomy | str:
    """Find a scan's anatomy.

    Args:
        flair: float32 [X, Y, Z], RAS+, any scale.
        brain: bool [X, Y, Z].
        lesions: bool [X, Y, Z], as bright as grey matter, and none of it.
        affine: float64 [4, 4], from their voxels to the scan's mm.

    Returns:
        The anatomy; or, in words, why it is unknown: the template does not fit this brain.

    Raises:
        InputError: the installed nilearn lacks the template.
    """
    brain_ml = brain.sum() * abs(np.linalg.det(affine[:3, :3])) / 1000
    if not BRAIN_ML[0] <= brain_ml <= BRAIN_ML[1]:
        return f"{UNKNOWN}the brain has {brain_ml:.0f} ml, but {BRAIN_ML[0]} to {BRAIN_ML[1]} are needed"
    known = template()
    to_scan, dice = fit_template(brain, affine, known.brain, AFFINE)
    if dice < MIN_DICE:
        return (f"{UNKNOWN}the MNI152 template's brain, fitted to this one, has a Dice of {dice:.2f} with it, but {MIN_DICE} is "
                "needed")
    to_mni = np.linalg.inv(to_scan)
    to_map = np.linalg.inv(known.affine) @ to_mni @ affine
    zone, grey = (ndimage.affine_transform(of, to_map[:3, :3], to_map[:3, 3], brain.shape, order=1, cval=outside)
                  for of, outside in ((known.zone, 9), (known.grey, 0)))
    ventricles, dark = _ventricles(flair, brain, zone)
    cortex = find_cortex(flair, brain & ~dark & ~ndimage.binary_dilation(lesions), grey)
    outside = np.pad((dark & ~ventricles) | ~brain, 1, constant_values=True)
    shift = affine @ np.array([[1, 0, 0, -1], [0, 1, 0, -1], [0, 0, 1, -1], [0, 0, 0, 1]])
    walls = _surface(ventricles, affine)
    walls = np.concatenate([walls, _unseen(known.horns @ to_scan[:3, :3].T + to_scan[:3, 3], walls)])
    return Anatomy(to_mni, walls, _surface(outside, shift), _surface(cortex, affine),
                   float(ventricles.sum() * abs(np.linalg.det(affine[:3, :3])) / 1000))


def _ventricles(flair: np.ndarray, brain: np.ndarray, zone: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The lateral ventricles, and all that is dark as they are, bool [X, Y, Z]; zone: the template's, see `Template`.

    They are the dark parts of the zone where they may lie that come near the template's. Where no part is, as on thick slices
    with narrow ventricles, they are the template's.
    """
    lower, tissue, upper = np.percentile(flair[brain], (25, 50, 75))
    near = flair[brain & (zone < 2 * CORE)]
    fluid = np.percentile(near, FLUID) if near.size else tissue
    seen = tissue - fluid > CLEAR * (upper - lower)
    dark = brain & seen & (flair < tissue + DARK * (fluid - tissue))
    parts = cc3d.connected_components(dark & (zone < 1), connectivity=6)
    kept = np.bincount(parts[zone < CORE], minlength=int(parts.max()) + 1) >= LEAST
    kept[0] = False
    found = kept[parts]
    return (found if found.any() else brain & (zone <= 0)), dark


def _unseen(horns: np.ndarray, walls: np.ndarray) -> np.ndarray:
    """Of points of the template's horns those with no ventricle near: a thin horn, or one that lesions hide, is not dark."""
    return horns[cKDTree(walls).query(horns)[0] > HORN_MM]


def _surface(mask: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """The centres, in mm, of the voxels of a mask that have a face in common with what is not of it: float64 [N, 3]."""
    inner = mask.copy()
    for axis in range(3):
        here, around = (np.moveaxis(array, axis, 0) for array in (inner, mask))
        here[1:] &= around[:-1]
        here[:-1] &= around[1:]
    return np.argwhere(mask & ~inner) @ affine[:3, :3].T + affine[:3, 3]
