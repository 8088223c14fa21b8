"""What the template says of places in MNI space: where the lateral ventricles may reach, and what lies below the tentorium.

The ventricles are those of the MNI152 maps (`data.phantom.atlas`), which show no temporal and hardly any occipital horns: these
are tubes here. The tentorium is a surface of second degree in |x| and y. Tubes and surface were fitted to 20 labelled brains
(Billot et al., SynthSeg, Medical Image Analysis 2023) brought to MNI space by `fit.fit_template`; docs/places.md says how well
they agree.
"""
import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from synergynet_tf.data.phantom import atlas

STEP = 2                # mm, of the map of where ventricles may lie
BLUR_MM = 2.0           # of the shares of tissue: an affine map brings gyri no nearer to their place
REACH_MM = 12.0         # about the template's ventricles: 99 % of wide ones lie in it, and 2 % of the cortex
HORN_MM = 6.0           # about the horns
TUBE_MM = 2.0           # half a horn's width
HORNS = (((30, -44, 4), (36, -38, -4), (38, -30, -12), (38, -22, -16), (33, -14, -19), (31, -8, -24)),      # temporal, |x|, y, z
         ((27, -58, 10), (26, -70, 6), (25, -84, 3)))                                                        # occipital
THIRD = ((-5, -32, -80), (5, 8, 6))     # a box about the third ventricle, and below it: no lateral one
TENTORIUM = (-26.04, -1.3515, 0.0059, -1.0183, -0.0104, -0.0106)    # z of 1, |x|, x^2, y, y^2, |x|y
BEHIND = -28.0          # mm: the cerebellum lies behind it
BRAINSTEM = ((0, -30, 0), (0, -29, -14), (0, -27, -28), (0, -33, -43), (0, -44, -64))       # its axis, from the midbrain down
BRAINSTEM_MM, TOP = 16.0, 2.0           # its radius; mm, where the midbrain ends


class Template(NamedTuple):
    """The template's brain, ventricles and cortex. Maps are [91, 109, 91], 2 mm."""

    brain: np.ndarray       # bool, on the grid of `atlas.AFFINE`
    zone: np.ndarray        # float32, 0 in the ventricles, to 1 where they may reach, above 1 beyond
    grey: np.ndarray        # float32, share of grey matter in all tissue, smoothed; 0 where there is no cortex
    affine: np.ndarray      # float64 [4, 4], from the voxels of the maps to MNI mm
    horns: np.ndarray       # float64 [H, 3], MNI mm, what lies in the tubes of the horns


@functools.lru_cache(maxsize=1)
def template() -> Template:
    """The MNI152 template's, see `atlas.template_atlas`.

    Raises:
        InputError: the installed nilearn lacks its maps.
    """
    brain = atlas.template_atlas()
    ventricle = (brain.regions == atlas.VENTRICLE)[::STEP, ::STEP, ::STEP]
    affine = atlas.AFFINE @ np.diag([STEP, STEP, STEP, 1])
    zone = ndimage.distance_transform_edt(~ventricle, sampling=STEP) / REACH_MM
    places = np.argwhere(zone < 4)      # horns reach no further
    mm = places @ affine[:3, :3].T + affine[:3, 3]
    near = tuple(places.T)
    from_horns = np.min([from_line(np.abs(mm) * [1, 0, 0] + mm * [0, 1, 1], horn) for horn in HORNS], axis=0)
    zone[near] = np.minimum(zone[near], from_horns / HORN_MM)
    low, high = THIRD
    zone[tuple(places[((mm > low) & (mm < high)).all(axis=1)].T)] = 9
    return Template(brain.brain > 0, zone.astype(np.float32), _grey(brain), affine, mm[from_horns <= TUBE_MM])


def _grey(brain: atlas.Atlas) -> np.ndarray:
    """`Template.grey`."""
    grey, white = (ndimage.gaussian_filter(share.astype(np.float32), BLUR_MM)[::STEP, ::STEP, ::STEP]
                   for share in (brain.grey, brain.white))
    without = np.isin(brain.regions[::STEP, ::STEP, ::STEP],
                      (atlas.DEEP_GREY, atlas.PALLIDUM, atlas.CSF, atlas.CEREBELLUM, atlas.BRAINSTEM))
    return np.where(without, np.float32(0), grey / (grey + white + np.float32(0.1)))


def infratentorial(mni: np.ndarray) -> np.ndarray:
    """Whether places [N, 3] in MNI mm lie in the cerebellum, its peduncles or the brainstem: bool [N]."""
    x, y, z = np.abs(mni[:, 0]), mni[:, 1], mni[:, 2]
    height = np.stack([np.ones_like(x), x, x * x, y, y * y, x * y], axis=1) @ np.array(TENTORIUM)
    return (y < BEHIND) & (z < height) | (z < TOP) & (from_line(mni, BRAINSTEM) < BRAINSTEM_MM)


def from_line(points: np.ndarray, line: Sequence[tuple[float, float, float]]) -> np.ndarray:
    """Distances of points [N, 3] to a line of straight pieces, in its units: float64 [N]."""
    least = np.full(len(points), np.inf)
    for start, stop in zip(np.array(line[:-1], float), np.array(line[1:], float)):
        along = stop - start
        share = np.clip((points - start) @ along / (along @ along), 0, 1)
        least = np.minimum(least, np.linalg.norm(points - start - share[:, None] * along, axis=1))
    return least
