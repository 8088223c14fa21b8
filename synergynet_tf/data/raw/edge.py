"""The brain's own edge in a FLAIR: a registered template comes near to it, but people's brains are not shaped alike.

Brain is bright in a FLAIR, and dark fluid and bone lie about it. What is bright near the template's brain, and hangs together
where threads of 2 `THREAD_MM` are cut, is the brain; sulci and ventricles are closed. Morphology is by distances in mm, so that
thick slices are treated as what they are.
"""
import functools

import numpy as np
from scipy import ndimage

from synergynet_tf.data.phantom import atlas
from synergynet_tf.data.raw import tools
from synergynet_tf.data.raw.grid import MNI, Grid, resample, shrunk

SIDE_MM = 2             # of the voxels that do for this
CORE_MM = 8             # below the template's surface: brain for certain
BAND_MM = 10            # above it: further out nothing is looked for
BRIGHT = (0.6, 1.8)     # of the core's median: brain; darker is fluid or bone, brighter is fat
THREAD_MM = 4           # half the width of what joins the brain to scalp and eyes, at most
FOLD_MM = 10            # half the width of a sulcus that is closed, at most


def brain(array: np.ndarray, grid: Grid, from_mni: np.ndarray) -> np.ndarray:
    """The brain in a FLAIR [X, Y, Z] with skull: bool on its grid, whose sides need not be below `SIDE_MM`.

    Args:
        array: the FLAIR, or its ranks.
        grid: its grid.
        from_mni: float64 [4, 4], affine, from MNI mm to the scan's.
    """
    sides = np.linalg.norm(grid.affine[:3, :3], axis=0)
    template = template_on(grid, from_mni)
    core = _depth(template, sides) > CORE_MM
    if not core.any():
        return template
    level = np.median(array[core])
    inside = array > BRIGHT[0] * level
    bright = inside & (array < BRIGHT[1] * level) & (_depth(~template, sides) <= BAND_MM)
    labels = ndimage.label(_depth(bright, sides) > THREAD_MM)[0]
    joined = np.bincount(labels[core], minlength=2)
    joined[0] = 0
    seed = labels == np.argmax(joined)
    if not joined.any():
        return template
    return _closed(_grown(seed, THREAD_MM + 1, sides) & (bright | ~inside), FOLD_MM, sides)


def template_on(grid: Grid, from_mni: np.ndarray) -> np.ndarray:
    """The template's brain on a scan's grid, bool; arguments as of `brain`."""
    return resample(*_template(), grid, np.linalg.inv(from_mni)) > 0.5


@functools.lru_cache(maxsize=1)
def _template() -> tuple[np.ndarray, Grid]:
    return shrunk(atlas.template_brain(), MNI, SIDE_MM)


def _depth(mask: np.ndarray, sides: np.ndarray) -> np.ndarray:
    """Distance in mm to where a mask ends, 0 or less outside it; the field of view is no end."""
    return tools.distances(~mask, sides)


def _grown(mask: np.ndarray, reach_mm: float, sides: np.ndarray) -> np.ndarray:
    return _depth(~mask, sides) <= reach_mm


def _closed(mask: np.ndarray, reach_mm: float, sides: np.ndarray) -> np.ndarray:
    """The mask, and what lies between its parts; beyond the field of view it is taken to go on."""
    rest = [(n, n) for n in np.ceil(reach_mm / sides).astype(int) + 1]
    grown = _grown(np.pad(mask, rest, mode="edge"), reach_mm, sides)
    inner = tuple(slice(low, -high) for low, high in rest)
    return (_depth(grown, sides) > reach_mm)[inner] | mask
